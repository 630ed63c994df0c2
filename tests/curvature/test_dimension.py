"""Dimensions: the peers' answers, clouds of known dimension, and what leaves a dimension unchanged."""

import inspect
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ortho_group

from helpers.curvature import dimension
from helpers.curvature.dimension import pca_dimension, two_nn
from helpers.networks.numerics import stream

PEERS = np.load(Path(__file__).parents[1] / "fixtures" / "two_nn.npz")
NAMES = sorted({key.split("/")[0] for key in PEERS})


def gauss(n, d, seed=0):
    return torch.randn(n, d, generator=stream(seed, "gauss", d), dtype=torch.float64)


def ball(n, d):
    x = gauss(n, d)
    radius = torch.rand(n, 1, generator=stream(0, "ball", d), dtype=torch.float64) ** (1 / d)
    return radius * x / x.norm(dim=1, keepdim=True)


def sphere(n, d):
    x = gauss(n, d + 1)
    return x / x.norm(dim=1, keepdim=True)


def rotation(d, seed=0):
    return torch.from_numpy(np.atleast_2d(ortho_group.rvs(d, random_state=seed)))


def spectrum(values, n=400):
    """Points (n, D) whose principal components carry exactly these variances, along the axes."""
    x = gauss(n, len(values))
    q = torch.linalg.qr(x - x.mean(0)).Q
    return q * torch.as_tensor(values, dtype=torch.float64).sqrt()


# TwoNN


@pytest.mark.parametrize("peer", ["ansuini", "skdim"])
@pytest.mark.parametrize("name", NAMES)
def test_two_nn_meets_both_peers(name, peer):
    assert two_nn(torch.from_numpy(PEERS[f"{name}/points"])) == pytest.approx(float(PEERS[f"{name}/{peer}"]), rel=1e-10)


@pytest.mark.parametrize("discard", [0.1, 0.35])
@pytest.mark.parametrize("d", [2, 7])
def test_two_nn_meets_scikit_dimension_live(d, discard):
    skdim = pytest.importorskip("skdim.id")
    x = sphere(600, d)
    peer = skdim.TwoNN(discard_fraction=discard).fit(x.numpy()).dimension_
    assert two_nn(x, discard) == pytest.approx(peer, rel=1e-10)


def test_all_ratios_but_the_infinite_end_can_be_kept():
    x = sphere(600, 5)
    assert two_nn(x, 0.0) == two_nn(x, 2 / 600) == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize(
    ("cloud", "d", "tolerance"),
    [(ball, 1, 0.12), (ball, 2, 0.15), (ball, 5, 0.4), (sphere, 2, 0.15), (sphere, 5, 0.4), (sphere, 10, 1.2),
     (gauss, 2, 0.15), (gauss, 5, 0.4)],
)  # fmt: skip
def test_two_nn_finds_a_known_dimension_in_a_larger_space(cloud, d, tolerance):
    x = cloud(3000, d)
    assert two_nn(x @ rotation(40)[: x.shape[1]]) == pytest.approx(d, abs=tolerance)


def test_two_nn_underestimates_many_dimensions():
    assert 14 < two_nn(sphere(2000, 20)) < 19
    assert two_nn(sphere(500, 20)) < two_nn(sphere(2000, 20))


@given(st.integers(0, 2**31 - 1), st.floats(1e-3, 1e3), st.floats(-100, 100))
@settings(max_examples=20, deadline=None)
def test_two_nn_does_not_see_rotation_translation_scale_or_order(seed, scale, shift):
    x = sphere(120, 3)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(120))
    assert two_nn(scale * (x[order] @ rotation(4, seed)) + shift) == pytest.approx(two_nn(x), rel=1e-6)


def test_a_scale_for_each_feature_is_seen():
    assert abs(two_nn(sphere(500, 3) * torch.tensor([1, 1, 1e-6, 1e-6])) - two_nn(sphere(500, 3))) > 0.5


def test_points_with_a_duplicate_carry_no_ratio():
    x = sphere(400, 3)
    # Twins far away from the others change nobody's neighbours but their own.
    twins = x[:30] + 100
    assert two_nn(torch.cat([x, twins, twins])) == two_nn(x)
    with pytest.raises(ValueError, match="points: 0 of 800 have two distinct neighbour distances, expected at least 20"):
        two_nn(torch.cat([x, x]))
    with pytest.raises(ValueError, match="points: 2 of 30"):
        two_nn(torch.arange(30.0)[:, None])  # on a regular line only the ends have two distances


