"""Committed records, as the cells that tell of them read them: nothing live is within reach."""

from functools import cached_property

import pandas as pd

from helpers.book import judging, records
from helpers.networks.names import nearest


class Recorded:
    """What is recorded of a chapter at a profile. Each ValueError names what is missing, and the command that makes it."""

    def __init__(self, chapter: str, profile: str, source):
        self.chapter, self.profile, self._source = chapter, profile, source

    def table(self, name: str) -> pd.DataFrame:
        """A table by name. ValueError if there is none, or if it cannot be read."""
        return self._record(name).table

    @property
    def parameters(self) -> dict:
        """Those of the recorded run."""
        if self._source != self.profile:
            return dict(self._source.parameters)
        names = sorted(path.stem for path in records.location(self.chapter, self.profile).glob("*.json"))
        if not names:
            raise self._missing("any")
        return self._record(names[0]).parameters

    @cached_property
    def judged(self) -> judging.Judged:
        """What the chapter's rules, as they read now, say of the recorded values."""
        self._record("values")
        if (found := judging.recorded(self.chapter, self._source)) is None:
            raise self._missing("values")
        return found

    def _record(self, name: str) -> records.Record:
        record = records.load(self.chapter, name, self._source)
        if record is None:
            raise self._missing(name)
        if record.status == "unreadable":
            raise ValueError(f"name = {name!r}: expected a record of {self.chapter} at {self.profile}, {record.path} is unreadable")
        return record

    def _missing(self, name: str) -> ValueError:
        command = f"python -m helpers record {self.chapter} --profile {self.profile}"
        where = f"{self.chapter} at {self.profile}"
        return ValueError(f"name = {name!r}: no such record of {where}, expected one made by `{command}`")


def recorded(of, profile: str) -> Recorded:
    """What is recorded of a chapter at a profile.

    Args:
        of: the chapter's name, or a run of it; one that is being recorded at this profile reads its own.
        profile: a recorded one. ValueError for any other.
    """
    if profile not in records.RECORDED:
        known = list(records.RECORDED)
        raise ValueError(f"profile = {profile!r}: expected one of {known}{nearest(profile, known)}")
    own = getattr(of, "profile", None) == profile
    return Recorded(getattr(of, "chapter", of), profile, of if own else profile)
