"""The fingerprint changes with everything that a computation depends on, and with nothing else."""

import dataclasses
import enum
import functools
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

import helpers
from helpers.networks import fingerprints
from helpers.networks.fingerprints import fingerprint

SUBJECT = '''
"""What the module is for."""
import functools
import warnings
import numpy as np
import pandas as pd
import torch
import outer.inner.deep
from outer.inner import deep as below

STEPS = [1, 2, 3]
UNREAD = 5
WEIGHTS = torch.arange(4.0)
TABLE = pd.DataFrame({"x": [1.0, 2.0]})
OPTIONS = {"a": 1, "b": 2}
CHOICES = {"double": lambda x: x * 2, "half": lambda x: x / 2}

def scaled(factor):
    def scale(x):
        return x * factor
    return scale

triple = scaled(3)

class Base:
    def start(self):
        return 10

class Model(Base):
    rate = 0.1

    @property
    def doubled(self):
        return self.rate * 2

    def run(self, x):
        """Run it."""
        return self.start() + x * self.doubled

@functools.cache
def kept(x):
    return x + 7

def unrelated(x):
    return x - 1

def measure(x, power=2, *, shift=0.5):
    """What is measured."""
    if x < 0:
        raise ValueError(f"x={x!r}: expected a number of at least {0}")
    try:
        value = int(x)
        value += 1
    except TypeError:
        value = 0
    def inner(y):
        return y + 11
    # a comment
    print("measured", x)
    warnings.warn("slow", stacklevel=2)
    values = [inner(step) for step in STEPS if step > 0]
    total = sum(values) ** power + shift + triple(x) + kept(x)
    model = Model()
    return total + model.run(x) + CHOICES["double"](x) + WEIGHTS.sum() + TABLE.x.sum() + OPTIONS["a"] + below.helper(x)
'''
DEEP = "LIMIT = 3\n\ndef helper(x):\n    return min(x, LIMIT)\n\ndef other(x):\n    return x\n"

MATTERS = {
    "constant": ("y + 11", "y + 12"),
    "kind of a constant": ("y + 11", "y + 11.0"),
    "operator": ("** power + shift", "** power - shift"),
    "global list": ("STEPS = [1, 2, 3]", "STEPS = [1, 2, 4]"),
    "order of a list": ("STEPS = [1, 2, 3]", "STEPS = [2, 1, 3]"),
    "closure": ("scaled(3)", "scaled(4)"),
    "code of a closure": ("x * factor", "x + factor"),
    "default": ("power=2", "power=3"),
    "keyword default": ("shift=0.5", "shift=0.25"),
    "lambda in a dict": ("x: x * 2", "x: x * 3"),
    "method": ("self.start() + x", "self.start() - x"),
    "property": ("self.rate * 2", "self.rate * 3"),
    "data of a class": ("rate = 0.1", "rate = 0.2"),
    "method of the base class": ("return 10", "return 20"),
    "decorated function": ("x + 7", "x + 8"),
    "jump": ("if x < 0", "if not x < 0"),
    "condition of a comprehension": ("if step > 0", "if not step > 0"),
    "try moved to else": ("        value += 1\n    except TypeError:\n        value = 0",
                          "    except TypeError:\n        value = 0\n    else:\n        value += 1"),
    "what is caught": ("except TypeError", "except KeyError"),
    "what is raised": ("raise ValueError", "raise KeyError"),
    "that it is raised": ('raise ValueError(f"x={x!r}: expected a number of at least {0}")', "x = 0"),
    "tensor": ("torch.arange(4.0)", "torch.arange(4.0) + 1"),
    "kind of numbers": ("torch.arange(4.0)", "torch.arange(4.0).double()"),
    "table": ('"x": [1.0, 2.0]', '"x": [1.0, 2.5]'),
    "dict": ('{"a": 1, "b": 2}', '{"a": 3, "b": 2}'),
    "parameter that is read": ("triple(x) + kept(x)", "triple(x) + kept(power)"),
    "keyword of a call": ("model.run(x)", "model.run(x=x)"),
    "what a message calls": ('print("measured", x)', 'print("measured", STEPS.pop())'),
}  # fmt: skip
DOES_NOT = {
    "docstring edited": ('"""What is measured."""', '"""Something else."""'),
    "docstring removed": ('    """What is measured."""\n', ""),
    "docstring added": ("        return y + 11", '        """Add."""\n        return y + 11'),
    "docstring of a method": ('"""Run it."""', '"""Run."""'),
    "docstring of the module": ('"""What the module is for."""', ""),
    "comment": ("# a comment", "# another"),
    "blank lines": ("    model = Model()\n", "\n\n    model = Model()\n\n\n"),
    "formatting": ("sum(values) ** power + shift", "(\n        sum(values)\n        ** power\n        + shift\n    )"),
    "definition removed": ("def unrelated(x):\n    return x - 1\n", ""),
    "unrelated global": ("UNREAD = 5", "UNREAD = 6"),
    "unrelated function": ("return x - 1", "return x - 2"),
    "message of an exception": ("expected a number of at least {0}", "{STEPS}: too small"),
    "printed message": ('print("measured", x)', 'print("done", x, STEPS)'),
    "message no longer printed": ('    print("measured", x)\n', ""),
    "text of a warning": ('"slow"', '"very slow: " + str'),
    "order of keys": ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}'),
    "annotations": ("def measure(x, power=2", "def measure(x: float, power: int = 2"),
}  # fmt: skip


