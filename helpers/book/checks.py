"""Mistakes in the notebooks, the claims and the records; and what the caches hold."""

import re
import shutil
from pathlib import Path

from helpers.book import manifest, parameters, records, runner, sources
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
        for path in sorted(records.location(chapter, "paper").glob("*.json")):
            status = records.load(chapter, path.stem).status
            if status != "current":
                (mistakes if status == "unreadable" else remarks).append(f"{chapter}: record {path.stem} is {status}")
        expected = records.load(chapter, "expected", "laptop")
        if expected is not None and expected.status == "current" and len(expected.table):
            failed = expected.table.loc[~expected.table["holds"].astype(bool), "expectation"]
            mistakes += [f"{chapter}: expected of the laptop run, and not so: {what}" for what in failed]
    return mistakes + _changed() + _claims(sources.root() / "book" / "claims.yml"), remarks


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
