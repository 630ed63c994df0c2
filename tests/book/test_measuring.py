"""Measurements: tidy tables, kept and resumed, the same numbers in one process or several, mistakes as themselves."""

import json
import math
import os
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.book import grid, measure, measuring
from helpers.networks import Spec, cache

RUN = SimpleNamespace(device=torch.device("cpu"))
CALLS = "LAYERS_TEST_CALLS"  # a file to which each call adds a line; what is found in the environment is in no key


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    """A cache of its own, in which nothing is kept, and a file that counts calls."""
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    return tmp_path


def note(text=""):
    with open(os.environ[CALLS], "a") as calls:
        calls.write(f"{text}\n")


def noted():
    path = Path(os.environ[CALLS])
    return path.read_text().split("\n")[:-1] if path.exists() else []


def kept():
    return sorted((cache.folder() / "measured").glob("*.json"))


def square(seed):
    note(seed)
    return {"square": seed**2}


def test_a_grid_changes_the_last_value_fastest():
    assert grid(model=["a", "b"], seed=[0, 1]) == [
        {"model": "a", "seed": 0}, {"model": "a", "seed": 1}, {"model": "b", "seed": 0}, {"model": "b", "seed": 1},
    ]  # fmt: skip
    assert grid() == [{}] and grid(model=[], seed=[0]) == []


# Tables


def test_one_row_each_with_its_arguments_last():
    table = measure(RUN, square, grid(seed=[2, 3]))
    pd.testing.assert_frame_equal(table, pd.DataFrame({"square": [4, 9], "seed": [2, 3]}))


def test_several_rows_each():
    table = measure(RUN, lambda n, name: [{"i": i} for i in range(n)], grid(n=[0, 2, 1], name=["a"]))
    pd.testing.assert_frame_equal(table, pd.DataFrame({"i": [0, 1, 0], "n": [2, 2, 1], "name": ["a"] * 3}))


def test_several_tables():
    both = measure(RUN, lambda n: {"rows": [{"i": i} for i in range(n)], "sums": [{"sum": n}]}, grid(n=[2, 0]))
    assert both["rows"].to_dict("list") == {"i": [0, 1], "n": [2, 2]}
    assert both["sums"].to_dict("list") == {"sum": [2, 0], "n": [2, 0]}


def test_a_row_may_hold_lists_and_an_argument_may_be_one():
    table = measure(RUN, lambda pair, seed: [{"curve": [1, 2]}] * 2, [{"pair": ("a", "b"), "seed": 0}])
    assert table["curve"].tolist() == [[1, 2]] * 2 and list(table) == ["curve", "seed"]  # a pair is no plain value
    alone = measure(RUN, lambda seed: {"curve": [1, 2]}, grid(seed=[3]))
    assert alone.to_dict("list") == {"curve": [[1, 2]], "seed": [3]}


def test_nothing_found_is_a_table_of_nothing():
    assert list(measure(RUN, lambda seed: [], grid(seed=[1, 2]))) == ["seed"]
    assert not len(measure(RUN, square, []))


def test_rows_need_not_have_the_same_columns():
    table = measure(RUN, lambda n: {"a": None} if n else {"a": 1.5, "b": 2}, grid(n=[0, 1]))
    assert list(table) == ["a", "b", "n"] and table["a"].tolist() == pytest.approx([1.5, math.nan], nan_ok=True)


def test_what_is_no_number_passes():
    rows = [{"x": value} for value in (math.nan, math.inf, -math.inf, 0.1 + 0.2)]
    for _ in range(2):
        found = measure(RUN, lambda seed: rows, grid(seed=[0]))["x"].tolist()
        assert found == pytest.approx([math.nan, math.inf, -math.inf, 0.1 + 0.2], nan_ok=True) and found[3] == 0.1 + 0.2


