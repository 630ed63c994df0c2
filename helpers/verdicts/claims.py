"""A claim, its rule fixed before the run, and the verdict that the rule gives on what was measured."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd
import yaml

# Chapters have all they need to judge from here.
from helpers.verdicts.intervals import FEWEST, Interval, holm
from helpers.verdicts.intervals import bootstrap_interval as bootstrap_interval
from helpers.verdicts.intervals import over_seeds as over_seeds
from helpers.verdicts.intervals import spearman as spearman
from helpers.verdicts.intervals import t_interval as t_interval

FILE = Path(__file__).parents[2] / "book" / "claims.yml"
SOURCES = ("abstract", "figure", "code", "web", "inferred", "memory", "own")
HEADLINE = ("abstract", "figure", "code", "web")  # what the paper shows; the rest is counted apart
KINDS = ("greater", "less", "within", "two-sided", "by construction", "not judged")
ARMS = ("faithful", "corrected")


@dataclass(frozen=True)
class Rule:
    """How one arm of a claim is decided.

    Kinds: `greater` and `less` hold when the whole interval lies beyond `bound`; `within` when it lies inside
    plus or minus `bound`; `two-sided` answers positive, negative or none; `by construction` and `not judged`
    carry a `reason` instead. `margin` is the smallest effect that would matter.
    """

    kind: str
    quantity: str = ""
    bound: float | int = 0.0
    margin: float | int = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r}, expected one of {', '.join(KINDS)}")
        if self.kind in KINDS[4:] and not self.reason:
            raise ValueError(f"reason: empty, expected why the claim is {self.kind}")
        if self.kind in KINDS[:4] and not (self.quantity and self.margin > 0):
            raise ValueError(f"quantity, margin: {self.quantity!r}, {self.margin}, expected a text and a positive number")
        if self.kind == "within" and not 0 < self.margin <= self.bound:
            raise ValueError(f"bound: {self.bound}, expected at least the margin, {self.margin}")

    @property
    def hash(self) -> str:
        """Fingerprint stored beside every verdict, so that a rule changed later shows."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Claim:
    """One claim as it stands in claims.yml, with a rule for each of its arms."""

    id: str
    chapter: str
    statement: str
    source: str
    informed_by: str
    contrast: str
    rules: Mapping[str, Rule]  # one an arm

    @property
    def headline(self) -> bool:
        return self.source in HEADLINE

    @property
    def origin(self) -> str:
        """`paper`: seen in it; `inferred`: concluded from it or remembered; `own`: a question of ours."""
        return "paper" if self.headline else "own" if self.source == "own" else "inferred"


def load(path: Path = FILE) -> dict[str, Claim]:
    """Every claim by id, in the order of the file.

    Raises:
        ValueError: a missing or unknown field, an unknown source or arm, or an id that stands twice.
    """
    claims: dict[str, Claim] = {}
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        name = entry.get("id", "?")
        try:
            rules = {arm: Rule(**rule) for arm, rule in entry["arms"].items()}
            claim = Claim(**{field: value for field, value in entry.items() if field != "arms"}, rules=rules)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path.name}: claim {name}: {error}") from error
        if claim.source not in SOURCES or not rules or set(rules) - set(ARMS):
            raise ValueError(f"{path.name}: claim {name}: source {claim.source!r} with arms {sorted(rules)}, "
                             f"expected one of {', '.join(SOURCES)} with arms of {', '.join(ARMS)}")  # fmt: skip
        if name in claims:
            raise ValueError(f"{path.name}: claim {name} stands twice")
        claims[name] = claim
    return claims


def register(chapter: str) -> dict[str, Claim]:
    """The claims of a chapter by id. ValueError if it has none."""
    found = {name: claim for name, claim in load().items() if claim.chapter == chapter}
    if not found:
        raise ValueError(f"chapter: {chapter!r}, expected one with claims in {FILE.name}")
    return found


Measured = Interval | Mapping[str, Interval]


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
        small = "smaller than the margin" if max(abs(i.low), abs(i.high)) < rule.margin else ""
        if i.low > 0 or i.high < 0:
            return ("positive" if i.low > 0 else "negative"), small
        return ("none", "") if small else ("inconclusive", "")
    sign = 1 if rule.kind == "greater" else -1
    low, high = sorted((sign * (i.low - rule.bound), sign * (i.high - rule.bound)))
    if low > 0:
        return "holds", "smaller than the margin" if high < rule.margin else ""
    return ("does not hold", "") if high < rule.margin else ("inconclusive", "")


def judge(rule: Rule, measured: Measured | None = None) -> Verdict:
    """The verdict of a rule.

    Args:
        rule: fixed before the run.
        measured: the interval; or several by name, one for each value of a choice that the claim does not fix
            (dimension, metric, reference), the headline first. If verdict or sign changes with the choice, the
            verdict is inconclusive and the note says with which.

    A claim holds when the interval lies wholly on the claimed side of the bound; it does not hold when the
    interval excludes an effect of the size of the margin. No interval that contains the bound lets a claim hold.
    """
    if rule.kind in ("by construction", "not judged"):
        return Verdict(rule.kind, None, rule.reason)
    if not measured:
        return Verdict("not judged", None, "not measured in this profile")
    by_choice = _named(measured)
    headline = next(iter(by_choice.values()))
    verdict, note = _decide(rule, headline)
    signed = rule.kind != "within" and verdict != "none"  # the others make no statement about a sign
    changed = [
        name
        for name, i in by_choice.items()
        if _decide(rule, i)[0] != verdict or signed and (i.estimate > rule.bound) != (headline.estimate > rule.bound)
    ]
    if changed and verdict not in ("inconclusive", "not judged"):
        return Verdict("inconclusive", headline, f"{verdict} at first choice; changes with {', '.join(changed)}")
    return Verdict(verdict, headline, note)


