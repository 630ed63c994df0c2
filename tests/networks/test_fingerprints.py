"""The fingerprint of code changes with every line that computes, and with no word that does not."""

from fingerprints_shared import *  # noqa: F403


@pytest.mark.parametrize("name", MATTERS)
def test_an_edit_that_matters_changes_the_fingerprint(load, name):
    assert fingerprint(load().measure) != fingerprint(load(edited(MATTERS[name])).measure)


@pytest.mark.parametrize("name", DOES_NOT)
def test_an_edit_that_does_not_matter_leaves_it(load, name):
    assert fingerprint(load().measure) == fingerprint(load(edited(DOES_NOT[name])).measure)


def test_a_helper_two_folders_deep(load):
    first = fingerprint(load().measure)
    assert first == fingerprint(load(deep=DEEP.replace("return x\n", "return -x\n")).measure)  # it is not called
    assert first != fingerprint(load(deep=DEEP.replace("min(", "max(")).measure)
    assert first != fingerprint(load(deep=DEEP.replace("LIMIT = 3", "LIMIT = 4")).measure)


@pytest.mark.parametrize("statement", IMPORTS)
def test_modules_imported_within_a_function(load, statement):
    source = f"def measure(x):\n    {statement}\n    return {IMPORTS[statement]}(x)\n"
    first = fingerprint(load(source).measure)
    assert first == fingerprint(load(source, DEEP.replace("return x\n", "return -x\n")).measure)
    assert first != fingerprint(load(source, DEEP.replace("min(", "max(")).measure)


def test_the_order_of_definitions(load):
    cells = re.split(r"\n\n(?=def |@functools)", SUBJECT)
    shuffled = "\n\n".join([cells[0], *cells[:0:-1]]).replace("triple = scaled(3)", "")
    assert shuffled.index("def measure") < shuffled.index("def scaled")
    assert fingerprint(load().measure) == fingerprint(load(shuffled + "\ntriple = scaled(3)\n").measure)


def test_a_module_used_as_a_value_counts_whole(load):
    source = "from outer.inner import deep\ndef measure(x):\n    return getattr(deep, x)\n"
    first, second = load(source), load(source, DEEP.replace("return x\n", "return -x\n"))
    assert fingerprint(first.measure) != fingerprint(second.measure)


def test_a_file_edited_after_its_import_and_a_module_that_has_moved(load):
    first, second = load(), load()
    assert first.__file__ != second.__file__ and fingerprint(first.measure) == fingerprint(second.measure)
    before = fingerprint(first.measure)
    Path(first.__file__).write_text(SUBJECT.replace("y + 11", "y + 12"))
    assert fingerprint(first.measure) == before


@pytest.mark.parametrize("name", ["constant", "global list", "closure", "method", "lambda in a dict", "tensor", "jump"])
def test_edits_in_a_notebook_that_matter(notebook, name):
    assert fingerprint(notebook(SUBJECT)["measure"]) != fingerprint(notebook(edited(MATTERS[name]))["measure"])


@pytest.mark.parametrize("name", ["docstring edited", "blank lines", "comment", "unrelated global", "printed message"])
def test_edits_in_a_notebook_that_do_not(notebook, name):
    assert fingerprint(notebook(SUBJECT)["measure"]) == fingerprint(notebook(edited(DOES_NOT[name]))["measure"])


def test_a_cell_that_has_run_again_with_other_data(notebook):
    cells = notebook("steps = [1]\n\ndef measure():\n    return steps")
    before = fingerprint(cells["measure"])
    cells["steps"].append(2)
    assert fingerprint(cells["measure"]) != before
    cells["steps"].pop()
    assert fingerprint(cells["measure"]) == before


def test_of_a_settings_object_only_the_attributes_that_are_read(load):
    source = """
from dataclasses import dataclass
@dataclass
class Run:
    device: str = "cpu"
    seeds: int = 5
    def twice(self):
        return self.seeds * 2
run = Run()
def by_attribute():
    return run.device
def by_method():
    return run.twice()
"""
    module = load(source)
    attribute, method = fingerprint(module.by_attribute), fingerprint(module.by_method)
    module.run.seeds = 6
    assert fingerprint(module.by_attribute) == attribute and fingerprint(module.by_method) != method
    module.run.device = "cuda"
    assert fingerprint(module.by_attribute) != attribute
    assert fingerprint(load(source.replace("* 2", "* 3")).by_method) != method


def test_recursion_ends_and_counts(load):
    source = "def a(n):\n    return n and b(n - 1)\ndef b(n):\n    return n and a(n - 2)\n"
    source += "ALL = {a, b}\ndef c():\n    return ALL\n"
    first, second = load(source), load(source.replace("n - 2", "n - 3"))
    assert fingerprint(first.a) == fingerprint(load(source).a) != fingerprint(second.a)
    assert fingerprint(first.c) == fingerprint(load(source).c) != fingerprint(second.c)
    loop = [1]
    loop.append(loop)
    assert fingerprint(loop) == fingerprint(loop) != fingerprint([1, [1]])


def test_checked_and_wrapped_functions(load):
    source = """
from beartype import beartype
from jaxtyping import jaxtyped
import functools, torch
@jaxtyped(typechecker=beartype)
def checked(x: int) -> int:
    return x + 1
@torch.no_grad()
def without(x):
    return x + 1
mapped = torch.func.vmap(lambda x: x + 1, in_dims=0)
partial = functools.partial(without, x=1)
def logged(f):
    @functools.wraps(f)
    def wrapper(*args):
        return f(*args) * 5
    return wrapper
@logged
def ours(x):
    return x + 1
"""
    first, again = load(source), load(source)
    body, made = load(source.replace("x + 1", "x + 2")), load(source.replace("* 5", "* 6"))
    for name in ("checked", "without", "mapped", "partial", "ours"):
        assert fingerprint(getattr(first, name)) == fingerprint(getattr(again, name)), name
        assert fingerprint(getattr(first, name)) != fingerprint(getattr(body, name)), name
    assert fingerprint(first.ours) != fingerprint(made.ours)
    assert fingerprint(first.mapped) != fingerprint(load(source.replace("in_dims=0", "in_dims=1")).mapped)
    before = fingerprint(first.checked)
    first.checked(1)
    assert fingerprint(first.checked) == before
