"""Statistics that rules ask for: by hand, of many samples at once, and undefined where they have no value."""

import math

import numpy as np
import pandas as pd
import pytest

from helpers.verdicts import judging
from helpers.verdicts.claims import Rule
from helpers.verdicts.intervals import spearman
from helpers.verdicts.statistics import STATISTICS, axes, correlation, mean, rank_gain, shared_axes, slopes
from helpers.verdicts.values import tidy

UPPER = np.triu_indices(5)


@pytest.fixture
def moments():
    """Of 24 networks, sums over points of products of five measures, two of which go together; (n, m, m)."""
    x = np.random.default_rng(0).normal(size=(24, 9, 5))
    x[..., 1] += 2 * x[..., 0]
    return np.einsum("npi,npj->nij", x, x)


def products(moments):
    """The upper triangle, one row a product."""
    return moments[:, *UPPER].T


def ratio(matrix):
    """Participation ratio of the eigenvalues of a correlation matrix, from traces."""
    return np.trace(matrix) ** 2 / np.trace(matrix @ matrix)


def scaled(sums):
    spread = np.sqrt(np.diag(sums))
    return sums / np.outer(spread, spread)


def leading(sums, others, kept=3):
    """Variance of `sums` along the leading axes of others, of the most that as many axes can have."""
    own = scaled(sums)
    values, vectors = np.linalg.eigh(scaled(others))
    best = vectors[:, np.argsort(values)[-kept:]]
    return np.trace(best.T @ own @ best) / np.sort(np.linalg.eigvalsh(own))[-kept:].sum()


def test_the_mean():
    x = np.arange(6.0).reshape(2, 3)
    assert mean(x).tolist() == [1.0, 4.0] and mean(x, axis=0).tolist() == [1.5, 2.5, 3.5]


def test_the_gain_in_rank_is_of_sizes():
    x, y, other = np.random.default_rng(0).normal(size=(3, 4, 25))
    expected = [abs(spearman(a, b)) - abs(spearman(c, b)) for a, b, c in zip(x, y, other)]
    assert rank_gain(x, y, other) == pytest.approx(expected) == rank_gain(-x, y, -other)
    assert rank_gain(y[0], y[0], x[0]) == pytest.approx(1 - abs(spearman(x[0], y[0])))
    assert math.isnan(rank_gain(x[0], y[0], np.ones(25)))


def test_axes_are_the_participation_ratio(moments):
    assert axes(*products(moments)) == pytest.approx(ratio(scaled(moments.sum(0))))
    uncorrelated = np.eye(5)[None].repeat(3, 0) * [1, 2, 3, 4, 5]
    assert axes(*products(uncorrelated)) == pytest.approx(5)  # whatever their units
    assert axes(*products(np.ones((3, 5, 5)))) == pytest.approx(1)


def test_a_measure_that_never_varies_is_no_axis_and_stops_nothing():
    still = np.eye(5)[None] * [1, 1, 1, 1, 0]
    assert axes(*products(still)) == pytest.approx(4) and np.isfinite(shared_axes(*products(still), *products(still)))


def test_shared_axes(moments):
    others = moments[::-1].copy()
    others[:, 2, 3] = others[:, 3, 2] = 0.9 * np.sqrt(others[:, 2, 2] * others[:, 3, 3])
    found = shared_axes(*products(moments), *products(others))
    assert found == pytest.approx(leading(moments.sum(0), others.sum(0))) and 0.5 < found < 0.999
    assert shared_axes(*products(moments), *products(moments)) == pytest.approx(1)
    one = shared_axes(*products(moments), *products(others), kept=1)
    assert one == pytest.approx(leading(moments.sum(0), others.sum(0), kept=1)) and one != pytest.approx(found)


@pytest.mark.parametrize("name", ["axes", "shared axes"])
def test_many_samples_at_once(moments, name):
    """A bootstrap draws networks with the products of all their measures."""
    own, others = moments, moments[::-1] ** 2
    drawn = np.random.default_rng(1).integers(24, size=(7, 24))
    columns = [*products(own), *(products(others) if name == "shared axes" else ())]
    found = STATISTICS[name](*(column[drawn] for column in columns), axis=-1)
    sums = [(own[d].sum(0), others[d].sum(0)) for d in drawn]
    expected = [ratio(scaled(a)) if name == "axes" else leading(a, b) for a, b in sums]
    assert found.shape == (7,) and found == pytest.approx(expected)


def test_products_come_by_upper_triangle(moments):
    matrix = correlation(tuple(products(moments)))
    assert matrix == pytest.approx(scaled(moments.sum(0))) and np.array_equal(matrix, matrix.T)
    with pytest.raises(ValueError, match="products: 14, expected those of an upper triangle: 1, 3, 6, 10"):
        axes(*products(moments)[1:])


@pytest.mark.parametrize("name", ["axes", "shared axes"])
def test_a_rule_about_axes_takes_products_as_columns(moments, name):
    frame = pd.DataFrame(products(moments).T)
    columns = frame.add_prefix("own ").join(frame.add_prefix("other ")) if name == "shared axes" else frame
    rule = Rule("greater", "x", bound=0.9 if name == "shared axes" else 3.0, margin=0.1, statistic=name)
    found = judging.interval(rule, tidy({("S8", "corrected"): columns}, []))
    assert (found.n, found.method) == (24, "bootstrap over networks")
    assert found.estimate == pytest.approx(1 if name == "shared axes" else ratio(scaled(moments.sum(0))))
    assert found.p == pytest.approx(0.001) or name == "axes"  # beyond the bound in every sample


def planted(depths=(1, 2, 3), widths=(4, 8), seeds=(5, 6)):
    """Networks whose y is a power of depth, another of width, and a factor a seed."""
    rows = [
        {"seed": seed, "depth": depth, "width": width, "y": seed * depth**0.5 * width**-2.0}
        for seed in seeds for depth in depths for width in widths
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_planted_slopes_are_found_for_each_seed():
    found = slopes(planted(), "y", ["depth", "width"])
    assert found.index.name == "seed" and list(found.index) == [5, 6] and list(found) == ["depth", "width"]
    assert found["depth"].tolist() == pytest.approx([0.5, 0.5]) and found["width"].tolist() == pytest.approx([-2, -2])


def test_a_constant_covariate_has_no_slope_and_takes_none_from_the_others():
    found = slopes(planted(widths=(8,)), "y", ["depth", "width"])
    assert found["depth"].tolist() == pytest.approx([0.5, 0.5]) and found["width"].isna().all()
    assert slopes(planted((2,), (8,)), "y", ["depth", "width"]).isna().all(axis=None)


def test_covariates_that_follow_from_one_another_and_logarithms_of_nothing_have_no_slopes():
    rows = planted()
    assert slopes(rows.assign(twice=2 * rows["depth"]), "y", ["depth", "twice"]).isna().all(axis=None)
    found = slopes(rows.assign(y=rows["y"].where(rows["seed"] == 5, 0.0)), "y", ["depth"])
    assert found["depth"].isna().tolist() == [False, True]