@pytest.fixture
def load(tmp_path, monkeypatch):
    """A function: the module `subject` made of these texts, imported anew, in a folder of its own."""
    count = iter(range(99))

    def loaded(source=SUBJECT, deep=DEEP):
        folder = tmp_path / str(next(count))
        (folder / "outer" / "inner").mkdir(parents=True)
        (folder / "outer" / "__init__.py").touch()
        (folder / "outer" / "inner" / "__init__.py").touch()
        (folder / "outer" / "inner" / "deep.py").write_text(deep)
        (folder / "subject.py").write_text(source)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("outer", "subject")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(folder)
        importlib.invalidate_caches()
        return importlib.import_module("subject")

    return loaded


@pytest.fixture
def notebook(load, tmp_path):
    """A function: the namespace of a notebook in whose cells these texts ran."""

    def ran(source):
        load()  # for the modules beside the notebook
        shell = InteractiveShell(user_ns={"__name__": "__main__"})
        shell.history_manager.enabled = False
        for cell in re.split(r"\n\n+(?=\S)", source):
            shell.run_cell(cell).raise_error()
        return shell.user_ns

    main = sys.modules["__main__"]
    yield ran
    sys.modules["__main__"] = main
    InteractiveShell.clear_instance()


def edited(change):
    before, after = change
    assert SUBJECT.count(before) >= 1, "the edit is none"
    return SUBJECT.replace(before, after, 1)


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


IMPORTS = {
    "import outer.inner.deep as d": "d.helper",
    "import outer.inner.deep": "outer.inner.deep.helper",
    "from outer.inner import deep": "deep.helper",
    "from outer.inner import deep as d": "d.helper",
    "from outer.inner.deep import LIMIT, helper": "helper",
}


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


def test_the_condition_of_an_assertion_counts_and_its_message_does_not(load):
    texts = "> 0, 'a'", "> 0, f'{x}'", "> 1, 'a'"
    one, other, third = (load(f"def f(x):\n    assert x {text}\n    return x").f for text in texts)
    assert fingerprint(one) == fingerprint(other) != fingerprint(third)


def test_what_has_no_content_is_named_or_counts_by_its_type(notebook, load):
    cells = notebook("import threading\nlock = threading.Lock()\n\ndef measure():\n    return lock")
    with pytest.raises(TypeError, match=r"'lock' that measure reads is of type lock.*make it inside.*__fingerprint__"):
        fingerprint(cells["measure"])
    with pytest.raises(TypeError, match="argument 1 is of type lock"):
        fingerprint(1, threading.Lock())
    module = load("import threading\nlock = threading.Lock()\ndef measure():\n    return lock")
    assert fingerprint(module.measure) == fingerprint(module.measure)


def test_an_object_may_say_what_counts():
    class Source:
        def __init__(self, name):
            self.name, self.lock = name, threading.Lock()

        def __fingerprint__(self):
            return self.name

    assert fingerprint(Source("a")) == fingerprint(Source("a")) != fingerprint(Source("b"))


def test_text_that_points_at_something(monkeypatch):
    files = {"folder:photos": ["one"]}
    plain = fingerprint("digits")
    monkeypatch.setattr(fingerprints, "POINTS_AT", [lambda text: files.get(text, [])])
    before = fingerprint({"data": "folder:photos"})
    files["folder:photos"].append("two")
    assert fingerprint({"data": "folder:photos"}) != before
    assert fingerprint("digits") == plain


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Spec:
    name: str = "a"
    seed: int = 0


Pair = namedtuple("Pair", "a b")


def network(seed=0, **options):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(**options))


