"""Which cells lead to which: the names that each takes from those before it, followed from the last cell backwards."""

import ast
from collections.abc import Collection, Iterable, Mapping

from helpers.networks.user_code import syntax

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SCOPES = (*FUNCTIONS, *COMPREHENSIONS, ast.Lambda)


def leading_to(cells: Mapping[str, str], ends: Collection[str]) -> dict[str, str]:
    """Those cells, and every one before them whose names they use, directly or through one another; in their order.

    A cell that gives a name a new value hides what earlier cells gave it.
    """
    found: dict[str, str] = {}
    wanted: set[str] = set()
    for name, text in reversed(cells.items()):
        body = syntax(text).body
        taken, settled = _taken(body, set())
        if name in ends or wanted & _given(body):
            found[name] = text
            wanted = (wanted - settled) | taken
    return dict(reversed(found.items()))


def called(text: str) -> set[str]:
    """The last names of what a cell calls."""
    calls = (node.func for node in ast.walk(syntax(text)) if isinstance(node, ast.Call))
    return {getattr(each, "attr", getattr(each, "id", "")) for each in calls}


def _taken(body: Iterable[ast.stmt], settled: Collection[str]) -> tuple[set[str], set[str]]:
    """The names that statements use before they give them a value; and those with a value of their own in the end.

    What happens on a condition settles nothing.
    """
    taken, settled = set(), set(settled)
    for node in body:
        if isinstance(node, ast.For):
            taken |= _used(node.iter) - settled
            taken |= _taken(node.body, settled | _given([node.target]))[0] | _taken(node.orelse, settled)[0]
        elif isinstance(node, ast.With):
            taken |= set().union(*(_used(item) for item in node.items)) - settled
            inner, settled = _taken(node.body, settled | _given(item.optional_vars for item in node.items))
            taken |= inner
        else:
            taken |= _used(node) - settled
            if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.ClassDef, *FUNCTIONS)):
                settled |= _given([node])
    return taken, settled


def _used(node: ast.AST) -> set[str]:
    """The names whose values a piece of code uses, but for those of its own functions and comprehensions."""
    if isinstance(node, ast.Name):
        return set() if isinstance(node.ctx, ast.Store) else {node.id}
    inside = set().union(*map(_used, ast.iter_child_nodes(node)))
    if isinstance(node, ast.AugAssign):
        return inside | _given([node.target])
    if isinstance(node, COMPREHENSIONS):
        return _used(node.generators[0].iter) | inside - _given(each.target for each in node.generators)
    if isinstance(node, (ast.Lambda, *FUNCTIONS)):
        own = {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)} | {getattr(node, "name", "")}
        written = set() if isinstance(node, ast.Lambda) else _bound(node.body)
        outside = set().union(*map(_used, [node.args, *getattr(node, "decorator_list", ())]))
        return outside | inside - own - written
    return inside


def _given(nodes: Iterable[ast.AST | None]) -> set[str]:
    """The names that code gives a value, or changes one in, for those that come after."""
    nodes = [node for node in nodes if node is not None]
    changed = {
        part.id
        for each in _outside_scopes(nodes)
        if isinstance(each, ast.Subscript | ast.Attribute) and not isinstance(each.ctx, ast.Load)
        for part in ast.walk(each.value)
        if isinstance(part, ast.Name)
    }
    return _bound(nodes) | changed


def _bound(nodes: Iterable[ast.AST]) -> set[str]:
    """The names that code binds."""
    found = set()
    for each in _outside_scopes(nodes):
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            found.add(each.id)
        elif isinstance(each, (ast.ClassDef, *FUNCTIONS)):
            found.add(each.name)
        elif isinstance(each, ast.alias):
            found.add((each.asname or each.name).partition(".")[0])
    return found


def _outside_scopes(nodes: Iterable[ast.AST]) -> Iterable[ast.AST]:
    """These nodes and all below them, but for what lies within functions and comprehensions."""
    for node in nodes:
        yield node
        if not isinstance(node, (*SCOPES, ast.ClassDef)):
            yield from _outside_scopes(ast.iter_child_nodes(node))
