"""From values to verdicts: intervals by claim, arm and choice, and what the rules say of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from helpers.verdicts.claims import ARMS, Claim, Rule
from helpers.verdicts.intervals import FEWEST, Interval, bootstrap_interval, holm, t_interval
from helpers.verdicts.statistics import STATISTICS

SHORT = {"holds": "holds", "negligible": "negligible", "not": "does not hold", "open": "inconclusive"}  # for the prose
UNDECIDED = ("inconclusive", "not judged")


@dataclass(frozen=True)
class Verdict:
    """What a rule says about an interval; `note` explains a verdict that the numbers alone do not."""

    verdict: str
    interval: Interval | None
    note: str = ""


def _decide(rule: Rule, i: Interval) -> tuple[str, str]:
    what, fewest = ("seeds", FEWEST["t"]) if i.method.startswith("t ") else ("networks", FEWEST["bootstrap"])
    if i.n < fewest:
        return "not judged", f"{i.n} {what}, {fewest} are the fewest"
    if not all(map(math.isfinite, (i.estimate, i.low, i.high))):
        return "not judged", "undefined somewhere"
    if rule.kind == "within":
        if -rule.bound < i.low and i.high < rule.bound:
            return "holds", ""
        outside = i.low > rule.bound or i.high < -rule.bound
        return ("does not hold", "") if outside else ("inconclusive", "")
    if rule.kind == "two-sided":
        sign = "positive" if i.low > 0 else "negative" if i.high < 0 else ""
        if max(abs(i.low), abs(i.high)) < rule.margin:
            return "none", f"{sign}, but smaller than the margin" if sign else ""
        return sign or "inconclusive", ""
    sign = 1 if rule.kind == "greater" else -1
    low, high = sorted((sign * (i.low - rule.bound), sign * (i.high - rule.bound)))
    if low > 0:
        return ("negligible" if high < rule.margin else "holds"), ""
    return ("does not hold", "") if high < rule.margin else ("inconclusive", "")


def judge(rule: Rule, by_choice: Mapping[str, Interval]) -> Verdict:
    """The verdict of a rule on intervals by choice, one for each value of a choice that the claim does not fix
    (dimension, metric, reference), the headline first; none at all where nothing was measured.

    A claim holds when the interval lies wholly on the claimed side of the bound, and is negligible when it lies there
    but excludes an effect of the size of the margin; it does not hold when the interval excludes such an effect and
    contains the bound, or lies beyond it. If verdict or sign changes with the choice, the verdict is inconclusive, and
    the note says with which.
    """
    if not rule.judged:
        return Verdict(rule.kind, None, rule.reason)
    if not by_choice:
        return Verdict("not judged", None, "not measured in this profile")
    headline = next(iter(by_choice.values()))
    verdict, note = _decide(rule, headline)
    signed = rule.kind != "within" and verdict != "none"  # the others make no statement about a sign
    fixed = [kind for kind in rule.choices if not any(name.partition(": ")[0] == kind for name in by_choice)]
    note = "; ".join(filter(None, [note, f"not varied here: {', '.join(fixed)}" if fixed else ""]))
    changed = [
        name
        for name, i in by_choice.items()
        if _decide(rule, i)[0] != verdict or signed and (i.estimate > rule.bound) != (headline.estimate > rule.bound)
    ]
    if changed and verdict not in UNDECIDED:
        return Verdict("inconclusive", headline, f"{verdict} at first choice; changes with {', '.join(changed)}")
    return Verdict(verdict, headline, note)


def intervals(values: pd.DataFrame, register: Mapping[str, Claim]) -> pd.DataFrame:
    """Every interval behind the verdicts, one row a claim, arm and choice ("" where there is none), headlines first.

    Args:
        values: the table of `values.tidy`.
        register: claims by id. What is drawn (seeds or networks), of which statistic, and what the p-value asks about
            stands in their rules.

    Raises:
        ValueError: values for which there is no rule, or of a choice that the rule does not name.
    """
    found = []
    for (claim, arm, choice), rows in values.groupby(["claim", "arm", "choice"], sort=False, observed=True):
        if claim not in register or arm not in register[claim].rules:
            known = f"expected a claim of {', '.join(register)} and one of its arms"
            raise ValueError(f"measured: {(claim, arm)}, {known}")
        kinds = register[claim].rules[arm].choices
        if kinds and choice.partition(": ")[0] not in kinds:
            raise ValueError(f"measured: {claim} {arm} by choice {choice!r}, expected 'KIND: VALUE' of {', '.join(kinds)}")
        of = interval(register[claim].rules[arm], rows)
        found.append({"claim": claim, "arm": arm, "choice": choice} | asdict(of))
    table = pd.DataFrame(found, columns=["claim", "arm", "choice", *(field.name for field in fields(Interval))])
    order = {(name, arm): place for place, (name, arm) in enumerate(arms(register))}
    places = [order[row.claim, row.arm] for row in table.itertuples()]
    return table.assign(place=places).sort_values("place", kind="stable").drop(columns="place").reset_index(drop=True)


def interval(rule: Rule, rows: pd.DataFrame) -> Interval:
    """The interval of the values of one claim, arm and choice."""
    parts = [part for _, part in rows.groupby("of", sort=False, observed=True)]
    if len(parts) > 1 and not rule.statistic:
        named = ", ".join(rows["of"].unique())
        raise ValueError(f"values: of {named}, expected one quantity where a rule has no statistic")
    return estimate(rule, [part["value"].to_numpy() for part in parts], parts[0]["configuration"].to_numpy(str))


def estimate(rule: Rule, columns: Sequence[np.ndarray], configurations: np.ndarray) -> Interval:
    """The interval of values by quantity, one a unit; those of units of one configuration are averaged first."""
    if rule.statistic:
        if configurations.any():
            names = np.unique(configurations)
            columns = [np.array([column[configurations == name].mean() for name in names]) for column in columns]
        return bootstrap_interval(STATISTICS[rule.statistic], *columns, null=rule.null)
    return t_interval(columns[0], null=rule.null)


def by_choice(rows: pd.DataFrame) -> dict[str, Interval]:
    """The intervals in rows of the table of `intervals`, all of one claim and arm."""
    numbers = rows[[field.name for field in fields(Interval)]].itertuples(index=False, name=None)
    return {choice: Interval(*row) for choice, row in zip(rows["choice"], numbers)}


def arms(register: Mapping[str, Claim]) -> list[tuple[str, str]]:
    """Every claim with each of its arms, in order."""
    return [(name, arm) for name, claim in register.items() for arm in claim.rules]


def table(intervals: pd.DataFrame, register: Mapping[str, Claim], profile: str = "") -> pd.DataFrame:
    """The verdicts, one row a claim and arm, ready to be recorded; Holm's adjustment runs over the rows of each arm.

    Args:
        intervals: as the function of that name makes them.
        register: claims by id.
        profile: that of the run; a claim that is judged in others alone is estimated here.
    """
    rows = []
    for name, arm in arms(register):
        claim, rule = register[name], register[name].rules[arm]
        part = intervals[(intervals["claim"] == name) & (intervals["arm"] == arm)]
        found = judge(rule, by_choice(part))
        i = found.interval
        elsewhere = bool(claim.profiles) and profile not in claim.profiles
        if rule.judged and elsewhere and i is not None:
            found = Verdict("not judged", i, f"an estimate; judged at the profile {' or '.join(claim.profiles)}")
        numbers = {k: getattr(i, k) if i else None for k in ("estimate", "low", "high", "n", "p", "method")}
        if rule.kind == "within" or elsewhere:
            numbers["p"] = None  # of no effect, which is not what the rule asks; or of a claim that is not tested here
        rows.append({"claim": name, "arm": arm, "source": claim.source, "verdict": found.verdict,
                     **numbers, "note": found.note, "rule": rule.hash})  # fmt: skip
    frame = pd.DataFrame(rows)
    frame["p"] = frame["p"].astype(float)
    frame["p_holm"] = frame.groupby("arm")["p"].transform(lambda p: holm(p.to_numpy()))
    return frame


def counts(judged: pd.DataFrame, register: Mapping[str, Claim]) -> dict[str, int]:
    """How many of the headline claims have which verdict, by arm, for the prose; `judged` is the table of `table`.

    ARM_holds, ARM_negligible, ARM_not, ARM_open (inconclusive) count the statements; ARM_asked counts the questions, two-sided
    rules, and ARM_answered those with an answer.
    """
    found = {}
    for arm in ARMS:
        rules = [(register[row.claim].rules[arm].kind, row.verdict) for row in judged.itertuples()
                 if row.arm == arm and register[row.claim].headline]  # fmt: skip
        stated = [verdict for kind, verdict in rules if kind != "two-sided"]
        asked = [verdict for kind, verdict in rules if kind == "two-sided"]
        for short, verdict in SHORT.items():
            found[f"{arm}_{short}"] = stated.count(verdict)
        answered = sum(asked.count(verdict) for verdict in ("positive", "negative", "none"))
        found |= {f"{arm}_asked": len(asked), f"{arm}_answered": answered}
    return found