DIFFERENT = [
    [0, 0.0, -0.0, False, None, 0j, "0", b"0", "", (), [], {}, set(), frozenset(), float("nan"), ...],
    [[1, 2], [2, 1], (1, 2), {1, 2}, [[1], 2], [1, [2]], {1: 2}, {2: 1}, range(1, 2), slice(1, 2), Pair(1, 2)],
    [Path("a"), "a", Path("b"), Colour.RED, Colour.BLUE, Spec(), Spec("b"), Spec(seed=1)],
    [torch.float32, torch.float64, torch.device("cpu"), "cpu", torch.Size([1]), (1,), [1]],
    [torch.zeros(2), torch.zeros(2, 1), torch.zeros(2).double(), torch.ones(2),
     np.zeros(2), np.zeros(2, int), [0.0, 0.0]],
    [torch.zeros(()), torch.zeros(0), torch.zeros(1), torch.tensor(True), torch.zeros(1).bfloat16()],
    [pd.Series([1, 2]), pd.Series([1, 2], name="x"), pd.Series([1, 2], [1, 2]), pd.Series([1.0, 2.0]),
     pd.Index([1, 2])],
    [pd.DataFrame({"x": [1], "y": ["a"]}), pd.DataFrame({"x": [1], "y": ["b"]}), pd.DataFrame({"y": ["a"], "x": [1]})],
    [pd.Series(["a"]).astype("category"), pd.Series(["a"]), pd.Series(pd.Categorical(["a"], ["a", "b"]))],
    [np.random.default_rng(0), np.random.default_rng(1),
     torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)],
    [network(), network(1), network(p=0.1), network().eval(), network()[:1]],
    [np.array(["a", None]), np.array(["b", None]), np.array("a"), np.float32(1), np.float64(1), 1.0],
    [functools.partial(len, 1), functools.partial(len, 2), functools.partial(sum, 1),
     len, sum, "len", "a".join, "b".join],
    [torch.relu, torch.tanh, torch, np, torch.nn.ReLU, torch.nn.ReLU(), torch.nn.Tanh()],
]  # fmt: skip


@pytest.mark.parametrize("values", DIFFERENT)
def test_different_values_differ_and_stay_the_same(values):
    digests = [fingerprint(value) for value in values]
    assert len(set(digests)) == len(values)
    assert digests == [fingerprint(value) for value in values]


def test_equal_content_is_equal():
    assert fingerprint(network()) == fingerprint(network())
    assert fingerprint(torch.arange(6).reshape(2, 3).T) == fingerprint(torch.arange(6).reshape(2, 3).T.contiguous())
    assert fingerprint({"a": 1, "b": {2, 3}}) == fingerprint({"b": {3, 2}, "a": 1})
    shared = [1]
    assert fingerprint([shared, shared]) == fingerprint([[1], [1]])


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)
)


def spelled(value):
    """The value as text, the same for equal values of the same types only."""
    if isinstance(value, dict):
        return sorted((repr(key), spelled(entry)) for key, entry in value.items()), "dict"
    if isinstance(value, (list, tuple)):
        return [spelled(entry) for entry in value], type(value).__name__
    return repr(value)


@given(values, values)
def test_values_are_equal_when_their_fingerprints_are(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (repr(spelled(one)) == repr(spelled(other)))


REAL = """
import helpers, importlib, pkgutil, types
from helpers.networks.fingerprints import fingerprint
for found in pkgutil.iter_modules(helpers.__path__):
    if found.name != "__main__" and not found.ispkg:
        module = importlib.import_module(f"helpers.{found.name}")
        for name, entry in sorted(vars(module).items()):
            if isinstance(entry, (types.FunctionType, type)) and entry.__module__ == module.__name__:
                print(module.__name__, name, fingerprint(entry))
"""


def test_the_package_itself_has_the_same_fingerprints_in_two_processes():
    root = Path(helpers.__file__).parent.parent
    said = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(REAL)], cwd=root, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    first, second = (process.communicate()[0] for process in said)
    assert first == second and first.count("\n") > 300
    assert len({line.split()[-1] for line in first.splitlines()}) > 250


def test_the_package_itself_can_be_fingerprinted_twice_with_shapes_checked():
    for found in pkgutil.iter_modules(helpers.__path__):
        if found.name != "__main__" and not found.ispkg:
            module = importlib.import_module(f"helpers.{found.name}")
            functions = [f for f in vars(module).values() if inspect.isfunction(f) and f.__module__ == module.__name__]
            assert fingerprint(*functions) == fingerprint(*functions)
