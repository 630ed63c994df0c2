"""The house: imports run downwards only and in no circle, no room is unused, and none is too large to read."""

import ast
import importlib
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import nbformat
import pytest

HERE = Path(__file__).parents[1]
LENSES = ("depth", "frames", "paths", "curvature")
FLOORS = [("networks",), LENSES, ("verdicts",), ("book",), ("__main__",)]
RUNNING = {f"helpers.book.{name}" for name in ("runner", "execute", "site", "checks", "recording", "single_page", "inlining", "speaking", "told")}  # what runs notebooks
LONGEST = 300  # lines
LINES = {"depth": 480, "frames": 290, "paths": 420, "curvature": 330, "lenses": 220}  # of code, at most; half of it open


def modules(root):
    """Every module of helpers by its dotted name, with its file."""
    found = {}
    for path in sorted((root / "helpers").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(text, package, known):
    """The modules among the known ones that a source imports, inside functions too, but for what only type checkers read."""
    names, nodes = [], list(ast.walk(ast.parse(text)))
    checkers = [node for node in nodes if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    unread = [inner for node in checkers for inner in ast.walk(node)]
    for node in nodes:
        if node in unread:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            inner = [f"{base}.{alias.name}" for alias in node.names]
            names += [name for name in inner if name in known] + [base] * any(name not in known for name in inner)
    return {name for name in names if name in known}


def started(text, known):
    """The modules that a source names, to run them with `python -m`."""
    words = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    return words & set(known)


def graph(root):
    """What each module imports."""
    known = modules(root)
    packages = {name: name if path.stem == "__init__" else name.rpartition(".")[0] for name, path in known.items()}
    return {name: imports(path.read_text(), packages[name], known) for name, path in known.items()}


def circle(root):
    try:
        TopologicalSorter(graph(root)).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def upward(root):
    """Imports of a floor above, or of another lens."""
    height = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
    rooms = {name: name.split(".")[1] for name in modules(root) if "." in name}
    pairs = [(one, other) for one, others in graph(root).items() for other in others]
    return [
        (one, other)
        for one, other in pairs
        if "." not in one
        or (rooms[one] != rooms.get(other) and not height[rooms[one]] > height.get(rooms.get(other), -1))
    ]


def reached(root, name):
    """What comes in with a module: what it imports, directly or not, and the packages above."""
    found, waiting, direct = set(), [name], graph(root)
    while waiting:
        if (module := waiting.pop()) not in found:
            found.add(module)
            waiting += [*direct[module], *filter(None, [module.rpartition(".")[0]])]
    return found


def unused(root):
    """Modules that no other module, no notebook and no extension of the site imports."""
    known = modules(root)
    used = set().union(*graph(root).values(), *(started(path.read_text(), known) for path in known.values()))
    for path in (root / "book").glob("*.ipynb"):
        code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        lines = "\n".join(code).splitlines()
        used |= imports("\n".join(line for line in lines if not line.startswith(("%", "!"))), "", known)
    for path in (root / "book").rglob("*.py"):
        used |= imports(path.read_text(), "", known)
    doors = {name for name, path in known.items() if path.stem in ("__init__", "__main__")}
    return sorted(set(known) - used - doors)


def too_long(root):
    kept = (path for path in root.rglob("*.py") if not {".venv", "_build", "build"} & set(path.relative_to(root).parts))
    lengths = {path.relative_to(root).as_posix(): len(path.read_text().splitlines()) for path in kept}
    return {name: length for name, length in lengths.items() if length > LONGEST}


def test_imports_run_in_no_circle():
    assert circle(HERE) == []


def test_imports_run_downwards_and_no_lens_knows_another():
    assert upward(HERE) == []


def test_what_notebooks_use_does_not_know_what_runs_them():
    assert not reached(HERE, "helpers.book") & RUNNING
    assert RUNNING <= set(modules(HERE))


def test_no_room_is_unused():
    assert unused(HERE) == []


def test_files_can_be_read():
    assert too_long(HERE) == {}


def test_the_house_has_few_doors():
    entries = [path.name for path in (HERE / "helpers").iterdir() if path.name != "__pycache__"]
    assert len([name for name in entries if not name.endswith(".egg-info")]) <= 9


@pytest.mark.parametrize("chapter", LINES)
def test_a_chapter_has_little_code(chapter):
    """Lines that are neither blank nor a comment; open are those that a page does not fold."""
    every, shown = 0, 0
    for cell in nbformat.read(HERE / "book" / f"{chapter}.ipynb", as_version=4).cells:
        tags = set(cell.metadata.get("tags", ()))
        if cell.cell_type == "code" and "hosted" not in tags:
            lines = [line for line in map(str.strip, cell.source.splitlines()) if line and not line.startswith("#")]
            every += len(lines)
            shown += 0 if tags & {"hide-input", "hide-cell", "remove-cell", "remove-input"} else len(lines)
    assert every <= LINES[chapter] and shown <= LINES[chapter] // 2


@pytest.mark.parametrize("floor", [room for rooms in FLOORS[:-1] for room in rooms])
def test_what_stands_at_a_door_is_there(floor):
    module = importlib.import_module(f"helpers.{floor}")
    tree = ast.parse(Path(module.__file__).read_text())
    named = [alias for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    names = {alias.asname or alias.name for alias in named if alias.name != "*"} | set(getattr(module, "__all__", ()))
    assert names and not [name for name in names if not hasattr(module, name)]
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            source = importlib.import_module(node.module)
            assert source.__all__ and not [name for name in source.__all__ if not hasattr(module, name)]


def test_the_rules_find_what_breaks_them(tmp_path):
    def room(name, text):
        path = tmp_path / "helpers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    for floor in ("", "networks/", "depth/", "paths/", "book/"):
        room(f"{floor}__init__.py", "")
    room("networks/low.py", "x = 1\n")
    room("depth/lens.py", "from ..networks import low\n")
    room("book/desk.py", "import helpers.depth.lens\n")
    room("book/runner.py", "COMMAND = ['-m', 'helpers.book.desk']\n" + "\n" * LONGEST)
    assert circle(tmp_path) == [] and upward(tmp_path) == [] and unused(tmp_path) == ["helpers.book.runner"]
    assert too_long(tmp_path) == {"helpers/book/runner.py": LONGEST + 1}
    room("networks/low.py", "def f():\n    from helpers.depth import lens\n")
    assert {"helpers.networks.low", "helpers.depth.lens"} == set(circle(tmp_path))
    assert upward(tmp_path) == [("helpers.networks.low", "helpers.depth.lens")]
    room("networks/low.py", "")
    room("paths/other.py", "from helpers.depth import lens\n")
    assert upward(tmp_path) == [("helpers.paths.other", "helpers.depth.lens")]
    room("book/__init__.py", "from . import desk\n")
    room("depth/lens.py", "from helpers.book import runner\n")
    assert "helpers.book.runner" in reached(tmp_path, "helpers.book")
