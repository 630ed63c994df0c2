"""Values: from what a chapter measured to one tidy table, and from that table alone to every verdict."""

import math

import numpy as np
import pandas as pd
import pytest
from registers import THREE, written

from helpers import verdicts
from helpers.verdicts import claims, judging
from helpers.verdicts.claims import Rule
from helpers.verdicts.values import COLUMNS, tidy

KEY = ("X1", "faithful")


def listed(table, *columns):
    return list(table[list(columns)].itertuples(index=False, name=None))


def test_a_function_of_the_seed():
    table = tidy({KEY: lambda seed: seed / 2}, [3, 5])
    assert tuple(table.columns) == COLUMNS and table["value"].dtype == float
    assert listed(table, *COLUMNS) == [
        ("X1", "faithful", "", "3", 3, "", "", 1.5), ("X1", "faithful", "", "5", 5, "", "", 2.5),
    ]  # fmt: skip


def test_functions_are_called_for_the_seeds_of_the_run_alone_and_in_order():
    called = []
    tidy({KEY: lambda seed: called.append(seed) or 0.0}, [7, 100, 3])
    assert called == [7, 100, 3]
    assert not len(tidy({KEY: lambda seed: 1 / 0}, []))


@pytest.mark.parametrize("given", [[1.0, 2.0], (1, 2), np.array([1, 2]), pd.Series([1.0, 2.0])])
def test_values_without_names_are_numbered(given):
    assert listed(tidy({KEY: given}, [100]), "unit", "seed", "value") == [("0", None, 1.0), ("1", None, 2.0)]


def test_a_series_names_its_units_and_seeds():
    by_seed = pd.Series({101: 1.0, 100: 2.0}).rename_axis("seed")
    assert listed(tidy({KEY: by_seed}, []), "unit", "seed", "value") == [("101", 101, 1.0), ("100", 100, 2.0)]
    by_name = pd.Series({"mlp2": 1.0, "vgg8": 2.0}).rename_axis("model")
    assert listed(tidy({KEY: by_name}, []), "unit", "seed") == [("mlp2", None), ("vgg8", None)]
    both = pd.Series([1.0, 2.0], pd.MultiIndex.from_product([["mlp2"], [100, 101]], names=["model", "seed"]))
    assert listed(tidy({KEY: both}, []), "unit", "seed") == [("mlp2 100", 100), ("mlp2 101", 101)]


def test_a_frame_has_a_quantity_a_column_in_its_order():
    index = pd.MultiIndex.from_tuples([("mlp2", 100), ("vgg8", 100)], names=["model", "seed"])
    table = tidy({KEY: pd.DataFrame({"z": [1, 2], "a": [3.0, 4.0]}, index)}, [])
    assert listed(table, "of", "unit", "seed", "value") == [
        ("z", "mlp2 100", 100, 1.0), ("z", "vgg8 100", 100, 2.0),
        ("a", "mlp2 100", 100, 3.0), ("a", "vgg8 100", 100, 4.0),
    ]  # fmt: skip


def test_networks_of_one_configuration_are_averaged_before_a_bootstrap_draws():
    """As many configurations as networks are drawn, and what seeds of one share counts once."""
    rule, draw = Rule("two-sided", "an effect", margin=0.1, statistic="spearman"), np.random.default_rng(0)
    of = pd.DataFrame(draw.normal(size=(25, 2)), columns=["x", "y"])
    index = pd.MultiIndex.from_product([range(25), [100, 101]], names=["configuration", "seed"])
    shifted = of.loc[index.get_level_values(0)].set_axis(index) + np.array([-0.5, 0.5] * 25)[:, None]
    table = tidy({KEY: shifted}, [])
    assert listed(table, "unit", "seed", "configuration")[:2] == [("0 100", 100, "0"), ("0 101", 101, "0")]
    found, plain = judging.interval(rule, table), verdicts.bootstrap_interval(verdicts.spearman, of["x"], of["y"])
    assert found.n == 25 and found.estimate == pytest.approx(plain.estimate)
    assert judging.interval(rule, table.assign(configuration="")).n == 50


def test_choices_keep_their_order_with_the_headline_first():
    table = tidy({KEY: {"q = 2": [1.0, 2.0], "q = 1": lambda seed: seed}, ("X2", "faithful"): [0.5]}, [9])
    assert listed(table, "claim", "choice", "value") == [
        ("X1", "q = 2", 1.0), ("X1", "q = 2", 2.0), ("X1", "q = 1", 9.0), ("X2", "", 0.5),
    ]  # fmt: skip


def test_what_is_not_a_number_stays_so():
    table = tidy({KEY: lambda seed: math.nan if seed else math.inf, ("X2", "faithful"): [math.nan, None]}, [0, 1])
    assert table["value"].tolist() == pytest.approx([math.inf, math.nan, math.nan, math.nan], nan_ok=True)


def test_nothing_measured_is_a_table_of_nothing():
    assert tuple(tidy({}, [1]).columns) == COLUMNS and not len(tidy({KEY: {}}, [1]))


def test_intervals_follow_from_the_table_alone(tmp_path):
    register = claims.load(written(tmp_path, *THREE))
    draw = np.random.default_rng(0)
    several = {"b": draw.normal(size=9), "a": draw.normal(size=9)}
    table = tidy({("X3", "corrected"): several, KEY: draw.normal(size=5)}, [])
    again = table.astype(dict.fromkeys(["claim", "arm", "choice", "unit", "of"], "category"))
    found = judging.intervals(table, register)
    pd.testing.assert_frame_equal(judging.intervals(again, register), found, check_exact=True)
    expected = verdicts.t_interval(table["value"][table["choice"] == "b"])
    assert found["choice"].tolist() == ["", "b", "a"] and judging.by_choice(found[1:])["b"] == expected


def test_values_stand_by_claim_in_the_order_of_the_arms():
    found = verdicts.paired({"X1": ([1.0], {"one": [2.0]}), "X2": (None, [3.0]), "X3": ([4.0],)})
    assert found == {
        ("X1", "faithful"): [1.0], ("X1", "corrected"): {"one": [2.0]}, ("X2", "corrected"): [3.0],
        ("X3", "faithful"): [4.0],
    }  # fmt: skip
