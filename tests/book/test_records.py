"""Records: what is saved comes back, says where it is from, and knows when it is stale."""

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from small_book import MEASURE, tiny

from helpers.book import Run, origins, parameters, records, runner, sources
from helpers.networks import cache
from helpers.networks.cache import write


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
    path = records.save(run, "bends", TABLE, arrays={"profile": np.arange(3.0)}, rules={"C1": "ff"})
    found = records.load("tiny", "bends", "laptop")
    pd.testing.assert_frame_equal(found.table, TABLE, check_exact=True)
    np.testing.assert_array_equal(found.arrays()["profile"], np.arange(3.0))
    assert found.parameters == run.parameters and found.status == "current"
    assert found.provenance["rules"] == {"C1": "ff"}
    assert {"commit", "sources", "versions", "device", "threads", "seconds", "created"} <= set(found.provenance)
    assert path == run.folder / "records" / "bends.json"
    assert json.loads(path.read_text(), parse_constant=pytest.fail)  # plain JSON: no NaN, no Infinity
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(".")] == []
    assert records.load("tiny", "bends", run).table.equals(found.table)
    assert records.load("tiny", "nothing", "laptop") is None and records.load("tiny", "bends", "paper") is None


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
    assert "**stale**" in origins.badge(records.load("tiny", "bends", "laptop"))
    tiny(tmp_path)
    assert status() == "current"
    run.parameters["device"] = "cpu"  # where it ran is recorded, and makes nothing stale
    records.save(run, "bends", TABLE)
    assert status() == "current"
    run.parameters["seeds"] = [7]
    records.save(run, "bends", TABLE)
    assert status() == "stale"


WRONG = '{"table": {"x": {"type": "int64", "values": ["a"]}}}'


@pytest.mark.parametrize("content", ["", "{", "[]", '{"table": {}}', WRONG])
def test_a_damaged_record_says_so(run, content):
    write(records.location("tiny", "paper") / "bends.json", content)
    found = records.load("tiny", "bends", "paper")
    assert found.status == "unreadable" and found.table.empty
    assert "unreadable" in origins.badge(found)


def test_a_table_stands_beside_the_recorded_one(run):
    live, recorded = pd.DataFrame({"x": [1]}), pd.DataFrame({"x": [2]})
    assert records.beside(run, "bends", live) == [("this run", live, run.parameters)]
    records.save(run, "bends", recorded)
    for profile in ("cifar", "digits"):
        records.publish("tiny", profile, run.folder / "records")
    *beside, (_, this, _) = records.beside(run, "bends", live)
    assert this is live and [title for title, _, _ in beside] == ["digits, recorded", "CIFAR-10, recorded"]
    assert all(table.equals(recorded) and given == run.parameters for _, table, given in beside)
    assert records.recorded("tiny") == ["digits", "cifar"]
    assert len(records.beside(dataclasses.replace(run, profile="cifar"), "bends", live)) == 1


def test_badges(run):
    assert origins.badge(run) == "**Live** · laptop profile · CPU"
    assert origins.badge(None).startswith("**Not recorded**")
    records.save(run, "bends", TABLE)
    line = origins.badge(records.load("tiny", "bends", "laptop"))
    assert line.startswith("**Recorded** · laptop profile · CPU · commit ")
    assert "stale" not in line and "\n" not in line


def test_a_write_that_fails_leaves_the_former_file(tmp_path, monkeypatch):
    path = write(tmp_path / "deep" / "a.json", "old")
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError("no room")))
    with pytest.raises(OSError, match="no room"):
        write(path, "new")
    with pytest.raises(OSError, match="no room"):
        cache.keep(path, {"a": torch.zeros(3)})
    assert path.read_text() == "old" and [each.name for each in path.parent.iterdir()] == ["a.json"]


def test_downloads_name_every_table_of_this_run_and_as_recorded(run):
    records.save(run, "values", TABLE)
    assert origins.downloads(run).split("\n")[1:] == [
        "Tables of this run:", "",
        "- values: {download}`CSV <live/tiny/values.csv>`, {download}`JSON <live/tiny/values.json>`",
    ]  # fmt: skip
    records.publish("tiny", "cifar", run.folder / "records")
    line = "Tables of the record, CIFAR-10:\n\n- values: {download}`CSV <records/cifar/tiny/values.csv>`"
    assert line in origins.downloads(run)
    of_both = origins.downloads(run, "other")
    assert "Tables of this run, tiny:" in of_both and "other" not in of_both
    write(records.location("other", run.profile) / "more.json", "{}")
    of_both = origins.downloads(run, "other")
    assert "Tables of this run, other:\n\n- more: {download}`CSV <live/other/more.csv>`" in of_both


def test_a_record_may_keep_fewer_digits(run):
    table = pd.DataFrame({
        "a": [1.23456, 123456.7, 1.23456e-9], "b": [123456, 2, 3], "c": ["x", "1.23456", ""],
        "d": pd.Series([1.23456, math.nan, math.inf], dtype="float32"), "e": pd.Categorical(["x", "y", "x"]),
        "f": [True, False, True],
    })  # fmt: skip
    records.save(run, "short", table, digits=4)
    kept = records.load("tiny", "short", "laptop").table
    assert kept["a"].tolist() == [1.235, 123500.0, 1.235e-9]
    assert kept["d"].tolist() == pytest.approx([1.235, math.nan, math.inf], nan_ok=True)
    for name in ("b", "c", "e", "f"):
        assert kept[name].tolist() == table[name].tolist()
    records.save(run, "whole", table)
    assert records.load("tiny", "whole", "laptop").table["a"].tolist() == table["a"].tolist()


def test_the_checksum_of_the_data_is_noted(run):
    records.save(run, "bends", TABLE, data=SimpleNamespace(checksum="abc"))
    assert records.load("tiny", "bends", "laptop").provenance["data"] == "abc"
    records.save(run, "bends", TABLE)
    assert "data" not in records.load("tiny", "bends", "laptop").provenance


def test_texts_that_are_often_repeated_are_kept_once(run):
    claims = ["B1", None, "B1", "B2", None]
    path = records.save(run, "values", pd.DataFrame({"claim": pd.Categorical(claims), "seed": [1, 2, None, 4, 5]}))
    found = records.load("tiny", "values", "laptop").table
    assert [None if pd.isna(value) else value for value in found["claim"]] == claims
    assert found["seed"].tolist() == pytest.approx([1, 2, math.nan, 4, 5], nan_ok=True)
    assert path.read_text().count("B1") == 1
    records.save(run, "values", pd.DataFrame({"claim": pd.Categorical([])}))
    assert list(records.load("tiny", "values", "laptop").table) == ["claim"]


def test_what_is_missing_among_texts_is_plain_json(run):
    table = pd.DataFrame({"method": ["t", None, "t"], "mixed": pd.Series([1, math.nan, "x"], dtype=object)})
    text = records.save(run, "gaps", table).read_text()
    assert json.loads(text, parse_constant=pytest.fail)["table"]["mixed"]["values"] == [1, None, "x"]
    found = records.load("tiny", "gaps", "laptop").table
    assert found["method"].isna().tolist() == [False, True, False] and found["method"][0] == "t"


def test_text_that_stands_many_times_is_written_once(run):
    table = pd.DataFrame({"model": ["resnet14", "vgg8", None] * 20, "point": [f"layer{k}" for k in range(60)]})
    path = records.save(run, "texts", table)
    assert path.read_text().count("resnet14") == 1 and records.load("tiny", "texts", run).table.equals(table)