def test_arrays_tensors_and_columns_pass_and_are_the_same_when_kept():
    def mixed(seed):
        note()
        return {
            "float": np.float64(0.5), "small": np.float32(0.5), "whole": np.int64(3), "truth": np.bool_(True),
            "array": np.arange(2), "tensor": torch.arange(2.0), "number": torch.tensor(2), "column": pd.Series([1, 2]),
            "pair": (1, 2), "spec": Spec("mlp1"),
        }  # fmt: skip

    first, second = (measure(RUN, mixed, grid(seed=[0])) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    row = first.loc[0].to_dict()
    assert row.pop("spec")["model"] == "mlp1" and len(noted()) == 1
    assert row == {
        "float": 0.5, "small": 0.5, "whole": 3, "truth": True, "array": [0, 1], "tensor": [0.0, 1.0], "number": 2,
        "column": [1, 2], "pair": [1, 2], "seed": 0,
    }  # fmt: skip


@pytest.mark.parametrize("found", [{"x": object()}, {"x": {1, 2}}, {"x": pd.DataFrame({"a": [1]})}])
def test_what_json_cannot_hold_is_refused(found):
    with pytest.raises(TypeError, match="expected something that JSON can hold"):
        measure(RUN, lambda seed: found, grid(seed=[0]))
    assert not kept()


@pytest.mark.parametrize("found", [None, 3.0, "text"])
def test_what_is_no_row_is_refused(found):
    def forgetful(seed):
        return found

    with pytest.raises(TypeError, match=r"forgetful: gave .*, expected a row \(dict\), a list of rows"):
        measure(RUN, forgetful, grid(seed=[0]))


# Kept


def test_what_was_measured_is_not_measured_again():
    first = measure(RUN, square, grid(seed=[1, 2]))
    pd.testing.assert_frame_equal(measure(RUN, square, grid(seed=[2, 1])), first[::-1].reset_index(drop=True))
    assert noted() == ["1", "2"]
    measure(RUN, square, grid(seed=[3, 1, 3]))
    assert noted() == ["1", "2", "3"]


def test_the_device_and_the_threads_are_in_the_key(monkeypatch):
    measure(RUN, square, grid(seed=[1]))
    measure(SimpleNamespace(device=torch.device("cuda")), square, grid(seed=[1]))
    assert len(noted()) == 2
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    measure(RUN, square, grid(seed=[1]))
    assert len(noted()) == 3
    monkeypatch.setattr(measuring.sources, "versions", lambda: {"torch": "0.1"})
    measure(RUN, square, grid(seed=[1]))
    assert len(noted()) == 4


def test_arguments_that_json_cannot_hold_are_kept_too():
    Point = namedtuple("Point", "x")
    over = [{"device": torch.device("cpu"), "spec": Spec("mlp1"), "point": Point(1)}]
    for _ in range(2):
        table = measure(RUN, lambda device, spec, point: note() or {"x": point.x}, over)
    assert len(noted()) == 1 and table["x"].tolist() == [1] and list(table) == ["x"]


@pytest.mark.parametrize("damage", ["", "[1]", '{"kept": {"result": {"square": 1}}}', "\x00", "9"])
def test_what_was_altered_is_measured_again(capfd, damage):
    measure(RUN, square, grid(seed=[3]))
    (path,) = kept()
    text = path.read_text()
    path.write_text(text.replace("9}", "8}") if damage == "9" else damage)
    assert damage != "9" or text.count("9}") == 1
    capfd.readouterr()
    assert measure(RUN, square, grid(seed=[3]))["square"].tolist() == [9] and len(noted()) == 2
    assert capfd.readouterr().err.count(f"{path.name} in the cache is damaged") == 1
    measure(RUN, square, grid(seed=[3]))
    assert len(noted()) == 2


def test_an_interrupted_run_resumes():
    def fragile(seed):
        note(seed)
        if seed == 2 and "LAYERS_TEST_STOP" in os.environ:
            raise KeyboardInterrupt
        return {"seed squared": seed**2}

    os.environ["LAYERS_TEST_STOP"] = "1"
    try:
        with pytest.raises(KeyboardInterrupt):
            measure(RUN, fragile, grid(seed=range(5)))
    finally:
        del os.environ["LAYERS_TEST_STOP"]
    assert noted() == ["0", "1", "2"]
    assert measure(RUN, fragile, grid(seed=range(5)))["seed squared"].tolist() == [0, 1, 4, 9, 16]
    assert noted() == ["0", "1", "2", "2", "3", "4"]


def test_progress_is_told_on_stderr(capsys):
    measure(RUN, square, grid(seed=[1, 2]))
    told = capsys.readouterr()
    assert told.err.splitlines() == ["square: 1 of 2", "square: 2 of 2"] and told.out == ""
    measure(RUN, square, grid(seed=[1, 2, 3]))
    assert capsys.readouterr().err.splitlines() == ["square: 1 of 1"]


def test_a_file_that_is_missing_is_told_or_raised(empty):
    def read(name):
        return {"text": (empty / name).read_text()}

    (empty / "a").write_text("A")
    with pytest.raises(FileNotFoundError, match="b"):
        measure(RUN, read, grid(name=["a", "b"]))
    missing = []
    assert measure(RUN, read, grid(name=["a", "b"]), missing=missing)["text"].tolist() == ["A"]
    ((arguments, message),) = missing
    assert arguments == {"name": "b"} and str(empty / "b") in message
    (empty / "b").write_text("B")  # it is looked for again
    assert measure(RUN, read, grid(name=["a", "b"]), missing=missing)["text"].tolist() == ["A", "B"]
    assert len(missing) == 1


def test_a_result_is_plain_json():
    measure(RUN, square, grid(seed=[3]))
    found = json.loads(kept()[0].read_text())
    assert found["of"] == {"seed": "3"} and found["kept"] == {"result": {"square": 9}}