def _named(measured: Measured) -> dict[str, Interval]:
    """Intervals by choice; one alone has no name."""
    return dict(measured) if isinstance(measured, Mapping) else {"": measured}


def _check(register: Mapping[str, Claim], measured: Mapping[tuple[str, str], Measured]) -> None:
    for name, arm in measured:
        if name not in register or arm not in register[name].rules:
            raise ValueError(f"measured: {(name, arm)}, expected a claim of {', '.join(register)} and one of its arms")


def table(register: Mapping[str, Claim], measured: Mapping[tuple[str, str], Measured]) -> pd.DataFrame:
    """The verdicts, one row a claim and arm, ready to be recorded; Holm's adjustment runs over the rows of each arm.

    Args:
        register: claims by id.
        measured: what `judge` takes, by claim and arm.

    Raises:
        ValueError: something was measured for which there is no rule.
    """
    _check(register, measured)
    rows = []
    for name, claim in register.items():
        for arm, rule in claim.rules.items():
            found = judge(rule, measured.get((name, arm)))
            i = found.interval
            numbers = {k: getattr(i, k) if i else None for k in ("estimate", "low", "high", "n", "p", "method")}
            if rule.kind == "within":
                numbers["p"] = None  # that of no effect, which is not what the rule asks
            rows.append({"claim": name, "arm": arm, "source": claim.source, "verdict": found.verdict,
                         **numbers, "note": found.note, "rule": rule.hash})  # fmt: skip
    frame = pd.DataFrame(rows)
    frame["p"] = frame["p"].astype(float)
    frame["p_holm"] = frame.groupby("arm")["p"].transform(lambda p: holm(p.to_numpy()))
    return frame


def intervals(register: Mapping[str, Claim], measured: Mapping[tuple[str, str], Measured]) -> pd.DataFrame:
    """Every interval behind the verdicts, one row a claim, arm and choice ("" where there is none). As for `table`."""
    _check(register, measured)
    rows = [
        {"claim": name, "arm": arm, "choice": choice} | asdict(interval)
        for name, claim in register.items()
        for arm in claim.rules
        for choice, interval in _named(measured.get((name, arm), {})).items()
    ]
    return pd.DataFrame(rows, columns=["claim", "arm", "choice", *(field.name for field in fields(Interval))])


def counts(judged: pd.DataFrame, register: Mapping[str, Claim]) -> dict[str, int]:
    """How many of the headline claims have which verdict, by arm, for the prose; `judged` is the table of `table`.

    ARM_holds, ARM_not, ARM_open (inconclusive) count the statements; ARM_asked counts the questions, two-sided
    rules, and ARM_answered those with an answer.
    """
    found = {}
    for arm in ARMS:
        rules = [(register[row.claim].rules[arm].kind, row.verdict) for row in judged.itertuples()
                 if row.arm == arm and register[row.claim].headline]  # fmt: skip
        stated = [verdict for kind, verdict in rules if kind != "two-sided"]
        asked = [verdict for kind, verdict in rules if kind == "two-sided"]
        for short, verdict in {"holds": "holds", "not": "does not hold", "open": "inconclusive"}.items():
            found[f"{arm}_{short}"] = stated.count(verdict)
        found |= {f"{arm}_asked": len(asked), f"{arm}_answered": sum(asked.count(v) for v in ("positive", "negative", "none"))}
    return found


def spell(row) -> str:
    """An estimate with its interval, of anything with the fields `estimate`, `low` and `high`; narrow ones with more digits."""
    width = row.high - row.low
    digits = 2 + (1e-9 < width < 0.02) + (1e-9 < width < 0.002)  # seeds that agree: rounding alone
    values = [f"{value:.{digits}f}".replace("-", "−") for value in (row.estimate, row.low, row.high)]
    return "{} ({} to {})".format(*values) if math.isfinite(width) else values[0]


def markdown(frame: pd.DataFrame, claims: Mapping[str, Claim], anchors: bool = True) -> str:
    """The verdicts as a Markdown table, one row a claim and arm; with anchors, a claim can be linked to by its id."""
    lines = ["| claim | arm | verdict | estimate (95% interval) | bound | n | Holm p |", "| --- " * 7 + "|"]
    for row in frame.itertuples():
        claim, rule = claims[row.claim], claims[row.claim].rules[row.arm]
        first = row.arm == next(iter(claim.rules))
        anchor = f'<span id="{row.claim.lower()}"></span>' if anchors else ""
        measured = isinstance(row.estimate, float) and math.isfinite(row.estimate)
        bound = {"within": f"within ±{rule.bound:g}", "greater": f"> {rule.bound:g}", "less": f"< {rule.bound:g}"}
        lines.append(" | ".join([
            f"| {anchor}**{row.claim}** {claim.statement}" if first else "| ",
            row.arm,
            f"**{row.verdict}**" + (f" ({row.note})" if row.note else ""),
            spell(row) if measured else "–",
            bound.get(rule.kind, "–"),
            f"{row.n:.0f}" if measured else "–",
            (("< 0.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}") if math.isfinite(row.p_holm) else "–") + " |",
        ]))  # fmt: skip
    return "\n".join(lines)
