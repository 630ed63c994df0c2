"""Verdicts: every one has its case, and planted effects are found at the promised rates."""

import math
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from registers import GREATER, RULES, seeds

from helpers.networks.numerics import stream
from helpers.verdicts import judging
from helpers.verdicts.claims import Rule
from helpers.verdicts.intervals import Interval, bootstrap_interval, spearman, t_interval
from helpers.verdicts.judging import Verdict

STUDIES = 2000


def judge(rule, measured):
    """The verdict on one interval, or on several by choice."""
    return judging.judge(rule, measured if isinstance(measured, dict) else {"": measured})


@pytest.mark.parametrize(
    ("rule", "low", "high", "verdict", "note"),
    [
        ("greater", 0.1, 0.9, "holds", ""),
        ("greater", 0.1, 0.2, "negligible", ""),
        ("greater", 0.0, 0.9, "inconclusive", ""),
        ("greater", -0.1, 0.3, "inconclusive", ""),
        ("greater", -0.1, 0.29, "does not hold", ""),
        ("greater", -2.0, -1.0, "does not hold", ""),
        ("greater than 1", 1.1, 1.9, "holds", ""),
        ("greater than 1", 0.5, 1.29, "does not hold", ""),
        ("greater than 1", 0.5, 1.31, "inconclusive", ""),
        ("less", -0.9, -0.1, "holds", ""),
        ("less", -0.2, -0.1, "negligible", ""),
        ("less", -0.29, 0.1, "does not hold", ""),
        ("less", 1.0, 2.0, "does not hold", ""),
        ("less", -0.31, 0.1, "inconclusive", ""),
        ("less than 1", 0.1, 0.9, "holds", ""),
        ("less than 1", 0.71, 1.2, "does not hold", ""),
        ("within", -0.29, 0.29, "holds", ""),
        ("within", 0.1, 0.2, "holds", ""),
        ("within", -0.3, 0.1, "inconclusive", ""),
        ("within", 0.2, 0.4, "inconclusive", ""),
        ("within", 0.31, 0.4, "does not hold", ""),
        ("within", -0.5, -0.4, "does not hold", ""),
        ("two-sided", 0.1, 0.9, "positive", ""),
        ("two-sided", -0.9, -0.1, "negative", ""),
        ("two-sided", 0.1, 0.2, "none", "positive, but smaller than the margin"),
        ("two-sided", -0.29, 0.29, "none", ""),
        ("two-sided", -0.3, 0.1, "inconclusive", ""),
        ("two-sided", -0.9, 0.9, "inconclusive", ""),
    ],
)
def test_every_verdict(rule, low, high, verdict, note):
    measured = seeds(low, high)
    assert judge(RULES[rule], measured) == Verdict(verdict, measured, note)


@given(st.sampled_from(sorted(RULES)), st.floats(-3, 3), st.floats(0, 3))
@settings(deadline=None)
def test_no_interval_that_holds_the_bound_lets_a_claim_hold(name, low, width):
    rule, measured = RULES[name], seeds(low, low + width)
    verdict = judge(rule, measured).verdict
    edges = (-rule.bound, rule.bound) if rule.kind == "within" else (rule.bound,)
    if any(measured.low <= edge <= measured.high for edge in edges):
        assert verdict not in ("holds", "negligible", "positive", "negative")
    # The same measured backwards is judged backwards.
    mirror = Interval(-measured.estimate, -measured.high, -measured.low, 5, 0.5, measured.method)
    kinds = {"greater": "less", "less": "greater"}
    bound = rule.bound if rule.kind == "within" else -rule.bound
    other = replace(rule, kind=kinds.get(rule.kind, rule.kind), bound=bound)
    swapped = {"positive": "negative", "negative": "positive"}
    assert judge(other, mirror).verdict == swapped.get(verdict, verdict)


@pytest.mark.parametrize("kind", ["by construction", "not judged"])
def test_a_reason_needs_no_measurement_and_no_measurement_changes_it(kind):
    rule = Rule(kind, reason="true whatever the network")
    for measured in ({}, seeds(1.0, 2.0), {"a": seeds(1.0, 2.0), "b": seeds(-2.0, -1.0)}):
        assert judge(rule, measured) == Verdict(kind, None, "true whatever the network")


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_what_was_not_measured_is_not_judged(rule):
    assert judge(rule, {}) == Verdict("not judged", None, "not measured in this profile")


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_too_few_are_not_judged(rule):
    for n in (0, 1, 2):
        found = judge(rule, t_interval([5.0, 5.1, 5.2][:n]))
        assert (found.verdict, found.note) == ("not judged", f"{n} seeds, 3 are the fewest")
    assert judge(rule, t_interval([5.0, 5.1, 5.2])).verdict != "not judged"
    x = np.arange(20.0)
    found = judge(rule, bootstrap_interval(spearman, x[:19], x[:19], generator=np.random.default_rng(0)))
    assert (found.verdict, found.note) == ("not judged", "19 networks, 20 are the fewest")
    assert judge(rule, bootstrap_interval(spearman, x, x, generator=np.random.default_rng(0))).verdict != "not judged"


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # infinity less infinity
def test_nan_is_never_a_verdict(rule, bad):
    measured = [t_interval([0.1, bad, 0.3, 0.2]), t_interval([bad] * 5)]
    measured += [replace(seeds(0.1, 0.2), **{field: bad}) for field in ("estimate", "low", "high")]
    x = np.append(np.arange(29.0), bad)
    measured.append(bootstrap_interval(spearman, x, np.arange(30.0), generator=np.random.default_rng(0)))
    for interval in measured:
        assert judge(rule, interval).verdict == "not judged"
        assert judge(rule, {"first": interval, "second": seeds(0.5, 0.6)}).verdict == "not judged"
        assert judge(rule, {"first": seeds(0.5, 0.6), "second": interval}).verdict == "inconclusive"


