"""Records: what is saved comes back, says where it is from, and knows when it is stale."""

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from small_book import MEASURE, tiny

from helpers import curvature
from helpers.book import Run, parameters, records, runner, sources
from helpers.networks import cache
from helpers.networks.cache import write

HERE = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of the chapter `tiny` that stands where finished laptop runs stand."""
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    tiny(tmp_path)
    values = parameters.resolve("tiny", "laptop")
    folder = runner.place("tiny", "laptop")
    return Run("tiny", "laptop", values, torch.device("cpu"), folder, sources.measuring("tiny"), 1)


TABLE = pd.DataFrame({
    "model": ["resnet8", "mlp2", "mlp2"],
    "seed": [100, 101, 102],
    "bend": [0.1 + 0.2, math.nan, -math.inf],
    "trained": [True, False, True],
})  # fmt: skip


def test_what_is_saved_comes_back(run):
    path = records.save(run, "bends", TABLE, {"profile": np.arange(3.0)}, data="abc", rules={"C1": "ff"})
    found = records.load("tiny", "bends", "laptop")
    pd.testing.assert_frame_equal(found.table, TABLE, check_exact=True)
    np.testing.assert_array_equal(found.arrays()["profile"], np.arange(3.0))
    assert found.parameters == run.parameters and found.status == "current"
    assert found.provenance["data"] == "abc" and found.provenance["rules"] == {"C1": "ff"}
    assert {"commit", "sources", "versions", "device", "threads", "seconds", "created"} <= set(found.provenance)
    assert path == run.folder / "records" / "bends.json"
    assert json.loads(path.read_text(), parse_constant=pytest.fail)  # plain JSON: no NaN, no Infinity
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(".")] == []
    assert records.load("tiny", "bends", run).table.equals(found.table)
    assert records.load("tiny", "nothing", "laptop") is None and records.load("tiny", "bends") is None


def test_tables_that_cannot_be_kept_are_refused(run):
    with pytest.raises(ValueError, match="at most 200000"):
        records.save(run, "long", pd.DataFrame({"x": np.linspace(0, 1, 20_000)}))
    with pytest.raises(ValueError, match="distinct names"):
        records.save(run, "twice", pd.DataFrame([[1, 2]], columns=["x", "x"]))
    with pytest.raises(TypeError, match="expected something that JSON can hold"):
        records.save(run, "odd", TABLE, note=object())
    assert not (run.folder / "records").exists()


def test_a_record_is_stale_when_what_measured_it_has_changed(run, tmp_path):
    records.save(run, "bends", TABLE)

    def status():
        return records.load("tiny", "bends", "laptop").status

    tiny(tmp_path, text="Other prose.")
    assert status() == "current"
    tiny(tmp_path, measure=MEASURE + "\nx = 1")
    assert status() == "stale"
    assert "**stale**" in records.badge(records.load("tiny", "bends", "laptop"))
    tiny(tmp_path)
    assert status() == "current"
    run.parameters["device"] = "cpu"  # where it ran is recorded, and makes nothing stale
    records.save(run, "bends", TABLE)
    assert status() == "current"
    run.parameters["seeds"] = [7]
    records.save(run, "bends", TABLE)
    assert status() == "stale"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"table": {}}', '{"table": {"x": {"type": "int64", "values": ["a"]}}}'])
def test_a_damaged_record_says_so(run, content):
    write(records.location("tiny", "paper") / "bends.json", content)
    found = records.load("tiny", "bends")
    assert found.status == "unreadable" and found.table.empty
    assert "unreadable" in records.badge(found)


def test_a_table_stands_beside_the_recorded_one(run):
    live, recorded = pd.DataFrame({"x": [1]}), pd.DataFrame({"x": [2]})
    assert records.beside(run, "bends", live) == [("this run", live, run.parameters)]
    records.save(run, "bends", recorded)
    records.publish("tiny", run.folder / "records")
    (_, this, _), (title, table, given) = records.beside(run, "bends", live)
    assert this is live and table.equals(recorded) and title == "recorded, CPU" and given == run.parameters


def test_badges(run):
    assert records.badge(run) == "**Live** · laptop profile · CPU"
    assert records.badge(None).startswith("**Not recorded**")
    records.save(run, "bends", TABLE)
    line = records.badge(records.load("tiny", "bends", "laptop"))
    assert line.startswith("**Recorded** · laptop profile · CPU · commit ") and "stale" not in line and "\n" not in line


def test_remember_measures_once_and_resumes(monkeypatch):
    calls = []

    def measure():
        calls.append(1)
        return {"bend": np.float64(0.1) + 0.2, "missing": math.nan, "rows": [torch.arange(2), (1, 2)]}

    @dataclass
    class Spec:
        model: str

    key = {"spec": Spec("mlp2"), "eps": 0.05, "purpose": "resume"}
    first, second = (records.remember(key, measure, (curvature,)) for _ in range(2))
    assert len(calls) == 1 and first["bend"] == second["bend"] == 0.1 + 0.2
    assert math.isnan(second["missing"]) and second["rows"] == first["rows"] == [[0, 1], [1, 2]]
    records.remember(key | {"eps": 0.1}, measure, (curvature,))
    assert len(calls) == 2
    records.remember(key, measure, (curvature.caml,))
    assert len(calls) == 2  # a function stands for its module
    records.remember(key, measure, (measure,))
    assert len(calls) == 3
    monkeypatch.setattr(sources, "helpers_used", lambda texts, without: {"curvature": "changed"})
    records._code.cache_clear()  # another process would look at the sources again
    records.remember(key, measure, (curvature,))
    assert len(calls) == 4


def test_remember_rebuilds_what_is_damaged(capsys):
    key = {"purpose": "damage"}
    records.remember(key, lambda: [1])
    path = next(path for path in records.cache_folder().glob("*.json") if "damage" in path.read_text())
    for content in ("", "[1]", '{"key": {}}', "\x00"):
        path.write_text(content)
        assert records.remember(key, lambda: [2]) == [2]
        assert str(path) in capsys.readouterr().err
        assert records.remember(key, lambda: [3]) == [2]


def test_remember_keeps_nothing_of_what_failed():
    with pytest.raises(ZeroDivisionError):
        records.remember({"purpose": "failure"}, lambda: 1 / 0)
    assert records.remember({"purpose": "failure"}, lambda: [1]) == [1]


def test_a_write_that_fails_leaves_the_former_file(tmp_path, monkeypatch):
    path = write(tmp_path / "deep" / "a.json", "old")
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError("no room")))
    with pytest.raises(OSError, match="no room"):
        write(path, "new")
    with pytest.raises(OSError, match="no room"):
        cache.keep(path, {"a": torch.zeros(3)})
    assert path.read_text() == "old" and [each.name for each in path.parent.iterdir()] == ["a.json"]


def test_downloads_name_every_table_of_this_run_and_of_the_paper_scale(run):
    records.save(run, "values", TABLE)
    assert records.downloads(run).split("\n")[1:] == [
        "Tables of this run:", "",
        "- values: {download}`CSV <live/tiny/values.csv>`, {download}`JSON <live/tiny/values.json>`",
    ]  # fmt: skip
    records.publish("tiny", run.folder / "records")
    assert "Tables of the paper scale:\n\n- values: {download}`CSV <records/tiny/values.csv>`" in records.downloads(run)
    of_both = records.downloads(run, "other")
    assert "Tables of this run, tiny:" in of_both and "other" not in of_both
    write(records.location("other", run.profile) / "more.json", "{}")
    assert "Tables of this run, other:\n\n- more: {download}`CSV <live/other/more.csv>`" in records.downloads(run, "other")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_each_measures_in_order_and_what_is_long_one_process_a_core(monkeypatch, elsewhere):
    monkeypatch.setattr(records, "WORTH", 0.0 if elsewhere else 1e9)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    compute = lambda number: {"square": number**2, "threads": torch.get_num_threads(), "process": os.getpid()}
    measure = lambda number: records.remember({"number": number, "elsewhere": elsewhere}, lambda: compute(number))
    numbers = [(number,) for number in range(5)]
    found = records.each(measure, numbers, torch.device("cpu"))
    assert [each["square"] for each in found] == [0, 1, 4, 9, 16]
    assert {each["threads"] for each in found} == {torch.get_num_threads()}
    processes = [each["process"] for each in found]
    assert processes[0] == os.getpid()
    assert all((process != os.getpid()) == elsewhere for process in processes[1:])
    assert records.each(measure, numbers, torch.device("cpu")) == found  # remembered


def test_a_mistake_in_another_process_comes_back(monkeypatch):
    monkeypatch.setattr(records, "WORTH", 0.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    measure = lambda number: records.remember({"mistake": number}, lambda: 1 / (2 - number))
    with pytest.raises(ZeroDivisionError):
        records.each(measure, [(number,) for number in range(4)], torch.device("cpu"))


KILLED = """
import os, sys, time, torch
from helpers.book import records

os.cpu_count, records.WORTH = lambda: 2, 0.0
compute = lambda number: number and (print(os.getpid(), flush=True), time.sleep(60))
records.each(lambda number: records.remember({"number": number}, lambda: compute(number)), [(0,), (1,), (2,)], torch.device("cpu"))
"""


def test_processes_do_not_outlive_a_run_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=HERE, stdout=subprocess.PIPE, text=True) as run:
        workers = [psutil.Process(int(run.stdout.readline())) for _ in range(2)]
        run.kill()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert len(gone) == 2 and not alive


def test_brief_keeps_four_digits_and_everything_that_is_no_fraction():
    table = pd.DataFrame({"a": [1.23456, 123456.7, 1.23456e-9], "b": [123456, 2, 3], "c": ["x", "1.23456", ""]})
    kept = records.brief(table)
    assert kept["a"].tolist() == [1.235, 123500.0, 1.235e-9]
    assert kept["b"].tolist() == table["b"].tolist() and kept["c"].tolist() == table["c"].tolist()
