"""Statistics of a network's profile: planted turns, and what chance gives."""

import numpy as np
import pandas as pd
import pytest

from helpers.verdicts import along_depth


def profile(**measures):
    count = len(next(iter(measures.values())))
    return pd.DataFrame({"depth": np.linspace(0, 1, count)} | measures)


STEP = profile(a=[0, 0, 1, 1, 1], b=[1, 1, -3, -3, -3.5], c=[np.nan, 0, 0, 0, 2])


def test_the_turn_is_halfway_in_the_hop_with_the_largest_change_either_way():
    assert [along_depth.turn(STEP, name)[0] for name in "abc"] == [0.375, 0.375, 0.875]
    assert along_depth.turn(STEP, "a")[1].tolist() == [0.125, 0.375, 0.625, 0.875]


def test_measures_that_turn_together_disagree_less_than_hops_at_random():
    at_random = np.mean([abs(i - j) / 4 for i in range(4) for j in range(4)])
    assert along_depth.disagreement(STEP, ["a", "b"]) == pytest.approx(-at_random)
    assert along_depth.disagreement(STEP, ["a", "c"]) == pytest.approx(0.5 - at_random)


def test_measures_are_ranked_alike_without_the_input():
    rows = profile(a=[9.0, 1, 2, 3], b=[0.0, 10, 20, 21], c=[0.0, 3, 2, 1])
    assert along_depth.ranked_alike(rows, "a", "b") == pytest.approx(1)
    assert along_depth.ranked_alike(rows, "a", "c") == pytest.approx(-1)


def test_images_are_lost_nearer_to_a_planted_turn_than_to_a_planted_peak():
    rows = profile(error=[0, 0.1, 0.2, 0.9, 1], angle=[2.0, 2, 2, 1, 1], dimension=[1.0, 5, 3, 2, 1])
    given = rows, "error", "angle", "dimension"
    assert along_depth.lost_at_turn(*given) == pytest.approx(abs(0.75 - 0.625) - abs(0.75 - 0.25))
    hops = np.mean([abs(0.75 - hop) for hop in (0.125, 0.375, 0.625, 0.875)])
    assert along_depth.lost_at_turn(*given, any_hop=True) == pytest.approx(hops - 0.5)
    never = along_depth.lost_at_turn(*given, bound=2.0)
    assert never == pytest.approx(abs(1 - 0.625) - abs(1 - 0.25))
