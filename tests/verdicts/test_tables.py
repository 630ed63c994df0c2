"""Tables: intervals and verdicts by claim and arm, as they are recorded and as a reader sees them."""

import math

import numpy as np
import pandas as pd
import pytest
from registers import ENTRY, THREE, rows, seeds, written

from helpers.verdicts import claims, judging, tables
from helpers.verdicts.claims import Rule
from helpers.verdicts.intervals import Interval, bootstrap_interval, t_interval
from helpers.verdicts.statistics import mean
from helpers.verdicts.values import tidy


@pytest.fixture
def register(tmp_path):
    return claims.load(written(tmp_path, *THREE))


def test_a_table_has_a_row_for_each_claim_and_arm(register):
    measured = {
        ("X1", "faithful"): Interval(0.5, 0.4, 0.6, 5, 0.0004, "t over seeds"),
        ("X1", "corrected"): Interval(-0.5, -0.6, -0.4, 5, 0.02, "t over seeds"),
        ("X3", "faithful"): Interval(0.1, -0.2, 0.4, 5, 0.4, "t over seeds"),
        ("X3", "corrected"): Interval(0.2, math.nan, math.nan, 24, math.nan, "bootstrap over networks"),
    }
    table = judging.table(rows(measured), register).set_index(["claim", "arm"])
    assert list(table.index) == [(name, arm) for name, claim in register.items() for arm in claim.rules]
    assert list(table["verdict"]) == ["holds", "does not hold", "by construction", "not judged", "inconclusive"]
    # Holm runs over the rows of an arm that have a p-value; that of a claim within bounds answers another one.
    assert table["p_holm"].to_numpy() == pytest.approx([0.0008, math.nan, math.nan, math.nan, 0.4], nan_ok=True)
    assert table.loc[("X1", "faithful"), "rule"] == register["X1"].rules["faithful"].hash
    assert table.loc[("X2", "faithful"), "note"] == "always so"

    text = tables.markdown(table.reset_index(), register).splitlines()
    assert len(text) == 2 + len(table) and {line.count("|") for line in text} == {8}
    assert text[2].startswith('| <span id="x1"></span>**X1** It grows. | faithful |')
    assert "<span" not in tables.markdown(table.reset_index(), register, anchors=False)
    assert "| **holds** | 0.50 (0.40 to 0.60) | > 0 | 5 | < 0.001 |" in text[2] and "It grows." in text[2]
    assert "| **does not hold** | −0.50 (−0.60 to −0.40) | within ±0.3 | 5 | – |" in text[3]
    assert "It grows." not in text[3]
    assert "| **by construction** (always so) | – | – | – | – |" in text[4]
    assert "| **not judged** (undefined somewhere) | 0.20 | – | 24 | – |" in text[5]
    assert "| **inconclusive** | 0.10 (−0.20 to 0.40) | < 0 | 5 | 0.400 |" in text[6]


@pytest.mark.parametrize("low, high, text", [
    (0.4, 0.6, "0.50 (0.40 to 0.60)"), (0.495, 0.505, "0.500 (0.495 to 0.505)"), (0.5, 0.5, "0.50 (0.50 to 0.50)"),
    (math.nan, math.nan, "0.50"), (-0.0004, 0.0004, "0.5000 (−0.0004 to 0.0004)"),
])  # fmt: skip
def test_narrow_intervals_are_spelled_with_more_digits(low, high, text):
    assert tables.spell(Interval(0.5, low, high, 5, 0.1, "t over seeds")) == text


@pytest.mark.parametrize("key", [("X4", "faithful"), ("X2", "corrected")])
def test_what_has_no_rule_is_not_measured(register, key):
    with pytest.raises(ValueError, match=f"measured: \\('{key[0]}', '{key[1]}'\\), expected a claim of X1, X2, X3"):
        judging.intervals(tidy({key: [0.1, 0.5, 0.9]}, []), register)


def test_every_interval_has_a_row_in_the_order_of_the_rules(register):
    one, two, three = [0.1, 0.5, 0.9], [0.2, 0.8, 0.6], [-0.1, 0.1, 0.3, 0.2]
    given = {("X3", "faithful"): {"b": two, "a": one}, ("X1", "corrected"): {}, ("X1", "faithful"): three}
    found = judging.intervals(tidy(given, []), register)
    assert list(zip(found["claim"], found["arm"], found["choice"])) == [
        ("X1", "faithful", ""), ("X3", "faithful", "b"), ("X3", "faithful", "a")
    ]  # fmt: skip
    expected = [t_interval(values) for values in (three, two, one)]
    assert [Interval(*row) for row in found.iloc[:, 3:].itertuples(index=False)] == expected
    nothing = judging.intervals(tidy({}, []), register)
    assert list(nothing.columns) == list(found.columns) and not len(nothing)


