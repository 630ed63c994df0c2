"""Parameters: read from the notebook, and refused at once where they make no sense."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from small_book import PARAMETERS, command, contents, tiny

from helpers import book
from helpers.__main__ import main
from helpers.book import parameters

MORE = f"""{PARAMETERS.replace("auto|cpu", "auto|cpu|cuda")}
counts: list = [4, 5]  # classes; 4..1000 or none; numbers of classes
models: list = ["mlp1"]  # names; NETWORK; networks
others: list = []  # names; NETWORK; more networks"""


@pytest.fixture
def by_itself(monkeypatch):
    """A notebook that the runner has not started, on a machine without CUDA."""
    monkeypatch.delenv("LAYERS_RUN", raising=False)
    monkeypatch.delenv("LAYERS_PROFILE", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def test_the_command_line_refuses_an_unknown_parameter(root):
    refused = command(root, "run", "tiny", "-p", "sedes", "[0]")
    assert refused.returncode == 2
    assert "sedes" in refused.stderr and "did you mean 'seeds'?" in refused.stderr


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seeds", "3", "a list"),
        ("seeds", "1_8", "a list"),
        ("seeds", "[0.5]", "int elements"),
        ("seeds", "[0, -1]", "0.."),
        ("scale", '"1e-2"', "float"),
        ("scale", "true", "float"),
        ("scale", "11", "0..10"),
        ("scale", "NaN", "finite"),
        ("dataset", "cifar", "digits|folder:PATH"),
        ("seeds", "[100, 100]", "each element once"),
        ("seeds", "[]", "at least one element"),
        ("device", "cuda", "expected auto"),
        ("models", '["mlp1", "resnet9"]', "did you mean"),
        ("models", '["nowhere:net"]', "nowhere"),
        ("models", "[1]", "str elements"),
        ("others", "[1]", "a network"),
        ("counts", "[3]", "4..1000"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(here, by_itself, capsys, name, value, expected):
    before = contents(here / "_build" / "runs")
    tiny(here, parameters=MORE)
    assert main(["run", "tiny", "-p", name, value]) == 2
    tiny(here)
    message = capsys.readouterr().err
    assert name in message and expected in message and len(message.splitlines()) == 1
    assert contents(here / "_build" / "runs") == before


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("seeds", [1, 1], "each element once"), ("seeds", [], "at least one element"), ("scale", "much", "float"),
    ("device", "cuda", "expected auto"), ("models", ["resnet9"], "did you mean"), ("models", None, "a list"),
])  # fmt: skip
def test_a_notebook_refuses_the_same_in_one_line(fresh, by_itself, name, value, expected):
    tiny(fresh, parameters=MORE)
    shell = InteractiveShell()
    with capture_output() as told:
        shell.run_cell(f"{MORE}\n{name} = {value!r}")
        shell.run_cell('from helpers import book\nrun = book.begin("tiny", globals())')
    assert "run" not in shell.user_ns
    (line,) = told.stdout.splitlines()
    assert line.startswith(f"ValueError: {name}") and expected in line


def test_lists_may_be_empty_where_their_line_or_default_says_so(fresh):
    tiny(fresh, parameters=MORE)
    found = {each.name: each for each in parameters.parameters("tiny")}
    for name in ("counts", "others"):
        assert found[name].check([]) == []
    assert found["counts"].check([1000, 4]) == [1000, 4] and found["models"].check(["resnet14", "mlp2-w8"])
    assert found["others"].check(["torchvision:resnet50"]) == ["torchvision:resnet50"]


@pytest.mark.parametrize("arguments", [["run", "tinny"], ["run", "tiny", "--profile", "smok"], ["show", "tinny"]])
def test_unknown_chapters_and_profiles_are_refused(here, capsys, arguments):
    assert main(arguments) == 2
    assert "did you mean" in capsys.readouterr().err


def test_parameters_are_read_from_the_notebook(here, capsys):
    found = {each.name: each for each in parameters.parameters("tiny")}
    assert list(found) == ["seeds", "scale", "dataset", "device"]
    assert found["scale"].read("2") == 2.0 and isinstance(found["scale"].read("2"), float)
    assert found["seeds"].read("[3]") == [3]
    assert found["dataset"].read("folder:here") == "folder:here" == found["dataset"].read('"folder:here"')
    assert parameters.resolve("tiny", "smoke")["seeds"] == [5]
    assert main(["show", "tiny"]) == 0
    assert "| `scale` | float | `1` | - | 0..10 | a factor |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    ["seeds = [0]  # -; 0..; seeds", "seeds: list = [0]", "seeds: list = f()  # -; -; seeds", "seeds: dict = {}  # -; -; x",
     "seeds: list = [0]  # -; -; at least = 0", "seeds: int = -1  # -; 0..; seeds"],
)  # fmt: skip
def test_a_parameter_line_that_cannot_be_read_is_named(fresh, line):
    tiny(fresh, parameters=line)
    with pytest.raises(ValueError, match="seeds"):
        parameters.parameters("tiny")


def test_begin_checks_the_namespace(fresh, by_itself):
    namespace = {"seeds": [1], "scale": 2, "dataset": "digits", "device": "cpu"}
    run = book.begin("tiny", namespace)
    assert run.parameters == namespace and isinstance(namespace["scale"], float)
    assert (run.profile, run.device.type, run.threads) == ("custom", "cpu", 1)
    with pytest.raises(ValueError, match="scale = 'much'"):
        book.begin("tiny", namespace | {"scale": "much"})
    with pytest.raises(ValueError, match="device: not defined"):
        book.begin("tiny", {"seeds": [1], "scale": 2.0, "dataset": "digits"})
