"""Claims: rules are read or refused, every verdict has its case, and planted effects are found at the promised rates."""

import math
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.networks.numerics import stream
from helpers.verdicts import claims
from helpers.verdicts.claims import Interval, Rule, Verdict, bootstrap_interval, holm, judge, spearman, t_interval

STUDIES = 2000
GREATER = Rule("greater", "an effect", margin=0.3)
RULES = {
    "greater": GREATER,
    "greater than 1": Rule("greater", "an effect", bound=1.0, margin=0.3),
    "less": Rule("less", "an effect", margin=0.3),
    "less than 1": Rule("less", "an effect", bound=1.0, margin=0.3),
    "within": Rule("within", "an effect", bound=0.3, margin=0.3),
    "two-sided": Rule("two-sided", "an effect", margin=0.3),
}


def seeds(low, high, n=5):
    """An interval over seeds, in the middle of which the estimate lies."""
    return Interval((low + high) / 2, low, high, n, 0.5, "t over seeds")


# --- Rules


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "bigger"}, "kind: 'bigger', expected one of greater, less"),
        ({"kind": "greater", "margin": 0.1}, "quantity, margin: '', 0.1, expected"),
        ({"kind": "less", "quantity": "x"}, "quantity, margin: 'x', 0.0, expected"),
        ({"kind": "two-sided", "quantity": "x", "margin": -1.0}, "margin: 'x', -1.0"),
        ({"kind": "greater", "quantity": "x", "margin": math.nan}, "margin: 'x', nan"),
        ({"kind": "within", "quantity": "x", "margin": 0.3}, "bound: 0.0, expected at least the margin, 0.3"),
        ({"kind": "within", "quantity": "x", "margin": 0.3, "bound": 0.2}, "bound: 0.2, expected"),
        ({"kind": "by construction"}, "reason: empty, expected why the claim is by construction"),
        ({"kind": "not judged", "quantity": "x", "margin": 0.1}, "reason: empty"),
    ],
)
def test_a_rule_that_cannot_decide_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Rule(**fields)


def test_a_changed_rule_shows_in_its_hash():
    changes = [{"kind": "less"}, {"quantity": "another"}, {"bound": 0.1}, {"margin": 0.31}, {"reason": "why"}]
    assert len({GREATER.hash, *(replace(GREATER, **change).hash for change in changes)}) == 6
    assert GREATER.hash == Rule(margin=0.3, quantity="an effect", kind="greater").hash


ENTRY = {
    "id": "X1", "chapter": "x", "statement": "It grows.", "source": "abstract", "informed_by": "no pilot", "contrast": "a against b",
    "arms": {"faithful": {"kind": "greater", "quantity": "an effect", "margin": 0.3}},
}  # fmt: skip


def written(tmp_path, *entries):
    path = tmp_path / "claims.yml"
    path.write_text(yaml.safe_dump([deepcopy(entry) for entry in entries], sort_keys=False))
    return path


def test_claims_are_read_in_order(tmp_path):
    both = claims.load(written(tmp_path, ENTRY | {"id": "X2", "source": "memory"}, ENTRY))
    assert list(both) == ["X2", "X1"] and both["X1"].rules["faithful"] == GREATER
    assert both["X1"].headline and not both["X2"].headline


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "rumour"}, "claim X1: source 'rumour'"),
        ({"colour": "blue"}, "claim X1: .*unexpected keyword argument 'colour'"),
        ({"contrast": None}, "claim X1: .*missing .*'contrast'"),
        ({"arms": None}, "claim X1: 'arms'"),
        ({"arms": {}}, r"claim X1: .*with arms \[\]"),
        ({"arms": {"other": ENTRY["arms"]["faithful"]}}, r"claim X1: .*with arms \['other'\], expected .* arms of faithful, corrected"),
        ({"arms": {"faithful": {"kind": "greater"}}}, "claim X1: quantity, margin"),
        ({"arms": {"faithful": {"kind": "greater", "size": 1}}}, "claim X1: .*'size'"),
    ],
)
def test_a_claim_that_cannot_be_read_is_named(tmp_path, changes, message):
    entry = {key: value for key, value in (ENTRY | changes).items() if value is not None}
    with pytest.raises(ValueError, match=f"claims.yml: {message}"):
        claims.load(written(tmp_path, entry))


def test_an_id_stands_once(tmp_path):
    with pytest.raises(ValueError, match="claim X1 stands twice"):
        claims.load(written(tmp_path, ENTRY, ENTRY))


def test_the_books_claims_are_complete():
    found = claims.load()
    assert {f"C{i}" for i in range(1, 11)} | {f"L{i}" for i in range(1, 17)} <= set(found)
    for claim in found.values():
        assert claim.chapter and claim.statement.endswith((".", "?")) and claim.informed_by and claim.contrast
        assert len({rule.hash for rule in claim.rules.values()}) == len(claim.rules)
    assert found["C1"].headline and not found["C9"].headline
    assert found["C9"].rules["corrected"].kind == "by construction" and found["C10"].rules["faithful"].kind == "not judged"
    assert found["C5"].rules["faithful"].kind == "within" and found["C5"].rules["faithful"].bound == 0.3