@pytest.mark.parametrize(
    ("low", "high", "stated", "answered"),
    [(0.4, 0.6, "holds", 1), (-0.6, -0.4, "not", 1), (-0.5, 0.5, "open", 0), (-0.05, 0.05, "not", 1), (0.11, 0.2, "negligible", 1),
     (math.nan, math.nan, None, 0)],
)
def test_headline_claims_are_counted_by_verdict(tmp_path, low, high, stated, answered):
    question = {"faithful": {"kind": "two-sided", "quantity": "x", "margin": 0.1}}
    entries = [ENTRY, ENTRY | {"id": "X2", "source": "own"}, ENTRY | {"id": "X3", "source": "code", "arms": question}]
    register = claims.load(written(tmp_path, *entries))
    judged = judging.table(rows({(name, "faithful"): seeds(low, high) for name in register}), register)
    counted = ("holds", "negligible", "not", "open", "asked", "answered")
    expected = dict.fromkeys([f"{arm}_{what}" for arm in claims.ARMS for what in counted], 0)
    expected |= {"faithful_asked": 1, "faithful_answered": answered} | ({f"faithful_{stated}": 1} if stated else {})
    assert judging.counts(judged, register) == expected


def test_a_table_of_nothing_measured(register):
    table = judging.table(rows({}), register)
    assert set(table["verdict"]) == {"not judged", "by construction"} and table["p_holm"].isna().all()
    assert tables.markdown(table, register).count("not measured in this profile") == 4
    assert isinstance(table, pd.DataFrame)


# Nulls


@pytest.mark.parametrize("kind", ["greater", "less", "two-sided", "within"])
@pytest.mark.parametrize("statistic", ["", "mean"])
def test_every_kind_of_rule_takes_its_null_from_the_rule(kind, statistic):
    """Values around −0.05: about that bound p says nothing, about 0 it says a lot."""
    values = -0.05 + 0.001 * np.random.default_rng(0).normal(size=24)
    rule = Rule(kind, "x", bound=0.4 if kind == "within" else -0.05, margin=0.02, statistic=statistic)
    found = judging.interval(rule, tidy({("X1", "faithful"): values}, []))
    null = -0.05 if kind in ("greater", "less") else 0.0
    assert found == (bootstrap_interval(mean, values, null=null) if statistic else t_interval(values, null=null))
    assert found.p > 0.05 if null else found.p <= 0.001


def test_a_rule_without_a_statistic_is_about_one_quantity():
    table = tidy({("X1", "faithful"): pd.DataFrame({"a": [1.0, 2, 3], "b": [4.0, 5, 6]})}, [])
    with pytest.raises(ValueError, match="values: of a, b, expected one quantity where a rule has no statistic"):
        judging.interval(Rule("greater", "x", margin=0.1), table)


# Profiles


def test_a_claim_is_judged_in_its_profiles_alone(tmp_path):
    arms = ENTRY["arms"] | {"corrected": {"kind": "by construction", "reason": "always so"}}
    entries = (ENTRY, ENTRY | {"id": "X2", "profiles": ["paper", "digits"], "arms": arms})
    register = claims.load(written(tmp_path, *entries))
    measured = rows({(name, "faithful"): Interval(0.5, 0.4, 0.6, 5, 0.01, "t over seeds") for name in register})
    found = [judging.table(measured, register, profile) for profile in ("laptop", "paper")]
    live, paper = (table.set_index(["claim", "arm"]) for table in found)
    assert list(paper["verdict"]) == ["holds", "holds", "by construction"]
    assert list(live["verdict"]) == ["holds", "not judged", "by construction"]
    estimate = live.loc[("X2", "faithful")]
    assert estimate["note"] == "an estimate; judged at the profile paper or digits"
    assert (estimate["estimate"], estimate["low"], estimate["high"]) == (0.5, 0.4, 0.6)
    assert live.loc[("X2", "corrected"), "note"] == "always so"
    # What is not tested here has no p-value, and makes that of others no larger.
    assert paper["p_holm"].to_numpy() == pytest.approx([0.02, 0.02, math.nan], nan_ok=True)
    assert live["p_holm"].to_numpy() == pytest.approx([0.01, math.nan, math.nan], nan_ok=True)
    nothing = judging.table(rows({}), register, "laptop").set_index(["claim", "arm"])
    assert nothing.loc[("X2", "faithful"), "note"] == "not measured in this profile"


def test_choices_are_those_that_the_rule_names(tmp_path):
    rule = ENTRY["arms"]["faithful"] | {"choices": ["chart", "q"]}
    register = claims.load(written(tmp_path, ENTRY | {"arms": {"faithful": rule}}))
    values = lambda *choices: tidy({("X1", "faithful"): {choice: [1.0, 1.1, 1.2] for choice in choices}}, [])
    judged = lambda *choices: judging.table(judging.intervals(values(*choices), register), register).iloc[0]
    assert not judged("chart: pca", "q: 2").note and judged("chart: pca").note == "not varied here: q"
    assert judged("chart: pca").verdict == "holds"
    for choice in ("", "radius: 1", "pca"):
        with pytest.raises(ValueError, match=f"X1 faithful by choice '{choice}', expected 'KIND: VALUE' of chart, q"):
            values_of = values("chart: pca", choice)
            judging.intervals(values_of, register)
