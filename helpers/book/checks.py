"""Mistakes in the notebooks, the claims and the records; and what the caches hold."""

import re
import shutil
from pathlib import Path

import numpy as np

from helpers.book import judging, manifest, parameters, records, runner, sources, told
from helpers.networks import cache
from helpers.verdicts import claims

WIDEST = 88  # columns of code on a page
READABLE = re.compile(r"(?![0-9a-f]{8}$|[0-9a-f-]{36}$)[a-z][a-z0-9-]*")  # neither of the two random kinds of id


def check() -> tuple[list[str], list[str]]:
    """What is wrong in the sources, and what is worth knowing (records that are stale)."""
    mistakes, remarks = [], []
    for chapter in sources.chapters():
        mistakes += [f"{chapter}: {mistake}" for mistake in _untidy(sources.notebook(chapter))]
        try:
            for profile in parameters.profiles():
                parameters.resolve(chapter, profile)
        except ValueError as error:
            mistakes.append(str(error))
            continue
        for profile in records.recorded(chapter):
            wrong, worth = _recorded(chapter, profile)
            mistakes += [f"records/{profile}/{chapter}: {line}" for line in wrong]
            remarks += [f"records/{profile}/{chapter}: {line}" for line in worth]
        if records.recorded(chapter):
            mistakes += [f"{chapter}: {line}" for line in told.mistakes(chapter)]
        expected = records.load(chapter, "expected", "laptop")
        if expected is not None and expected.status == "current" and len(expected.table):
            failed = expected.table.loc[~expected.table["holds"].astype(bool), "expectation"]
            mistakes += [f"{chapter}: expected of the laptop run, and not so: {what}" for what in failed]
    return mistakes + _changed() + _claims(sources.root() / "book" / "claims.yml"), remarks


def _recorded(chapter: str, profile: str) -> tuple[list[str], list[str]]:
    """What is wrong in the committed records of a chapter, whose verdicts are computed again, and what is worth knowing."""
    found = {path.stem: records.load(chapter, path.stem, profile) for path in sorted(records.location(chapter, profile).glob("*.json"))}
    mistakes = [f"{name} is unreadable" for name, record in found.items() if record.status == "unreadable"]
    if mistakes:
        return mistakes, []
    remarks = [f"{name} is stale: what measured it has changed since" for name, record in found.items() if record.status == "stale"]
    if "claims" not in found or (again := judging.recorded(chapter, profile)) is None:
        return [], remarks
    kept = found["claims"].table.set_index(["claim", "arm"])
    for row in again.verdicts.set_index(["claim", "arm"]).itertuples():
        name = " ".join(row.Index)
        if row.Index not in kept.index:
            remarks.append(f"{name} has no verdict: the claim is newer")
        elif kept.loc[row.Index, "rule"] != row.rule:
            remarks.append(f"{name}: its rule has changed since")
        elif not _same(kept.loc[row.Index], row):
            mistakes.append(f"{name} is {row.verdict} by its values, and {kept.loc[row.Index, 'verdict']} by its record")
    if set(kept["computed_by"]) != {sources.computing(chapter)}:
        remarks.append("claims: the cells that compute what they are judged by have changed since")
    return mistakes, remarks


def _same(kept, row) -> bool:
    """Do a recorded verdict and its numbers follow from the values?"""
    numbers = ("estimate", "low", "high", "n")
    close = all(np.isclose(float(kept[name]), float(getattr(row, name)), rtol=1e-6, atol=1e-12, equal_nan=True) for name in numbers
                if getattr(row, name) is not None)  # fmt: skip
    return kept["verdict"] == row.verdict and close


def _untidy(notebook) -> list[str]:
    """Outputs, counts, random ids, and wide lines of a source notebook."""
    found = []
    for number, cell in enumerate(notebook.cells):
        name = cell.get("id", f"number {number}")
        if not READABLE.fullmatch(name):
            found.append(f"cell {name}: expected a readable id")
        if cell.cell_type != "code":
            continue
        if cell.outputs or cell.execution_count or "papermill" in cell.metadata:
            found.append(f"cell {name}: has outputs, counts or timings")
        wide = [line for line in cell.source.splitlines() if len(line) > WIDEST]
        if wide and "parameters" not in cell.metadata.get("tags", ()):
            found.append(f"cell {name}: {len(wide)} lines wider than {WIDEST} columns: {wide[0].strip()[:40]}...")
    return found


def _changed() -> list[str]:
    """Outputs of runs, and committed records, that are no longer what was measured."""
    runs, recorded = sources.runs(), sources.root() / "book" / "records"
    own = {path.parent: runner.changed(path.parent) for path in sorted(runs.glob("*/*/run.json"))}
    committed = {path.parent: manifest.changed(path.parent) for path in sorted(recorded.rglob(manifest.NAME))}
    found = [f"{folder.relative_to(runs).as_posix()}: {line}: run again" for folder, lines in own.items() for line in lines]
    return found + [f"{folder.relative_to(recorded.parent).as_posix()}: {line}" for folder, lines in committed.items() for line in lines]


def _claims(path: Path) -> list[str]:
    try:
        claims.load(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{path.name}: {error}"]
    return []


def clean(empty: bool = False, runs: bool = False) -> dict[Path, tuple[int, int]]:
    """Files and bytes of the caches, of the built site and of the runs, by folder; emptied if asked, runs only with `runs`.

    Data sets and trained networks are among the caches. Locks do not count.
    """
    parts = [*sorted(cache.folder().glob("*")), *sorted((sources.root() / "_build").glob("*"))]
    found = {}
    for folder in (path for path in parts if path.is_dir()):
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
        found[folder] = (len(sizes), sum(sizes))
        if empty and (runs or folder != sources.runs()):
            shutil.rmtree(folder, ignore_errors=True)
    return found
