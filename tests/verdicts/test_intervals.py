"""Intervals: they cover what they promise, by hand and in studies, and p-values are adjusted for their number."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registers import GREATER
from scipy import stats

from helpers import verdicts
from helpers.networks.numerics import numpy_stream
from helpers.verdicts.intervals import Interval, bootstrap_interval, holm, partial_spearman, spearman, t_interval
from helpers.verdicts.judging import judge

STUDIES = 2000


def studies(effect, spread, n):
    """Intervals of studies of n seeds with a true effect and normal scatter."""
    return [t_interval(effect + spread * row) for row in np.random.default_rng(n).normal(size=(STUDIES, n))]


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_t_intervals_cover_what_they_promise(n):
    covered = sum(i.low <= 0.7 <= i.high for i in studies(0.7, 0.4, n)) / STUDIES
    assert covered == pytest.approx(0.95, abs=0.015)


def test_a_t_interval_by_hand():
    i = t_interval([1.0, 2.0, 4.0], null=1.0)
    mean, error = 7 / 3, math.sqrt(7 / 9)  # variance 7/3 over n = 3
    assert (i.n, i.method) == (3, "t over seeds") and i.estimate == pytest.approx(mean)
    assert i.high - i.estimate == pytest.approx(4.302652730 * error) == i.estimate - i.low
    # With two degrees of freedom the two-sided p is 1 - t / sqrt(t^2 + 2).
    t = (mean - 1) / error
    assert i.p == pytest.approx(1 - t / math.sqrt(t * t + 2))


def test_seeds_that_agree_are_a_point():
    assert t_interval([2.0] * 3) == Interval(2.0, 2.0, 2.0, 3, 0.0, "t over seeds")
    assert t_interval([2.0] * 3, null=2.0).p == 1.0


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=8), st.floats(-10, 10), st.floats(0.1, 10))
@settings(deadline=None)
def test_a_t_interval_moves_with_its_values(values, shift, scale):
    plain, moved = t_interval(values), t_interval([scale * v + shift for v in values])
    for name in ("estimate", "low", "high"):
        assert getattr(moved, name) == pytest.approx(scale * getattr(plain, name) + shift, abs=1e-9)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_bootstrap_intervals_cover_roughly(rho):
    draw = np.random.default_rng(0)
    true, inside = 6 / math.pi * math.asin(rho / 2), 0
    for _ in range(300):
        x, y = draw.normal(size=(2, 30))
        i = bootstrap_interval(spearman, x, rho * x + math.sqrt(1 - rho**2) * y, generator=draw, draws=300)
        inside += i.low <= true <= i.high
    assert 0.9 <= inside / 300 <= 0.99


def test_a_bootstrap_is_repeatable_and_its_p_is_bounded():
    x = np.random.default_rng(1).normal(size=(2, 40))
    one, two = (bootstrap_interval(spearman, *x, generator=np.random.default_rng(0)) for _ in range(2))
    assert one == two and one.low < one.estimate < one.high and 0.05 < one.p <= 1
    perfect = bootstrap_interval(spearman, x[0], x[0], generator=np.random.default_rng(0), draws=100)
    assert (perfect.low, perfect.high, perfect.p) == (pytest.approx(1), pytest.approx(1), 0.02)


def test_a_correlation_that_is_undefined_in_some_samples_has_no_interval():
    """With one value that differs, a third of the samples miss it and correlate nothing."""
    y = np.zeros(24)
    for _ in range(2):
        i = bootstrap_interval(spearman, np.arange(24.0), y, generator=np.random.default_rng(0))
        assert all(map(math.isnan, (i.low, i.high, i.p))) and judge(GREATER, {"": i}).verdict == "not judged"
        y[0] = 1


def test_the_p_value_of_a_bootstrap_is_that_of_the_bound():
    x = np.random.default_rng(0).normal(1.0, 0.1, 40)
    given = {"generator": np.random.default_rng(1)}
    mean = lambda v, axis=-1: v.mean(axis)
    assert bootstrap_interval(mean, x, **given).p == pytest.approx(1 / 1000)
    assert bootstrap_interval(mean, x, **given, null=float(x.mean())).p > 0.5


def test_rank_correlation():
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 6, size=(2, 5, 30)).astype(float)  # with ties
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(x, y)]
    assert spearman(x, y) == pytest.approx(expected) and spearman(x.T, y.T, axis=0) == pytest.approx(expected)
    assert math.isnan(spearman(np.ones(9), np.arange(9.0)))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8]) and holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)
    assert len(holm([])) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None)
def test_holm_only_raises_and_keeps_the_order(p):
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all() and (adjusted <= np.minimum(1, len(p) * np.array(p)) + 1e-15).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


def by_hand(statistic, *columns, generator, draws=2000, null=0.0):
    """The percentile bootstrap, spelled out."""
    x = np.asarray(columns)
    drawn = generator.integers(x.shape[1], size=(draws, x.shape[1]))
    values = statistic(*(column[drawn] for column in x), axis=-1)
    low, high = np.percentile(values, (2.5, 97.5))
    p = 2 * max(min((values <= null).mean(), (values >= null).mean()), 1 / draws)
    return Interval(float(statistic(*x)), float(low), float(high), x.shape[1], min(1.0, p), "bootstrap over networks")


@pytest.mark.parametrize("null", [0.0, 0.3])
@pytest.mark.parametrize("statistic", [spearman, partial_spearman])
def test_the_bootstrap_draws_as_one_by_hand_with_the_same_generator(statistic, null):
    x = np.random.default_rng(3).normal(size=(3, 30))
    x[1] += 0.4 * x[0]
    columns = x if statistic is partial_spearman else x[:2]
    found = bootstrap_interval(statistic, *columns, generator=np.random.default_rng(5), null=null)
    expected = by_hand(statistic, *columns, generator=np.random.default_rng(5), null=null)
    assert (found.n, found.method) == (expected.n, expected.method)
    for name in ("estimate", "low", "high", "p"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12)


def test_the_generator_of_a_bootstrap_is_a_named_stream():
    x = np.random.default_rng(3).normal(size=(2, 30))
    found = [bootstrap_interval(spearman, *x) for _ in range(2)]
    assert found[0] == found[1] == bootstrap_interval(spearman, *x, generator=numpy_stream(0, "bootstrap"))
    assert found[0] != bootstrap_interval(spearman, *x, generator=numpy_stream(1, "bootstrap"))


def test_a_partial_rank_correlation_by_the_formula_of_three_variables():
    draw = np.random.default_rng(0)
    z = draw.normal(size=(4, 40))
    x, y = z + draw.normal(size=z.shape), draw.integers(0, 5, size=z.shape) - z
    xy, xz, yz = spearman(x, y), spearman(x, z), spearman(y, z)
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_spearman(x, y, z) == pytest.approx(expected)
    assert partial_spearman(x.T, y.T, z.T, axis=0) == pytest.approx(expected)
    assert partial_spearman(x[0], y[0], z[0]) == pytest.approx(expected[0])
    assert partial_spearman(x, y) == pytest.approx(xy)  # given nothing


def test_a_partial_rank_correlation_given_two_is_that_of_what_regression_leaves():
    x = np.random.default_rng(1).normal(size=(4, 30))
    x[0] += x[2] - x[3]
    x[1] += x[3]
    ranks = np.array([stats.rankdata(column) - 15.5 for column in x])
    left = [r - ranks[2:].T @ np.linalg.lstsq(ranks[2:].T, r, rcond=None)[0] for r in ranks[:2]]
    expected = np.corrcoef(left)[0, 1]
    assert partial_spearman(*x) == pytest.approx(expected)
    assert partial_spearman(*x, x[3]) == pytest.approx(expected)  # twice the same is no more


@pytest.mark.parametrize("place", range(3))
def test_a_partial_rank_correlation_of_a_constant_is_undefined(place):
    x = np.random.default_rng(0).normal(size=(3, 25))
    x[place] = 1.0
    assert math.isnan(partial_spearman(*x))
    x[place, 0] = math.nan  # nor does it stop
    assert math.isnan(partial_spearman(*x))
    several = np.random.default_rng(0).normal(size=(3, 2, 25))
    several[place, 1] = 1.0
    assert np.isnan(partial_spearman(*several)).tolist() == [False, True]


def test_columns_that_follow_from_one_another():
    x, z = np.random.default_rng(0).normal(size=(2, 25))
    assert partial_spearman(x, x, z) == pytest.approx(1) and partial_spearman(x, -x, z) == pytest.approx(-1)
    assert math.isnan(partial_spearman(x, z, z)) and math.isnan(partial_spearman(x, z, x))


@pytest.mark.parametrize("name", verdicts.statistics.STATISTICS)
def test_what_is_not_a_number_has_no_interval(name):
    """A statistic of matrices would stop at it."""
    x = np.random.default_rng(0).normal(size=(12, 30))
    columns = {"mean": 1, "spearman": 2, "axes": 6}.get(name, 12 if name == "shared axes" else 3)
    x[0, 3] = math.nan
    found = bootstrap_interval(verdicts.statistics.STATISTICS[name], *x[:columns])
    assert all(map(math.isnan, (found.estimate, found.low, found.high, found.p))) and found.n == 30
