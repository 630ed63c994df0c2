"""Records, made to be committed: a whole run of a chapter at a recorded profile."""

import os
from pathlib import Path

from helpers.book import records, runner, sources
from helpers.networks.names import nearest

WORKERS = 2  # processes side by side, unless more are asked for


def record(chapter: str, profile: str, workers: int = WORKERS) -> Path:
    """Run a chapter at a recorded profile, and put its records under book/records; their folder.

    What an interrupted recording has measured is in the cache: the next one resumes there. Raises ValueError (a profile
    that is not recorded, or that the chapter does not have) and what `runner.run` raises.
    """
    if profile not in records.RECORDED:
        known = list(records.RECORDED)
        raise ValueError(f"profile = {profile!r}: expected one of {known}{nearest(profile, known)}")
    file = sources.root() / "book" / "profiles" / profile / f"{chapter}.yml"
    if chapter in sources.chapters() and not file.exists():
        raise ValueError(f"profile = {profile!r}: expected one that {chapter} has; there is no {file.name} in {file.parent}")
    os.environ["LAYERS_WORKERS"] = str(workers)
    return records.publish(chapter, profile, runner.run(chapter, profile) / "records")
