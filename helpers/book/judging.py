"""One call that judges a chapter's claims, records values, intervals and verdicts, and shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from IPython.display import Markdown

from helpers import verdicts
from helpers.book import page, parameters, records, sources
from helpers.book.origins import badge
from helpers.verdicts.agreement import agreement
from helpers.verdicts.claims import Claim, register
from helpers.verdicts.values import Measured

DIGITS = 7  # of a value, significant
RERUN = "digits"  # the recorded profile that a live run repeats, small
SIZES = (3, 5, 10)  # seeds of a smaller run, besides those of the live one


@dataclass
class Judged:
    """What a chapter's rules say, with what they say it of."""

    register: dict[str, Claim]
    values: pd.DataFrame
    intervals: pd.DataFrame
    verdicts: pd.DataFrame

    def interval(self, claim: str, arm: str, choice: str = "") -> verdicts.Interval:
        """The interval of a claim in an arm at a choice, the headline where there is none of that name.

        ValueError if nothing was measured of it.
        """
        rows = self.intervals[(self.intervals["claim"] == claim) & (self.intervals["arm"] == arm)]
        if not len(rows):
            raise ValueError(f"claim, arm: {claim!r}, {arm!r}, expected one that was measured")
        found = verdicts.judging.by_choice(rows)
        return found.get(choice) or next(iter(found.values()))


def judge(run, measured: Measured, seeds: Sequence[int]) -> Judged:
    """Judge, record and show the claims of a chapter.

    Args:
        run: of the chapter.
        measured: what `verdicts.tidy` takes, by claim and arm.
        seeds: those of the run, with which functions are called.

    Saves the records `values`, `intervals` and `claims` (with the hash of the cells that computed the values), and
    `agreement` at a recorded profile. Shows the verdicts and, folded, every interval, and keeps for the prose the badge
    and the counts.
    """
    known = register(run.chapter)
    values = verdicts.tidy(measured, seeds)
    values["value"] = values["value"].map(lambda value: records.rounded(value, DIGITS))  # as they are recorded
    intervals = verdicts.judging.intervals(values, known)
    found = verdicts.judging.table(intervals, known, run.profile if run.profile in records.RECORDED else RERUN)
    judged = Judged(known, values, intervals, found.assign(computed_by=sources.computing(run.chapter)))
    records.save(run, "values", values.astype(dict.fromkeys(values.columns[:-1].drop("seed"), "category")))
    records.save(run, "intervals", intervals)
    records.save(run, "claims", judged.verdicts)
    if run.profile in records.RECORDED:
        records.save(run, "agreement", agreement(values, known, smaller_runs(run.chapter)), digits=4)
    page.glue("badge", Markdown(badge(run)))
    for name, count in verdicts.judging.counts(judged.verdicts, known).items():
        page.glue(name, count)
    show(judged, badge(run))
    return judged


def recorded(chapter: str, profile) -> Judged | None:
    """What a chapter's rules say of its committed values, computed from these alone; None where there are none.

    A Run in place of the profile's name: of that run's own values.
    """
    record = records.load(chapter, "values", profile)
    if record is None or not len(record.table):
        return None
    known = register(chapter)
    intervals = verdicts.judging.intervals(record.table, known)
    return Judged(known, record.table, intervals, verdicts.judging.table(intervals, known, record.profile))


def smaller_runs(chapter: str) -> list[int]:
    """Numbers of seeds for which agreement is asked: a few, and those of the chapter's live run."""
    return sorted({*SIZES, *live_seeds(chapter)})


def live_seeds(chapter: str) -> list[int]:
    """How many seeds the chapter's live run has by default, for each of its parameters that lists seeds."""
    return [len(each.default) for each in parameters.parameters(chapter) if each.unit == "seeds"]


def show(judged: Judged, origin: str) -> None:
    """The verdicts as a table, and every interval folded below."""
    estimates = [verdicts.spell(row) for row in judged.intervals.itertuples()]
    every = judged.intervals[["claim", "arm", "choice"]].assign(estimate=estimates)
    rows = page.as_table(every, "Estimates with 95% intervals by claim, arm and choice")
    folded = "\n".join(["````{dropdown} Every estimate, by choice", rows, "````"])
    page.show(origin, verdicts.tables.markdown(judged.verdicts, judged.register), folded)
