"""One call that judges a chapter's claims, records values, intervals and verdicts, and shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from IPython.display import Markdown

from helpers import verdicts
from helpers.book import page, records
from helpers.verdicts.claims import Claim, register
from helpers.verdicts.values import Measured


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

    Saves the records `values`, `intervals` and `claims`, shows the verdicts and, folded, every interval, and keeps for
    the prose the badge and the counts.
    """
    known = register(run.chapter)
    values = verdicts.tidy(measured, seeds)
    intervals = verdicts.judging.intervals(values, known)
    judged = Judged(known, values, intervals, verdicts.judging.table(intervals, known, run.profile))
    records.save(run, "values", values.astype(dict.fromkeys(values.columns[:-1].drop("seed"), "category")))
    records.save(run, "intervals", intervals)
    records.save(run, "claims", judged.verdicts)
    page.glue("badge", Markdown(records.badge(run)))
    for name, count in verdicts.judging.counts(judged.verdicts, known).items():
        page.glue(name, count)
    show(judged, records.badge(run))
    return judged


def show(judged: Judged, badge: str) -> None:
    """The verdicts as a table, and every interval folded below."""
    estimates = [verdicts.spell(row) for row in judged.intervals.itertuples()]
    every = judged.intervals[["claim", "arm", "choice"]].assign(estimate=estimates)
    rows = page.as_table(every, "Estimates with 95% intervals by claim, arm and choice")
    folded = "\n".join(["````{dropdown} Every estimate, by choice", rows, "````"])
    page.show(badge, verdicts.tables.markdown(judged.verdicts, judged.register), folded)
