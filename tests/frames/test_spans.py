"""Shares of directions in spans, and the aliasing of powers: closed forms, and images whose directions are known."""

import numpy as np
import pytest
import torch

from helpers.frames import known
from helpers.frames.directions import FACTORS
from helpers.frames.known import shift_gain
from helpers.frames.spans import captured
from helpers.networks.numerics import stream


def test_a_direction_is_captured_by_its_own_span_and_by_no_other():
    axes = torch.eye(16).reshape(16, 1, 4, 4)
    span, vectors = axes[:3][None], axes[[0, 2, 5]][None]
    assert captured(vectors, span)[0].tolist() == [1, 1, 0]
    half = (axes[0] + axes[7])[None, None] / 2**0.5
    assert float(captured(half, span)) == pytest.approx(0.5)


def test_a_random_direction_is_captured_by_the_share_of_dimensions():
    vectors = torch.randn(2000, 1, 1, 4, 4, generator=stream(0), dtype=torch.float64)
    vectors /= vectors.flatten(2).norm(dim=2)[..., None, None, None]
    span = torch.eye(16, dtype=torch.float64)[:4].reshape(1, 4, 1, 4, 4).expand(2000, -1, -1, -1, -1)
    assert float(captured(vectors, span).mean()) == pytest.approx(4 / 16, abs=0.01)


@pytest.mark.parametrize(
    ("power", "band", "exact"), [(1, 7, True), (2, 7, True), (2, 8, False), (3, 5, True), (3, 6, False)]
)
def test_a_power_is_invariant_until_a_frequency_folds_back(power, band, exact):
    """Of 16 points: power times band stays below the number of points, and a square's derivative of 2 x 7 does."""
    gain = shift_gain(power, band)
    assert (gain < 1e-12) if exact else (gain > 1e-6)


def test_relu_is_never_invariant():
    assert shift_gain(0, 2) > 1e-6


def test_powers_fold_back_one_after_the_other():
    rows = known.folded((1, 3), (5, 6), draws=4)
    assert [(row["power"], row["band"]) for row in rows] == [(1, 5), (1, 6), (3, 5), (3, 6)]
    assert [row["gain"] > 1e-6 for row in rows] == [False, False, False, True]
    three = sorted(shift_gain(3, 6, seed) for seed in range(3))
    assert known.folded((3,), (6,), draws=3)[0]["gain"] == three[1]  # the median


def test_spans_are_learned_better_from_more_images_of_known_factors():
    """Of five random directions of 144 pixels a factor has 5/144 = 0.035."""
    few, many = (known.learned(12, count, 20, 20) for count in (40, 400))
    assert [row["factor"] for row in many] == list(FACTORS)
    for row in many:
        assert 3 * 5 / 144 < row["local"] <= 1.001 and 5 / 144 < row["generated"] <= 1.001
    mean = lambda rows: np.mean([row["local"] for row in rows])
    assert mean(many) > mean(few)
    assert many == known.learned(12, 400, 20, 20)


def test_fewer_neighbours_span_fewer_directions():
    two = known.learned(12, 60, 1, 3)
    assert sum(row["local"] for row in two) < sum(row["local"] for row in known.learned(12, 60, 1, 20))
