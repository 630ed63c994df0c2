"""Shares of directions in spans, and the aliasing of powers: closed forms."""

import pytest
import torch

from helpers.frames import captured, shift_gain
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


@pytest.mark.parametrize(("power", "band", "exact"), [(1, 7, True), (2, 7, True), (2, 8, False), (3, 5, True), (3, 6, False)])
def test_a_power_is_invariant_until_a_frequency_folds_back(power, band, exact):
    """Of 16 points: power times band stays below the number of points, and a square's derivative of 2 x 7 does."""
    gain = shift_gain(power, band)
    assert (gain < 1e-12) if exact else (gain > 1e-6)


def test_relu_is_never_invariant():
    assert shift_gain(0, 2) > 1e-6
