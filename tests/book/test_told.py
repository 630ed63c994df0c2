"""Cells that tell of the records: what they read, and that the page says what the records say."""

import dataclasses
import re

import pytest
from records_shared import HIGH, LIVE, LOW, NESTED, TOLD, measured, plant, pretend_finished, run_of, spoken

from helpers import book
from helpers.book import checks, flow, records, told
from helpers.networks.cache import write


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    spoken(tmp_path)
    return tmp_path


def test_what_is_recorded_can_be_had_by_chapter_or_by_run():
    plant(run_of("digits"), measured())
    for of in ("spoken", run_of(), run_of("cifar")):
        found = book.recorded(of, "digits")
        assert found.table("values")["value"].max() == 1.2 and found.parameters == run_of().parameters
        assert found.judged.interval("S1", "faithful").n == 3
        assert found.judged.verdicts["verdict"][0] == "holds"


def test_a_run_that_is_being_recorded_reads_its_own_records():
    plant(run_of("digits"), measured())
    own = run_of("digits")
    own = dataclasses.replace(own, folder=own.folder.with_name("under-way"), parameters={"seeds": [9]})
    with pytest.raises(ValueError, match="no such record"):
        book.recorded(own, "digits").table("values")
    records.save(own, "values", records.load("spoken", "values", "digits").table.assign(value=LOW[0]))
    found = book.recorded(own, "digits")
    assert found.parameters == {"seeds": [9]} and found.table("values")["value"].unique() == LOW[0]
    assert found.judged.interval("S1", "faithful").estimate == LOW[0]
    assert book.recorded("spoken", "digits").table("values")["value"].max() == 1.2


def test_what_is_missing_is_named_with_what_makes_it(root):
    with pytest.raises(ValueError, match=r"profile = 'digit': expected one of .*digits"):
        book.recorded("spoken", "digit")
    found = book.recorded("spoken", "cifar")
    command = "`python -m helpers record spoken --profile cifar`"
    for missing in (lambda: found.table("values"), lambda: found.judged, lambda: found.parameters):
        with pytest.raises(ValueError, match=f"no such record of spoken at cifar, expected one made by {command}"):
            missing()
    write(records.location("spoken", "cifar") / "values.json", "{")
    with pytest.raises(ValueError, match="name = 'values': expected .* is unreadable"):
        found.table("values")


def mistakes():
    return [line.partition(": ")[2] for line in checks.check()[0] if line.startswith("spoken")]


def test_a_page_that_says_what_the_records_say_has_no_mistake():
    assert mistakes() == []  # nothing recorded
    plant(run_of("digits"), measured(shrinks=HIGH))
    assert told.glued("spoken") == ({"mean": "1.1"}, "") and mistakes() == []  # nothing run
    plant(run_of(), measured())
    pretend_finished(run_of(), {"mean": "1.1", "of-the-run": "7"})
    assert mistakes() == []


def test_a_page_that_says_something_else_is_found():
    plant(run_of("digits"), measured())
    plant(run_of(), measured())
    pretend_finished(run_of(), {"mean": "1.2"})
    assert mistakes() == ["mean: the page says 1.2, the records 1.1: run it again"]


LATER = "from pathlib import Path\nbook.glue('mean', "


@pytest.mark.parametrize(("cell", "why"), [
    ("book.glue('mean', len(rows))", "cell live: cannot tell from the records alone: NameError: name 'seeds'"),
    ("book.glue('mean', len(seeds))", "cell told: cannot tell from the records alone: NameError: name 'seeds'"),
    ("book.glue('mean', run.device)", "cell told: .* AttributeError"),
    (f"{LATER}(run.folder / 'records' / 'values.json').read_text())", "cell told: .* FileNotFoundError"),
    (f"{LATER}len(book.records.load('spoken', 'values', 'laptop').table))", "cell told: .* AttributeError"),
    ("book.glue('mean', book.recorded(run, 'paper').table('values'))", "cell told: .* ValueError: .*no such record"),
])  # fmt: skip
def test_a_cell_that_needs_more_than_the_records_is_found(root, cell, why):
    plant(run_of("digits"), measured())
    plant(run_of(), measured())
    spoken(root, told=cell, nested="Nothing.")
    (found,) = mistakes()
    assert re.match(why, found)


def test_names_of_its_own_do_not_bring_in_live_cells(root):
    plant(run_of("digits"), measured())
    spoken(root, told=TOLD + "\nfor name in ['a']:\n    book.glue(f'of-{name}', np.float64(2))")
    assert told.glued("spoken") == ({"mean": "1.1", "of-a": "np.float64(2.0)"}, "")


@pytest.mark.parametrize("text", [
    "It is {glue:text}`mean`.", "It is {glue:text}`mean:.2f`.", "{glue}`mean`",
    "```{glue:figure} mean\n```", "```{glue:md} mean\n```",
])  # fmt: skip
def test_a_cell_that_tells_of_the_record_must_be_one_that_can_be_folded(root, text):
    plant(run_of("digits"), measured())
    spoken(root, plain=text)
    assert mistakes() == ["cell plain: tells of the record (mean): expected the tag 'result'"]
    spoken(root, plain="It is {glue:text}`meaning` and {glue:text}`of_the_run`.")
    assert mistakes() == []


CELLS = {
    "tools": "import numpy as np\nfrom a import b",
    "rows": "rows = [1]",
    "change": "rows[0] = 2",
    "anew": "rows = [3]",
    "perhaps": "if np:\n    rows = [4]",
    "double": "def double(x):\n    rows = 2 * x\n    return rows",
    "many": "many = [row for row in rows]",
    "loop": "for rows in [1, 2]:\n    print(rows)",
    "opened": "with open(b) as many:\n    kept = many",
}


@pytest.mark.parametrize(("end", "expected"), [
    ("print(rows)", ["anew", "perhaps", "tools", "loop"]),
    ("rows = 1\nprint(rows)", []),
    ("rows += 1", ["anew", "perhaps", "tools", "loop"]),
    ("print(double(np))", ["tools", "double"]),
    ("print([np for np in kept])", ["tools", "opened"]),
    ("for np in [1]:\n    print(np)", []),
    ("def f(np, b=kept):\n    many = np\n    return many", ["tools", "opened"]),
    ("f = lambda np: np + many", ["tools", "opened"]),
    ("class A:\n    x = np", ["tools"]),
])  # fmt: skip
def test_the_cells_that_a_cell_needs_are_those_whose_names_it_takes(end, expected):
    found = flow.leading_to(CELLS | {"end": end}, ["end"])
    assert set(found) == {*expected, "end"} and list(found) == [name for name in [*CELLS, "end"] if name in found]


def test_a_value_given_anew_hides_an_earlier_one_and_a_change_does_not():
    assert list(flow.leading_to(CELLS, ["anew", "many"])) == ["tools", "anew", "perhaps", "many"]
    few = ["rows", "change", "many"]
    assert list(flow.leading_to({name: CELLS[name] for name in few}, ["many"])) == few
