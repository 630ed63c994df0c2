"""How a run stands beside what is recorded: parameters that are off the defaults, and verdicts that agree or differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.book import judging, parameters, records
from helpers.verdicts.agreement import FRAGILE

AGREES, DIFFERS, UNJUDGED = "agrees", "differs", "was not judged"
WITHOUT_VERDICT = ("not judged", "by construction")


@dataclass(frozen=True)
class Ran:
    """A finished run, as far as its records and its page ask of it; a Run has the same fields, and more."""

    chapter: str
    profile: str
    parameters: dict[str, Any]
    folder: Path


@dataclass(frozen=True)
class Changed:
    """A parameter that is off the default of the laptop profile."""

    name: str
    default: Any
    value: Any


@dataclass(frozen=True)
class Beside:
    """The verdict of a run on a claim in one arm, beside those recorded.

    `recorded` has the verdicts by profile, `profile` is the first that has one, with which the run is compared ("" where
    none has), and `stands` says how. Of runs of `seeds` seeds, of all numbers recorded the one nearest to this run's own,
    `share` would reach the record's verdict; both are None where that is not known.
    """

    claim: str
    arm: str
    recorded: Mapping[str, str]
    live: str
    profile: str
    stands: str
    seeds: int | None = None
    share: float | None = None

    @property
    def fragile(self) -> bool:
        return self.share is not None and self.share < FRAGILE


@dataclass(frozen=True)
class Standing:
    """What is to be said of a run beside the record."""

    changed: Sequence[Changed]
    claims: Sequence[Beside]

    @property
    def differing(self) -> list[Beside]:
        return [each for each in self.claims if each.stands == DIFFERS]


def standing(run) -> Standing | None:
    """How a run (a Run, or a Ran) stands beside the committed records of its chapter; None where there are none."""
    profiles = records.recorded(run.chapter)
    if not profiles:
        return None
    judged = {profile: judging.recorded(run.chapter, profile) for profile in profiles}
    verdicts = {profile: by_claim(found.verdicts) for profile, found in judged.items() if found is not None}
    live, values = by_claim(_table(run, "claims", run)), _table(run, "values", run)
    agreement = {profile: _table(run, "agreement", profile) for profile in verdicts}
    named = dict.fromkeys(name for of_profile in verdicts.values() for name in of_profile)
    return Standing(changed(run), [_beside(name, verdicts, live, values, agreement) for name in named])


def changed(run) -> list[Changed]:
    """The parameters of a run that are off the defaults; where it ran is none of them."""
    usual = parameters.resolve(run.chapter, "laptop")
    differ = (name for name, value in usual.items() if name != "device" and run.parameters.get(name, value) != value)
    return [Changed(name, usual[name], run.parameters[name]) for name in differ]


def by_claim(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Verdicts by claim and arm."""
    return {(row.claim, row.arm): row.verdict for row in table.itertuples()}


def _table(run, name: str, of) -> pd.DataFrame:
    """A table of this run, or as recorded; without rows where there is none."""
    record = records.load(run.chapter, name, of)
    return pd.DataFrame() if record is None else record.table


def _beside(name, verdicts: Mapping, live: Mapping, values: pd.DataFrame, agreement: Mapping) -> Beside:
    found = {profile: of_profile[name] for profile, of_profile in verdicts.items() if name in of_profile}
    profile = next((each for each, verdict in found.items() if verdict not in WITHOUT_VERDICT), "")
    here = live.get(name, "not judged")
    if not profile or here in WITHOUT_VERDICT:
        stands = UNJUDGED
    else:
        stands = AGREES if here == found[profile] else DIFFERS
    own = _of(values, name)["seed"].nunique() if len(values) else 0
    return Beside(*name, found, here, profile, stands, *_nearest(agreement.get(profile), name, own))


def _nearest(agreement: pd.DataFrame | None, name: tuple[str, str], own: int) -> tuple[int | None, float | None]:
    """Of the numbers of seeds for which agreement is recorded the one nearest to a run's own, and the share."""
    if agreement is None or not len(agreement) or not own or not len(rows := _of(agreement, name)):
        return None, None
    nearest = min(rows.itertuples(), key=lambda row: (abs(row.seeds - own), row.seeds))
    return int(nearest.seeds), float(nearest.agrees)


def _of(table: pd.DataFrame, name: tuple[str, str]) -> pd.DataFrame:
    return table[(table["claim"] == name[0]) & (table["arm"] == name[1])]
