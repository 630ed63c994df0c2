"""What a result depends on: the chapter's code, the helpers it imports, and the versions it ran with.

Comments, docstrings and blank lines are left out of every hash, so that explaining code better never
makes a recorded result stale.
"""

import ast
import difflib
import hashlib
import io
import json
import os
import platform
import re
import sys
import threading
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata, util
from pathlib import Path

import nbformat

PACKAGE = Path(__file__).parent
_PARSER = threading.Lock()
# These run, keep, judge and draw but measure nothing: a change in them does not make a record stale.
HOUSEKEEPING = frozenset(
    {"book", "claims", "execute", "figures", "intervals", "parameters", "records", "site", "sources"}
)
NUMERICAL = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas")


def root() -> Path:
    """The folder of the book: the one above `helpers`, or where LAYERS_ROOT says."""
    return Path(os.environ.get("LAYERS_ROOT") or PACKAGE.parent).resolve()


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


def nearest(name: str, names) -> str:
    """`; did you mean 'seeds'?`, or nothing if no name is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def digest(*parts) -> str:
    """The first 16 hex digits of a sha256 over JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name of this process to write to, renamed to `path` at the end; after a failure nothing of it is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> Path:
    """Write a file whole or not at all, creating its folder."""
    with whole(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def syntax(text: str) -> ast.Module:
    """The syntax tree of a source; one at a time, since Python 3.11 cannot parse in two threads at once."""
    with _PARSER:
        return ast.parse(text)


@cache
def code(text: str) -> str:
    """Python source without comments, docstrings and blank lines; other text as it is."""
    try:
        tree = syntax(text)
    except SyntaxError:
        return text
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and body and _is_docstring(body[0], lines):
            for row in range(body[0].lineno - 1, body[0].end_lineno):
                lines[row] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _is_docstring(node: ast.stmt, lines: list[str]) -> bool:
    """Is this a string that has its lines to itself?"""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    before = lines[node.lineno - 1].encode()[: node.col_offset]
    return text and not before.strip() and not lines[node.end_lineno - 1].encode()[node.end_col_offset :].strip()


def helpers_used(texts, without: frozenset[str] = frozenset()) -> dict[str, str]:
    """The helper modules that these sources import, directly or through one another: {name: hash of its code}."""
    found, waiting = {}, [name for text in texts for name in _imports(text)]
    while waiting:
        name = waiting.pop()
        path = PACKAGE / f"{name}.py"
        if name not in found and name not in without and path.is_file():
            text = path.read_text(encoding="utf-8")
            found[name] = digest(code(text))
            waiting += ["__init__", *_imports(text)]
    return dict(sorted(found.items()))


@cache
def _imports(text: str) -> tuple[str, ...]:
    """Names of `helpers` modules that a source imports, anywhere in it."""
    try:
        tree = syntax(text)
    except SyntaxError:
        return ()
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("helpers.")]
        elif isinstance(node, ast.ImportFrom):
            module = f"helpers.{node.module or ''}".rstrip(".") if node.level else node.module
            if module == "helpers":
                names += [alias.name for alias in node.names]
            elif module.startswith("helpers."):
                names.append(module.split(".")[1])
    return tuple(names)


def reader(name: str) -> dict[str, str]:
    """The code that stands behind a reader's network MODULE:FUNCTION, {module: code}; {} for any other text.

    That is the module, the packages it is in, and the modules beside it that they import. Of an installed package, only
    its own modules. What follows an @ in the name is left out.
    """
    match = re.fullmatch(r"(?!torchvision:)([A-Za-z_][\w.]*):[A-Za-z_]\w*(@.*)?", name)
    folder = next((folder for folder in map(Path, sys.path) if match and _file(folder, match[1])), None)
    found, waiting = {}, [match[1]] if folder else []
    while waiting:
        module = waiting.pop()
        path = _file(folder, module)
        foreign = "site-packages" in folder.parts and module.partition(".")[0] != match[1].partition(".")[0]
        if path and module not in found and not foreign:
            text = path.read_text(encoding="utf-8")
            found[module] = code(text)
            parent = module.rpartition(".")[0]
            waiting += [parent, *_imported_modules(text, module if path.stem == "__init__" else parent)]
    return dict(sorted(found.items()))


imported = cache(reader)  # as it was when this process first asked: an edit must not pass for what was imported


def _file(folder: Path, module: str) -> Path | None:
    """The source of a module by its dotted name from this folder."""
    path = folder / module.replace(".", "/")
    return next((file for file in (path / "__init__.py", Path(f"{path}.py")) if module and file.is_file()), None)


def _imported_modules(text: str, package: str) -> list[str]:
    """Dotted names of what a source imports: modules, and names in them that may be modules."""
    try:
        tree = syntax(text)
    except SyntaxError:
        return []
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            with suppress(ImportError):  # beyond the package
                module = util.resolve_name("." * node.level + (node.module or ""), package)
                names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return names


def cells(chapter: str, without: tuple[str, ...] = ()) -> dict[str, str]:
    """The code cells of a chapter, {id: code}, except those that carry one of these tags."""
    kept = (cell for cell in notebook(chapter).cells if cell.cell_type == "code")
    return {cell.id: code(cell.source) for cell in kept if not set(without) & set(cell.metadata.get("tags", ()))}


def measuring(chapter: str) -> str:
    """The hash of what measures in a chapter: its cells but the drawing ones, and the helpers that they import."""
    measured = cells(chapter, without=("parameters", "figure"))
    return digest(list(measured.values()), helpers_used(measured.values(), without=HOUSEKEEPING))


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
