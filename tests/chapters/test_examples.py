"""Every command that readers are told to give is one that they can give."""

import pytest
from examples import after, commands, kinds, mynets, read

from helpers import __main__
from helpers.book import parameters, sources


def test_the_commands_are_found():
    assert len(commands()) > 30 and len(kinds()) > 20
    assert {read(command)[0] for command in commands()} == {*sources.chapters()} - {"scorecard"}


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_a_command_has_known_names_and_right_values(command, tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text(mynets())
    monkeypatch.syspath_prepend(tmp_path)
    chapter, profile, given = read(command)
    if command[0] == "papermill":
        assert command[2] == "out.ipynb" and not after("-p", command)  # lists that -p gives become text
    else:
        __main__._parser().parse_args(command[3:])
    known = {each.name: each for each in parameters.parameters(chapter)}
    given = {name: text.replace("PATH", "/photos").replace("$PWD", "/") for name, text in given.items()}
    values = {name: known[name].read(text) for name, text in given.items()}
    parameters.validate(chapter, values | parameters.overrides(chapter, profile or "laptop"))


def test_the_module_of_the_rerun_page_makes_a_network():
    names = {}
    exec(mynets(), names)
    assert names["tiny"](classes=10, channels=1, size=8)
