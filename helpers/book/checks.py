"""Mistakes in the notebooks, the claims and the records; and what the caches hold."""

import re
import shutil
from pathlib import Path

from helpers.book import parameters, records, sources
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
    return mistakes + _claims(sources.root() / "book" / "claims.yml"), remarks


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


def _claims(path: Path) -> list[str]:
    try:
        claims.load(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{path.name}: {error}"]
    return []


def clean(empty: bool = False) -> dict[Path, int]:
    """The caches and their sizes in bytes; emptied if asked. The data sets are among them."""

    folders = [path for path in sorted(cache.folder().glob("*")) if path.is_dir()] + [sources.root() / "_build"]
    sizes = {folder: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) for folder in folders}
    for folder in folders if empty else ():
        shutil.rmtree(folder, ignore_errors=True)
    return sizes
