"""The book's files, and what a run depends on: the chapter's code, the helpers it imports, and the versions.

Comments, docstrings and blank lines are left out of every hash. What a kept *measurement* depends on is derived more
finely, from the code that computes it (`helpers.networks.fingerprints`).
"""

import ast
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

import nbformat

from helpers.book.flow import called, leading_to
from helpers.networks.cache import digest
from helpers.networks.names import nearest
from helpers.networks.user_code import code, syntax
from helpers.verdicts.claims import folder_of_the_book

PACKAGE = Path(__file__).parent.parent
# These run, keep, judge and draw but measure nothing: a change in them does not make a record stale.
HOUSEKEEPING = frozenset({"helpers.book", "helpers.verdicts"})
NUMERICAL = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas")


def root() -> Path:
    """The folder of the book. ValueError if there is none."""
    return folder_of_the_book()


def runs() -> Path:
    """Where finished runs live, as CHAPTER/PROFILE."""
    return root() / "_build" / "runs"


def chapters() -> list[str]:
    """The names of the chapters, in alphabetical order."""
    return sorted(path.stem for path in (root() / "book").glob("*.ipynb"))


def notebook(chapter: str):
    """The source notebook of a chapter. ValueError names the nearest chapters if there is none."""
    if chapter not in chapters():
        raise ValueError(f"chapter = {chapter!r}: expected one of {chapters()}{nearest(chapter, chapters())}")
    return nbformat.read(root() / "book" / f"{chapter}.ipynb", as_version=4)


def helpers_used(texts, without: frozenset[str] = frozenset()) -> dict[str, str]:
    """The helper modules that these sources import, directly or through one another: {dotted name: hash of its code}.

    without: packages of helpers, whose modules do not count.
    """
    found, waiting = {}, [name for text in texts for name in _imports(text, "")]
    while waiting:
        name = waiting.pop()
        if name in found or any(f"{name}.".startswith(f"{package}.") for package in without):
            continue
        if (path := _file(name)) is not None:
            text = path.read_text(encoding="utf-8")
            found[name] = digest(code(text))
            package = name if path.stem == "__init__" else name.rpartition(".")[0]
            waiting += [*_imports(text, package), *filter(None, [name.rpartition(".")[0]])]
    return dict(sorted(found.items()))


def _file(name: str) -> Path | None:
    """The source of a module of helpers by its dotted name; None for a name that is something else."""
    path = PACKAGE.parent / name.replace(".", "/")
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


@cache
def _imports(text: str, package: str) -> tuple[str, ...]:
    """Dotted names in `helpers` that a source of this package imports, anywhere in it: modules, or names in them."""
    try:
        tree = syntax(text)
    except SyntaxError:
        return ()
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            module = ".".join(filter(None, (above, node.module)))
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.partition(".")[0] == PACKAGE.name)


def cells(chapter: str, without: tuple[str, ...] = ()) -> dict[str, str]:
    """The code cells of a chapter, {id: code}, except those that carry one of these tags."""
    kept = (cell for cell in notebook(chapter).cells if cell.cell_type == "code")
    return {cell.id: code(cell.source) for cell in kept if not set(without) & set(cell.metadata.get("tags", ()))}


def measuring(chapter: str) -> str:
    """The hash of what measures in a chapter: its cells but the drawing ones, and the helpers that they import."""
    measured = cells(chapter, without=("parameters", "figure", "told"))
    return digest(list(measured.values()), helpers_used(measured.values(), without=HOUSEKEEPING))


def computing(chapter: str, call: str = "judge") -> str:
    """The hash of the cells that compute what the claims are judged by, and of the helpers that they import.

    Those are the cells that call it, and every one before them whose names they use, directly or through one another.
    """
    known = cells(chapter, without=("parameters",))
    found = list(leading_to(known, [name for name, text in known.items() if call in called(text)]).values())
    return digest(found, helpers_used(found, without=frozenset({"helpers.book"})))[:12]


@cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers come from, as installed."""
    found = {"python": platform.python_version()}
    for name in NUMERICAL:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found
