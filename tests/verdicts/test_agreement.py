"""Agreement: how often smaller runs reach a verdict, on planted effects whose rates are known."""

import numpy as np
import pandas as pd
import pytest
from registers import ENTRY, written
from scipy import stats

from helpers.verdicts import claims
from helpers.verdicts.agreement import agreement
from helpers.verdicts.values import tidy

KEY = ("X1", "faithful")
MANY = 200  # seeds of a record: so many that what is drawn from them is drawn from the truth


def normal(effect, spread, n=MANY):
    """Values of so many seeds that scatter as a normal law does, without chance."""
    values = effect + spread * stats.norm.ppf((np.arange(n) + 0.5) / n)
    return pd.Series(values, pd.RangeIndex(n, name="seed"))


def share(tmp_path, measured, sizes=(5,), **rule):
    arms = {"faithful": {"kind": "greater", "quantity": "an effect", "margin": 0.01} | rule}
    register = claims.load(written(tmp_path, ENTRY | {"arms": arms}))
    found = agreement(tidy({KEY: measured}, ()), register, sizes)
    return dict(zip(found["seeds"], found["agrees"]))


def power(effect, spread, m):
    """How often a t-interval of m normal values lies above 0: a noncentral t."""
    return stats.nct.sf(stats.t.ppf(0.975, m - 1), m - 1, effect / spread * m**0.5)


@pytest.mark.parametrize("effect", [0.3, 0.6, 1.0, 2.0])
def test_as_often_as_a_planted_effect_is_found(tmp_path, effect):
    found = share(tmp_path, normal(effect, 1.0), (3, 5, 10))
    for m, agrees in found.items():
        assert agrees == pytest.approx(power(effect, 1.0, m), abs=0.08), m
    assert found[3] <= found[5] <= found[10]


def test_a_clear_effect_is_always_found_and_two_seeds_never_judge(tmp_path):
    assert share(tmp_path, normal(5.0, 0.1), (2, 3, 10)) == {2: 0.0, 3: 1.0, 10: 1.0}


def test_all_choices_must_agree_on_the_same_seeds(tmp_path):
    """Choices that scatter together cost nothing; one that scatters for itself makes the verdict rarer."""
    one = normal(1.0, 1.0)
    alone, twice = share(tmp_path, one), share(tmp_path, {"a": one, "b": one})
    other = pd.Series(np.random.default_rng(0).permutation(one), one.index)
    assert twice == alone and share(tmp_path, {"a": one, "b": other})[5] < alone[5] - 0.1


def test_networks_are_drawn_by_seed(tmp_path):
    """Eight configurations of three seeds are enough to judge, those of two are not."""
    draw, index = np.random.default_rng(0), pd.MultiIndex.from_product([range(8), range(4)], names=["model", "seed"])
    x = draw.normal(size=32)
    frame = pd.DataFrame({"x": x, "y": x + draw.normal(size=32) / 9}, index)
    found = share(tmp_path, frame, (2, 3), statistic="spearman", margin=0.1)
    assert found == {2: 0.0, 3: 1.0}


def test_what_has_no_verdict_or_no_seeds_has_no_row(tmp_path):
    assert share(tmp_path, normal(1.0, 1.0, 2)) == {}
    assert share(tmp_path, [1.0, 1.1, 1.2]) == {}
    assert share(tmp_path, pd.Series({0: np.nan, 1: 1.0, 2: 1.0, 3: 1.0}).rename_axis("seed")) == {}


def test_the_same_every_time(tmp_path):
    assert share(tmp_path, normal(0.5, 1.0, 20)) == share(tmp_path, normal(0.5, 1.0, 20))


def test_networks_without_a_seed_are_the_same_in_every_run(tmp_path):
    """They add nothing to what is left to chance, and can change the verdict."""
    effect = normal(1.0, 0.1)
    elsewhere = pd.Series([0.9, 1.0, 1.1], ["resnet20", "resnet32", "resnet44"])
    assert share(tmp_path, {"a": effect, "b": elsewhere}) == {5: 1.0}
    assert share(tmp_path, {"a": effect, "b": elsewhere - 1}) == {5: 1.0}  # inconclusive, always
    assert share(tmp_path, {"b": elsewhere}) == {}
