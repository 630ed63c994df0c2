"""Rows by their values, numbers by seed, and trends along points that are known."""

import math

import pandas as pd
import pytest

from helpers.verdicts import by_seed, decades, less, pick, star, tilt, trend

TABLE = pd.DataFrame({
    "seed": [7, 7, 7, 3, 3, 3],
    "point": ["a", "b", "c"] * 2,
    "kind": ["x", "x", "y", "x", "y", "y"],
    "error": [1.0, 2.0, 6.0, 5.0, 4.0, 3.0],
})  # fmt: skip


def test_rows_are_picked_by_a_value_or_any_of_several():
    assert pick(TABLE, kind="x")["error"].tolist() == [1, 2, 5]
    assert pick(TABLE, point=["a", "c"], kind="y")["error"].tolist() == [6, 3]
    assert pick(TABLE).equals(TABLE) and pick(TABLE, point=[]).empty


def test_means_stand_by_seed_in_the_order_of_the_table():
    found = by_seed(TABLE, "error", point=["a", "b"])
    assert found.to_dict() == {7: 1.5, 3: 4.5}
    assert list(found.index) == [7, 3] and found.index.name == "seed"


def test_a_function_takes_the_rows_of_a_seed():
    assert by_seed(TABLE, lambda rows: rows["error"].max() - len(rows), kind="y").to_dict() == {7: 5, 3: 2}


def test_a_seed_without_such_rows_has_no_value():
    found = by_seed(TABLE[:5], "error", point="c")
    assert found[7] == 6 and math.isnan(found[3])
    assert by_seed(TABLE, "error", kind="z").isna().to_dict() == {7: True, 3: True}


def test_a_trend_is_up_or_down_whatever_the_order_of_the_rows():
    assert trend(TABLE[::-1], "error", ["a", "b", "c"]).to_dict() == {3: -1, 7: 1}
    turned = trend(TABLE, "error", ["c", "a", "b"], seed=7)
    assert turned[7] == pytest.approx(-0.5) and math.isnan(turned[3])


def test_of_lists_each_image_has_a_trend_and_the_median_counts():
    table = pd.DataFrame({"seed": [1, 1], "point": ["a", "b"], "dimension": [[1, 2, 9, 4], [5, 6, 3, 1]]})
    assert trend(table, "dimension", ["a", "b"]).to_dict() == {1: 0}
    table["dimension"] = [[1, 2, 9], [5, 6, 3]]
    assert trend(table, "dimension", ["a", "b"]).to_dict() == {1: 1}


def test_a_point_without_a_row_is_an_error():
    with pytest.raises(KeyError):
        trend(TABLE, "error", ["a", "d"])


def test_a_tilt_is_in_decades():
    table = pd.DataFrame({"seed": [1, 1, 1, 2, 2], "x": [1, 2, 3, 1, 3], "y": [0.5, 5, 50, 100, 1]})
    table["kind"] = list("aaabb")
    assert tilt(table, "x", "y").to_dict() == pytest.approx({1: 1, 2: -1})
    only = tilt(table, "x", "y", kind="a")
    assert only[1] == pytest.approx(1) and math.isnan(only[2])


def test_decades_lie_between_two_picks():
    table = TABLE.assign(error=[1.0, 10, 100, 5, 0.5, 7])
    assert decades(table, "error", {"point": "b"}, {"point": "a"}).to_dict() == pytest.approx({7: 1, 3: -1})
    found = decades(table, "error", {"point": "b"}, {"point": "a"}, kind="x")
    assert found[7] == pytest.approx(1) and math.isnan(found[3])  # the other seed's b is of another kind


def test_a_reference_is_taken_off_where_the_keys_agree():
    found = less(TABLE[TABLE["seed"] == 7], ["error"], ["point"], kind="x").set_index("point")["error"]
    assert found[["a", "b"]].tolist() == [0, 0] and math.isnan(found["c"])
    table = pd.concat([TABLE, TABLE.assign(kind="base", error=1.0)])
    found = less(table, ["error"], ["seed", "point"], kind="base")
    assert found["error"].tolist() == [0, 1, 5, 4, 3, 2, *[0] * 6]
    with pytest.raises(ValueError, match="duplicate"):
        less(table, ["error"], ["seed"], kind="base")


def test_a_star_has_each_choice_alone():
    """The headline once, other architectures at it, other choices at the first architecture."""
    index = pd.MultiIndex.from_product([["d: 1", "d: 2"], [100, 101]], names=["choice", "seed"])
    values = pd.DataFrame({"vgg8": [1.0, 2, 3, 4], "cnn4": [5.0, 6, 7, 8]}, index)
    found = star(values, ["d: 1", "d: 2"], "vgg8")
    assert {name: list(each) for name, each in found.items()} == {"d: 1": [1, 2], "d: 2": [3, 4]}
    found = star(values, ["d: 1", "d: 2"], "cnn4", ["vgg8", "cnn4"])
    assert {name: list(each) for name, each in found.items()} == {
        "architecture: cnn4": [5, 6], "architecture: vgg8": [1, 2], "d: 2": [7, 8],
    }  # fmt: skip
    assert found["d: 2"].index.name == "seed"
