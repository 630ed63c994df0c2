"""Statistics of tables of gains: closed forms."""

import numpy as np
import pandas as pd
import pytest

from helpers.frames import log_means, slope, standardised

NETWORKS = [("plain", 1), ("plain", 2), ("robust", 1), ("robust", 2)]


def table():
    """log gain = 10 for robust networks + seed + place of the point / 10 + (0, 1, 5) for the vectors."""
    rows = [
        {"condition": c, "seed": s, "point": p, "vector": v, "rho": np.exp(10 * (c == "robust") + s + i / 10 + j)}
        for c, s in reversed(NETWORKS)
        for i, p in enumerate(["input", "b", "a"])
        for v, j in {"x": 0, "y": 1, "z": 5}.items()
    ]
    return pd.DataFrame(rows)


def test_means_of_logarithms_by_network_and_point():
    found = log_means(table(), "rho", ["x", "z"])
    assert list(found) == ["input", "b", "a"] and list(found.index) == NETWORKS
    assert found.index.names == ["condition", "seed"]
    assert found.loc[("robust", 2)].tolist() == pytest.approx([14.5, 14.6, 14.7])
    assert log_means(table(), "rho", ["y"]).loc[("plain", 1), "a"] == pytest.approx(2.2)


def test_means_of_what_is_there_twice_or_not():
    with pytest.raises(ValueError, match="duplicate"):
        log_means(pd.concat([table(), table()]), "rho", ["x"])
    with pytest.raises(KeyError, match="w"):
        log_means(table(), "rho", ["x", "w"])


def test_the_slope_on_a_dial():
    values = pd.Series([1.0, 2.0, 3.0, 10.0, 100.0], pd.MultiIndex.from_tuples(
        [("none", 7), ("half", 7), ("full", 7), ("none", 8), ("other", 7)], names=["condition", "seed"]))  # fmt: skip
    values["half", 8], values["full", 8] = 9.0, 8.0
    found = slope(values, {"none": 0.0, "half": 0.5, "full": 1.0})
    assert found.to_dict() == pytest.approx({7: 2.0, 8: -2.0}) and found.index.name == "seed"
    bent = slope(values, {"none": 0.0, "half": 0.5, "other": 1.0})
    assert bent[7] == pytest.approx(99.0)  # least squares, not the ends alone: (0.5 * 99) / 0.5


def test_mean_over_spread_of_log_ratios():
    logs = {"over": [3.0, 5.0, 7.0, np.nan], "under": [1.0, 1.0, 1.0, 1.0]}
    rows = pd.DataFrame([
        {"condition": c, "seed": 4, "image": i, "rho": np.exp(value), "other": np.exp(-value)}
        for c, values in logs.items() for i, value in enumerate(values)
    ])  # fmt: skip
    shuffled = rows.sample(frac=1, random_state=0)  # images are paired by their numbers
    found = standardised(shuffled, ["rho", "other"], "over", "under")
    assert found.loc[4].to_dict() == pytest.approx({"rho": 4 / 2, "other": -4 / 2})
    assert found.index.name == "seed" and list(found) == ["rho", "other"]