def test_a_choice_that_changes_the_verdict_makes_it_inconclusive():
    holds, open_, fails = seeds(0.4, 0.9), seeds(-0.1, 0.9), seeds(-0.9, -0.4)
    assert judge(GREATER, {"q = 2": holds, "q = 1": holds}) == Verdict("holds", holds)
    found = judge(GREATER, {"q = 2": holds, "q = 1": holds, "q = 4": open_, "q = 8": fails})
    assert found == Verdict("inconclusive", holds, "holds at first choice; changes with q = 4, q = 8")
    assert judge(GREATER, {"q = 2": fails, "q = 1": holds}).note == "does not hold at first choice; changes with q = 1"
    assert judge(GREATER, {"q = 2": open_, "q = 1": holds}) == Verdict("inconclusive", open_)


def test_a_choice_that_changes_the_sign_makes_it_inconclusive():
    below, above = seeds(-0.2, 0.1), seeds(-0.1, 0.2)
    assert judge(GREATER, {"a": below, "b": seeds(-0.3, 0.1)}).verdict == "does not hold"
    assert judge(GREATER, {"a": below, "b": above}).verdict == "inconclusive"
    two = RULES["two-sided"]
    assert judge(two, {"a": seeds(0.4, 0.9), "b": seeds(-0.9, -0.4)}).verdict == "inconclusive"
    # Statements about size alone have no sign that could change.
    assert judge(two, {"a": below, "b": above}).verdict == "none"
    assert judge(RULES["within"], {"a": below, "b": above}).verdict == "holds"


@cache
def studies(effect, spread, n):
    """Intervals of studies of n seeds with a true effect and normal scatter, the same scatter for every effect."""
    noise = torch.randn(STUDIES, n, generator=stream(0, "studies", n), dtype=torch.float64).numpy()
    return [t_interval(effect + spread * row) for row in noise]


def rates(rule, effect, spread, n):
    counts = Counter(judge(RULES[rule], interval).verdict for interval in studies(effect, spread, n))
    return {verdict: count / STUDIES for verdict, count in counts.items()}


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize(
    ("rule", "effect", "spread"),
    [("greater", 0, 1.0), ("less", 0, 1.0), ("greater than 1", 1, 0.1), ("less than 1", 1, 0.1), ("within", 0.3, 0.1),
     ("within", -0.3, 0.1)],
)  # fmt: skip
def test_without_an_effect_a_claim_seldom_holds(rule, effect, spread, n):
    assert rates(rule, effect, spread, n).get("holds", 0) <= 0.03


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize(("rule", "effect"), [("greater", 0.3), ("less", -0.3), ("within", 0.3), ("within", -0.3)])
def test_an_effect_as_large_as_the_margin_is_seldom_excluded(rule, effect, n):
    assert rates(rule, effect, 0.1, n).get("does not hold", 0) <= 0.03


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize(
    ("rule", "effect", "verdict"),
    [
        ("greater", 0.5, "holds"),
        ("less", -0.5, "holds"),
        ("greater than 1", 1.5, "holds"),
        ("within", 0, "holds"),
        ("two-sided", 0.5, "positive"),
        ("two-sided", -0.5, "negative"),
        ("two-sided", 0, "none"),
        ("greater", 0, "does not hold"),
        ("greater", -0.5, "does not hold"),
        ("less", 0, "does not hold"),
        ("greater than 1", 0.5, "does not hold"),
        ("within", -0.9, "does not hold"),
    ],
)
def test_a_planted_effect_is_found_in_most_studies(rule, effect, verdict, n):
    found = rates(rule, effect, 0.1, n)
    assert found[verdict] > (0.9 if n == 5 else 0.5)
    wrong = {"holds", "does not hold", "positive", "negative", "none"} - {verdict}
    # At 0 a small interval may lie beside 0 by chance: 2.5 % each side.
    assert sum(found.get(other, 0) for other in wrong) <= (0.06 if effect == 0 else 0.001)


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_without_an_effect_a_sign_is_seldom_seen(spread, n):
    found = rates("two-sided", 0, spread, n)
    assert found.get("positive", 0) + found.get("negative", 0) <= 0.06
    assert max(found.get("positive", 0), found.get("negative", 0)) <= 0.035


@pytest.mark.parametrize("n", [3, 5])
def test_an_effect_as_large_as_the_margin_is_seldom_none(n):
    assert rates("two-sided", 0.3, 0.1, n).get("none", 0) <= 0.03


def test_more_choices_never_make_holding_easier():
    headline, others = studies(0, 1.0, 5), studies(0, 1.0, 3)
    alone = [judge(GREATER, one).verdict for one in headline]
    chosen = [judge(GREATER, {"first": one, "other": two}).verdict for one, two in zip(headline, others)]
    assert sum(v == "holds" for v in chosen) <= sum(v == "holds" for v in alone)
    assert all(b in (a, "inconclusive") for a, b in zip(alone, chosen))