def test_near_neighbours_keep_their_digits():
    """Far from the origin |x|^2 + |y|^2 - 2xy would have lost the distances altogether."""
    x = 1e-3 * sphere(300, 3)
    assert two_nn(x + 1e4) == pytest.approx(two_nn(x), rel=1e-4)


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e9])
@pytest.mark.parametrize(("n", "features"), [(20, 3), (300, 40), (1100, 2)])
def test_nearest_neighbours_are_those_of_all_differences(n, features, shift):
    """Far from the origin products say little, and every distance is taken; duplicates are at no distance."""
    cloud = torch.randn(n, features, generator=stream(0, "cloud"), dtype=torch.float64)
    cloud = torch.cat([cloud, cloud[:5]]) + shift
    every = torch.cdist(cloud, cloud, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf)
    assert torch.equal(dimension._two_nearest(cloud), every.topk(2, largest=False).values)


def test_single_precision_is_computed_in_double():
    x = sphere(300, 3).float()
    assert two_nn(x) == two_nn(x.double())


# PCA


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("variance", [0.55, 0.9, 0.99])
def test_pca_counts_the_components_of_a_planted_spectrum(variance, standardise):
    values = np.array([50, 30, 12, 5, 2, 1])
    expected = int(np.searchsorted(np.cumsum(values) / values.sum(), variance, side="right")) + 1
    x = spectrum(values)
    assert pca_dimension(x @ rotation(6), variance) == expected
    # Along the axes standardising makes every component equal.
    assert pca_dimension(x, variance, standardise=standardise) == (int(6 * variance) + 1 if standardise else expected)


def test_a_share_that_is_met_exactly_is_not_exceeded():
    assert pca_dimension(torch.tensor([[2.0, 0], [-2, 0], [0, 2], [0, -2]]), 0.5) == 2
    assert pca_dimension(torch.tensor([[2.0, 0], [-2, 0], [0, 2], [0, -2]]), 0.49) == 1


def test_fewer_points_than_features_give_the_same_count():
    x = spectrum([50, 30, 12, 5, 2, 1], n=40) @ rotation(60)[:6]
    assert x.shape[0] < x.shape[1] and pca_dimension(x) == 3 == pca_dimension(torch.cat([x, x]))


@given(st.integers(0, 2**31 - 1), st.floats(1e-3, 1e3), st.floats(-100, 100))
@settings(max_examples=25, deadline=None)
def test_pca_does_not_see_rotation_translation_or_scale(seed, scale, shift):
    x = spectrum([8, 7, 6, 5, 4, 3, 2, 1])  # the share nearest to 0.9 is 0.917
    assert pca_dimension(scale * (x @ rotation(8, seed)) + shift) == pca_dimension(x) == 6


def test_standardised_pca_depends_on_the_axes():
    x = spectrum([100, 1, 1, 1])
    turned = [pca_dimension(x @ rotation(4, seed), standardise=True) for seed in range(5)]
    assert pca_dimension(x, standardise=True) == 4 and min(turned) < 4
    assert {pca_dimension(x @ rotation(4, seed)) for seed in range(5)} == {1}


@given(arrays(float, 4, elements=st.floats(1e-3, 1e3)))
@settings(max_examples=25, deadline=None)
def test_standardised_pca_does_not_see_a_scale_for_each_feature(scale):
    x = spectrum([9, 4, 2, 1]) @ rotation(4)
    assert pca_dimension(x * torch.from_numpy(scale), standardise=True) == pca_dimension(x, standardise=True)


def test_dead_features_do_not_count():
    x = spectrum([9, 4, 2, 1]) @ rotation(4)
    dead = torch.cat([x, torch.full((len(x), 5), 0.1, dtype=torch.float64)], dim=1)
    for standardise in (False, True):
        assert pca_dimension(dead, standardise=standardise) == pca_dimension(x, standardise=standardise)


# Bad input


@pytest.mark.parametrize("measure", [two_nn, pca_dimension])
@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(30), r"points: shape \(30,\), expected \(n, D\)"),
        (torch.zeros(1, 3), r"points: shape \(1, 3\), expected \(n, D\) with n at least"),
        (torch.full((30, 3), float("nan")), "points: holds NaN or infinite values, expected finite numbers"),
        (torch.full((30, 3), float("inf")), "points: holds NaN or infinite values"),
    ],
)
def test_a_cloud_that_cannot_be_measured_is_refused(measure, points, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(measure)(points)  # without the tests' own check of shapes


@pytest.mark.parametrize("discard", [-0.1, 1.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(discard):
    with pytest.raises(ValueError, match=rf"discard: {discard}, expected a fraction in \[0, 1\)"):
        two_nn(sphere(30, 2), discard)


@pytest.mark.parametrize("variance", [0.0, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(variance):
    with pytest.raises(ValueError, match=rf"variance: {variance}, expected a share in \(0, 1\)"):
        pca_dimension(sphere(30, 2), variance)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.77, 1000.1])
@pytest.mark.parametrize("standardise", [False, True])
def test_points_that_do_not_vary_have_no_linear_dimension(standardise, value):
    with pytest.raises(ValueError, match="points: all equal"):
        pca_dimension(torch.full((100, 3), value, dtype=torch.float64), standardise=standardise)
