"""Contrasts: means over points that are known, by seed and condition, and what a choice changes in them."""

import itertools

import numpy as np
import pandas as pd
import pytest

from helpers.verdicts.contrasts import Contrasts, each

POINTS = {"a": {"all": ["p", "q"], "deep": ["q"], "none": []}, "b": {"all": ["q"], "deep": ["q"], "none": []}}
AXES = {"model": "ab", "condition": ["untrained", "trained", "noise"], "seed": [7, 3], "point": "pq", "search": "xy"}
TABLE = pd.DataFrame([dict(zip(AXES, each)) for each in itertools.product(*AXES.values())])
TABLE["error"] = np.arange(len(TABLE), dtype=float)
TABLE["size"] = 10.0 ** TABLE["error"]
CONTRASTS = Contrasts(TABLE, POINTS, {"model": "a", "search": "x"})


def test_a_value_is_the_mean_over_points_of_the_usual_rows():
    found = CONTRASTS.value("all", "untrained")
    assert found.to_dict() == {7: 1, 3: 5} and found.index.name == "seed"  # 0 and 2; 4 and 6
    assert CONTRASTS.value("deep", "untrained", search="y").to_dict() == {7: 3, 3: 7}
    assert CONTRASTS.value("all", "untrained", model="b").to_dict() == {7: 26, 3: 30}


def test_where_there_are_no_points_there_is_no_value():
    assert CONTRASTS.value("none", "trained").isna().to_dict() == {7: True, 3: True}


def test_a_change_is_from_untrained_to_trained_on_a_scale():
    assert CONTRASTS.change("deep").to_dict() == {7: 8, 3: 8}
    assert CONTRASTS.change("deep", "noise", "trained").to_dict() == {7: 8, 3: 8}
    assert CONTRASTS.change("deep", "noise").to_dict() == {7: 16, 3: 16}
    assert CONTRASTS.change("deep", scale=np.negative).to_dict() == {7: -8, 3: -8}
    found = CONTRASTS.change("deep", scale=np.log10, column="size", model="b")
    assert found.to_dict() == pytest.approx({7: 8, 3: 8})


def test_a_trend_runs_along_the_points():
    assert CONTRASTS.trend("all").to_dict() == {7: 1, 3: 1}
    falling = Contrasts(TABLE.assign(error=-TABLE["error"]), POINTS, CONTRASTS.usual)
    assert falling.trend("all", "trained", search="y").to_dict() == {7: -1, 3: -1}


def test_what_a_table_has_not_does_not_count():
    table = TABLE[TABLE["search"] == "x"].drop(columns="search")
    assert Contrasts(table, POINTS, CONTRASTS.usual).value("all", "untrained").to_dict() == {7: 1, 3: 5}


def test_one_measure_exceeds_another_and_one_place_another():
    found = Contrasts(TABLE.assign(half=TABLE["error"] / 2), POINTS, CONTRASTS.usual)
    assert found.excess("deep", "trained", "error", "half").to_dict() == {7: 5, 3: 7}  # of 10 and 14
    size = CONTRASTS.decades("deep", "deep", "trained", "size")
    assert size.to_dict() == {7: 0, 3: 0}
    places = Contrasts(TABLE, {"a": {"first": ["p"], "last": ["q"]}}, CONTRASTS.usual)
    assert places.decades("last", "first", "noise", "size").to_dict() == pytest.approx({7: 2, 3: 2})


def test_each_choice_has_its_own_keywords():
    found = each(lambda x, y=0, z=0: (x, y, z), {"one": {}, "two": {"y": 5}}, 1, y=2, z=3)
    assert found == {"one": (1, 2, 3), "two": (1, 5, 3)}
