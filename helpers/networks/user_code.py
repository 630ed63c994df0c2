"""The code of a reader's own network, and code as what it does: without comments, docstrings and blank lines."""

import ast
import io
import re
import sys
import threading
import tokenize
from contextlib import suppress
from functools import cache
from importlib import util
from pathlib import Path

_PARSER = threading.Lock()


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
