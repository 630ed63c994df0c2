"""Curves along depth: courses worked out by hand, and what has no value."""

import numpy as np
import pandas as pd
import pytest

from helpers.curvature import along_depth


def powers(*decades):
    return 10.0 ** np.array(decades, dtype=float)


def test_a_course_in_decades():
    found = along_depth.course(powers(-1, 1, 1.5, 2, 5))
    assert found.last == pytest.approx(3) and found.hidden == pytest.approx(1.5)
    assert found.phases == pytest.approx(2 - 1)  # the first jump is the smaller one, the plateau spans one decade
    assert found.contrast == pytest.approx(3.5)


def test_the_last_jump_may_start_elsewhere():
    found = along_depth.course(powers(-1, 1, 1.5, 2, 2.5), reference=100.0)
    assert found.last == pytest.approx(0.5) and found.phases == pytest.approx(-0.5)
    assert along_depth.course(powers(-1, 1, 1.5, 2, 2.5), reference=10.0).last == pytest.approx(1.5)


def test_a_measure_that_is_zero_at_the_input_has_one_jump():
    found = along_depth.course(np.array([0.0, 1.0, 10.0, 1000.0]))
    assert found == pytest.approx((2, 2 - 1, 0.5, 2.5))


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="values: 2, expected .* at least three"):
        along_depth.course(np.array([1.0, 2.0]))


def test_courses_are_one_row_a_network_and_choice():
    one = pd.DataFrame({"net": "b", "seed": 1, "depth": [0.0, 0.5, 0.25, 1.0], "x": powers(0, 3, 1, 4),
                        "size": [4.0, 2, 3, 1], "from": [9.0, 10.0, 9, 9]})  # fmt: skip
    other = one.assign(net="a", x=powers(0, 1, 1, 1))
    dot = lambda a, b: float(a @ np.log10(b))
    table = pd.concat([one, other]).sample(frac=1, random_state=0).sort_values("net", ascending=False)
    choices = {"plain": ("x", None), "over": ("x", "from")}
    found = along_depth.courses(table, ["net", "seed"], choices, "size", dot)
    assert list(found.index) == [("plain", "b", 1), ("over", "b", 1), ("plain", "a", 1), ("over", "a", 1)]
    assert found["last"].tolist() == pytest.approx([1, 3, 0, 0])
    assert found["hidden"].tolist() == pytest.approx([2, 2, 1, 1])
    assert found["rank"].iloc[0] == pytest.approx(3 * 1 + 2 * 3 + 1 * 4)  # in order of depth
    assert found["hidden rank"].iloc[0] == pytest.approx(3 * 1 + 2 * 3)


def test_last_steps_by_hand():
    one = {"net": "b", "mapc": [1.0, 2.0, 6.0], "bend": [0.0, 0.1, 0.01], "readout": [0.0, 1.0, 7.0]}
    other = one | {"net": "a", "mapc": [3.0, 2.0, 1.0], "bend": [0.0, 0.1, 1.0]}
    table = pd.concat([pd.DataFrame(one), pd.DataFrame(other)])
    found = along_depth.last_steps(table, ["net"], "mapc", "bend", "readout")
    assert list(found.index.get_level_values("net")) == ["b", "a"] and found["points"].tolist() == [3, 3]
    assert found["gap"].tolist() == pytest.approx([4 / 3, -1 / 2])
    assert found["rise"].tolist() == pytest.approx([-2, 0])
    assert found["rise_penultimate"].tolist() == pytest.approx([-1, 1])
