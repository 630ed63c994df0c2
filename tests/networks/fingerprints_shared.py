"""What the tests of fingerprints share."""

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


IMPORTS = {
    "import outer.inner.deep as d": "d.helper",
    "import outer.inner.deep": "outer.inner.deep.helper",
    "from outer.inner import deep": "deep.helper",
    "from outer.inner import deep as d": "d.helper",
    "from outer.inner.deep import LIMIT, helper": "helper",
}


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


REAL = """
import helpers, importlib, pkgutil, types
from helpers.networks.fingerprints import fingerprint
for found in pkgutil.walk_packages(helpers.__path__, "helpers."):
    if not found.name.endswith("__main__") and not found.ispkg:
        module = importlib.import_module(found.name)
        for name, entry in sorted(vars(module).items()):
            if isinstance(entry, (types.FunctionType, type)) and entry.__module__ == module.__name__:
                print(module.__name__, name, fingerprint(entry))
"""