# --- Verdicts


@pytest.mark.parametrize(
    ("rule", "low", "high", "verdict", "note"),
    [
        ("greater", 0.1, 0.9, "holds", ""),
        ("greater", 0.1, 0.2, "holds", "smaller than the margin"),
        ("greater", 0.0, 0.9, "inconclusive", ""),
        ("greater", -0.1, 0.3, "inconclusive", ""),
        ("greater", -0.1, 0.29, "does not hold", ""),
        ("greater", -2.0, -1.0, "does not hold", ""),
        ("greater than 1", 1.1, 1.9, "holds", ""),
        ("greater than 1", 0.5, 1.29, "does not hold", ""),
        ("greater than 1", 0.5, 1.31, "inconclusive", ""),
        ("less", -0.9, -0.1, "holds", ""),
        ("less", -0.2, -0.1, "holds", "smaller than the margin"),
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
        ("two-sided", 0.1, 0.2, "positive", "smaller than the margin"),
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
        assert verdict not in ("holds", "positive", "negative")
    # The same measured backwards is judged backwards.
    mirror = Interval(-measured.estimate, -measured.high, -measured.low, 5, 0.5, measured.method)
    kinds = {"greater": "less", "less": "greater"}
    other = replace(rule, kind=kinds.get(rule.kind, rule.kind), bound=rule.bound if rule.kind == "within" else -rule.bound)
    swapped = {"positive": "negative", "negative": "positive"}
    assert judge(other, mirror).verdict == swapped.get(verdict, verdict)


@pytest.mark.parametrize("kind", ["by construction", "not judged"])
def test_a_reason_needs_no_measurement_and_no_measurement_changes_it(kind):
    rule = Rule(kind, reason="true whatever the network")
    for measured in (None, seeds(1.0, 2.0), {"a": seeds(1.0, 2.0), "b": seeds(-2.0, -1.0)}):
        assert judge(rule, measured) == Verdict(kind, None, "true whatever the network")


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_what_was_not_measured_is_not_judged(rule):
    for nothing in (None, {}):
        assert judge(rule, nothing) == Verdict("not judged", None, "not measured in this profile")


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


# --- Planted effects: how often each verdict comes, in 2,000 studies


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


# --- Intervals


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
        assert all(map(math.isnan, (i.low, i.high, i.p))) and judge(GREATER, i).verdict == "not judged"
        y[0] = 1


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


# --- Tables


@pytest.fixture
def register(tmp_path):
    within = {"kind": "within", "quantity": "an effect", "bound": 0.3, "margin": 0.3}
    arms = {"faithful": ENTRY["arms"]["faithful"], "corrected": within}
    reason = {"faithful": {"kind": "by construction", "reason": "always so"}}
    open_ = {"corrected": {"kind": "two-sided", "quantity": "x", "margin": 0.1}, "faithful": {"kind": "less", "quantity": "x", "margin": 0.1}}
    return claims.load(written(tmp_path, ENTRY | {"arms": arms}, ENTRY | {"id": "X2", "arms": reason}, ENTRY | {"id": "X3", "arms": open_}))


def test_a_table_has_a_row_for_each_claim_and_arm(register):
    measured = {
        ("X1", "faithful"): Interval(0.5, 0.4, 0.6, 5, 0.0004, "t over seeds"),
        ("X1", "corrected"): Interval(-0.5, -0.6, -0.4, 5, 0.02, "t over seeds"),
        ("X3", "faithful"): Interval(0.1, -0.2, 0.4, 5, 0.4, "t over seeds"),
        ("X3", "corrected"): Interval(0.2, math.nan, math.nan, 24, math.nan, "bootstrap over networks"),
    }
    table = claims.table(register, measured).set_index(["claim", "arm"])
    assert list(table.index) == [(name, arm) for name, claim in register.items() for arm in claim.rules]
    assert list(table["verdict"]) == ["holds", "does not hold", "by construction", "not judged", "inconclusive"]
    # Holm runs over the rows of an arm that have a p-value; the one of a claim within bounds would answer another question.
    assert table["p_holm"].to_numpy() == pytest.approx([0.0008, math.nan, math.nan, math.nan, 0.4], nan_ok=True)
    assert table.loc[("X1", "faithful"), "rule"] == register["X1"].rules["faithful"].hash
    assert table.loc[("X2", "faithful"), "note"] == "always so"

    text = claims.markdown(table.reset_index(), register).splitlines()
    assert len(text) == 2 + len(table) and {line.count("|") for line in text} == {8}
    assert text[2].startswith('| <span id="x1"></span>**X1** It grows. | faithful |')
    assert "<span" not in claims.markdown(table.reset_index(), register, anchors=False)
    assert "| **holds** | 0.50 (0.40 to 0.60) | > 0 | 5 | < 0.001 |" in text[2] and "It grows." in text[2]
    assert "| **does not hold** | −0.50 (−0.60 to −0.40) | within ±0.3 | 5 | – |" in text[3] and "It grows." not in text[3]
    assert "| **by construction** (always so) | – | – | – | – |" in text[4]
    assert "| **not judged** (undefined somewhere) | 0.20 | – | 24 | – |" in text[5]
    assert "| **inconclusive** | 0.10 (−0.20 to 0.40) | < 0 | 5 | 0.400 |" in text[6]


@pytest.mark.parametrize("low, high, text", [
    (0.4, 0.6, "0.50 (0.40 to 0.60)"), (0.495, 0.505, "0.500 (0.495 to 0.505)"), (0.5, 0.5, "0.50 (0.50 to 0.50)"),
    (math.nan, math.nan, "0.50"), (-0.0004, 0.0004, "0.5000 (−0.0004 to 0.0004)"),
])  # fmt: skip
def test_narrow_intervals_are_spelled_with_more_digits(low, high, text):
    assert claims.spell(Interval(0.5, low, high, 5, 0.1, "t over seeds")) == text


def test_the_p_value_of_a_bootstrap_is_that_of_the_bound():
    x = np.random.default_rng(0).normal(1.0, 0.1, 40)
    given = {"generator": np.random.default_rng(1)}
    mean = lambda v, axis=-1: v.mean(axis)
    assert claims.bootstrap_interval(mean, x, **given).p == pytest.approx(1 / 1000)
    assert claims.bootstrap_interval(mean, x, **given, null=float(x.mean())).p > 0.5


@pytest.mark.parametrize("key", [("X4", "faithful"), ("X2", "corrected")])
@pytest.mark.parametrize("make", [claims.table, claims.intervals])
def test_what_has_no_rule_is_not_measured(register, make, key):
    with pytest.raises(ValueError, match=f"measured: \\('{key[0]}', '{key[1]}'\\), expected a claim of X1, X2, X3"):
        make(register, {key: seeds(0.1, 0.9)})


def test_every_interval_has_a_row_in_the_order_of_the_rules(register):
    one, two, three = seeds(0.1, 0.9), seeds(0.2, 0.8, n=3), seeds(-0.1, 0.1)
    found = claims.intervals(register, {("X3", "faithful"): {"b": two, "a": one}, ("X1", "corrected"): {}, ("X1", "faithful"): three})
    assert list(zip(found["claim"], found["arm"], found["choice"])) == [
        ("X1", "faithful", ""), ("X3", "faithful", "b"), ("X3", "faithful", "a")
    ]  # fmt: skip
    assert [Interval(*row) for row in found.iloc[:, 3:].itertuples(index=False)] == [three, two, one]
    assert list(claims.intervals(register, {}).columns) == list(found.columns) and not len(claims.intervals(register, {}))


@pytest.mark.parametrize(
    ("low", "high", "stated", "answered"),
    [(0.4, 0.6, "holds", 1), (-0.6, -0.4, "not", 1), (-0.5, 0.5, "open", 0), (-0.05, 0.05, "not", 1), (math.nan, math.nan, None, 0)],
)
def test_headline_claims_are_counted_by_verdict(tmp_path, low, high, stated, answered):
    question = {"faithful": {"kind": "two-sided", "quantity": "x", "margin": 0.1}}
    entries = [ENTRY | {"id": name, "source": source, "arms": arms}
               for name, source, arms in (("X1", "abstract", ENTRY["arms"]), ("X2", "own", ENTRY["arms"]), ("X3", "code", question))]  # fmt: skip
    register = claims.load(written(tmp_path, *entries))
    judged = claims.table(register, {(name, "faithful"): seeds(low, high) for name in register})
    expected = dict.fromkeys([f"{arm}_{what}" for arm in claims.ARMS for what in ("holds", "not", "open", "asked", "answered")], 0)
    expected |= {"faithful_asked": 1, "faithful_answered": answered} | ({f"faithful_{stated}": 1} if stated else {})
    assert claims.counts(judged, register) == expected


def test_a_chapter_has_its_claims():
    assert list(claims.register("paths"))[0] == "L1" and {claim.chapter for claim in claims.register("paths").values()} == {"paths"}
    with pytest.raises(ValueError, match="chapter: 'path', expected one with claims in claims.yml"):
        claims.register("path")


def test_over_seeds_is_the_interval_of_each_seeds_value():
    assert claims.over_seeds([3, 5, 8], lambda seed: seed / 2, null=30.0) == t_interval([1.5, 2.5, 4.0], 30.0)


def test_a_table_of_nothing_measured(register):
    table = claims.table(register, {})
    assert set(table["verdict"]) == {"not judged", "by construction"} and table["p_holm"].isna().all()
    assert claims.markdown(table, register).count("not measured in this profile") == 4
    assert isinstance(table, pd.DataFrame)
