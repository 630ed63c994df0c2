"""Faults that were once there, planted again: old numbers under new code, keys too wide or narrow, rules elsewhere."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from helpers.verdicts import claims, judging
from helpers.verdicts.values import tidy

HERE = Path(__file__).parents[1]

# Measurements follow from the cells that make them. A file, which is in no key, counts what is measured.

CELLS = [
    'seeds = [100, 101]\nsizes = [1, 2]\ngain = 3\nscale = 2\nunread = "a parameter"',
    'import os\nimport torch\nfrom types import SimpleNamespace\nfrom helpers import book\n'
    'run = SimpleNamespace(device=torch.device("cpu"))',
    'def factor():\n    """Two functions away."""\n    return step() * scale\n\n\ndef step():\n    return gain',
    "def power(exponent):\n    def of(x):\n        return x**exponent\n    return of\n\n\nraised = power(2)",
    'def search(model, seed):\n    """A search."""\n    # at this rate\n    rate = 0.5\n'
    '    with open(os.environ["LAYERS_TEST_CALLS"], "a") as calls:\n        calls.write("x")\n'
    '    if seed < 0:\n        raise ValueError(f"seed={seed}: expected 0 or more")\n'
    '    print("searching")\n'
    '    return {"value": rate * seed + sum(sizes) + factor() + raised(3), "first": float(seed == seeds[0])}\n\n\n'
    'found = book.measure(run, search, book.grid(model=["mlp2"], seed=seeds))',
    'print(found.to_string())  # in place of a figure',
]  # fmt: skip
COMPUTE = {  # what changes numbers
    "a constant of the function": ("rate = 0.5", "rate = 0.25"),
    "a global list": ("sizes = [1, 2]", "sizes = [1, 5]"),
    "a parameter read two functions away": ("gain = 3", "gain = 4"),
    "a parameter read by a helper": ("scale = 2", "scale = 7"),
    "the code of a helper": ("return gain", "return gain + 1"),
    "a closure's variable": ("power(2)", "power(3)"),
    "a closure's code": ("return x**exponent", "return -x**exponent"),
    "what an argument is compared with": ("seeds = [100, 101]", "seeds = [101, 100]"),
}
WORDS = {  # what does not
    "nothing": ("", ""),
    "a docstring": ("A search.", "A much longer search,\n    in two lines."),
    "a docstring of a helper": ("Two functions away.", "Another text."),
    "no docstring": ('    """A search."""\n', ""),
    "a comment": ("# at this rate", "# at another rate\n\n    # and more"),
    "a message": ("expected 0 or more", "give {seed} some other value"),
    "what is printed": ('"searching"', '"searching", model'),
    "a figure": ("found.to_string()", "found.round(1).to_string()"),
    "a parameter that is not read": ('"a parameter"', '"another"'),
    "a cell below": ("# in place of a figure", "\nunread = 5"),
    "an order of definitions": ("sizes = [1, 2]\ngain = 3", "gain = 3\nsizes = [1, 2]"),
}
# The cells run one after the other in the namespace of this program, as in a notebook: with what is kept, and without.
DRIVER = """
import json, os, sys

def ran(cells, cache):
    os.environ["LAYERS_CACHE"] = cache
    for cell in cells:
        exec(compile(cell, "<cell>", "exec"), globals())
    return found.to_dict("list")

for name, cells in json.loads(sys.stdin.read()).items():
    open(os.environ["LAYERS_TEST_CALLS"], "w").close()
    kept = ran(cells, sys.argv[1])
    calls = os.path.getsize(os.environ["LAYERS_TEST_CALLS"])
    print(json.dumps([name, kept, ran(cells, f"{sys.argv[1]}-{name}"), calls]), file=sys.stderr)
"""


def edited(old, new):
    text = "\0".join(CELLS)
    assert not old or text.count(old) == 1, old
    return (text.replace(old, new) if old else text).split("\0")


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """By edit: what the notebook finds with a warm cache, and with an empty one, and how often it measured."""
    folder = tmp_path_factory.mktemp("notebooks")
    jobs = {"before": CELLS} | {name: edited(*change) for name, change in {**COMPUTE, **WORDS}.items()}
    environment = os.environ | {"PYTHONPATH": str(HERE), "LAYERS_TEST_CALLS": str(folder / "calls")}
    done = subprocess.run([sys.executable, "-c", DRIVER, str(folder / "cache")], input=json.dumps(jobs),
                          env=environment, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("[")]
    return {name: (kept, anew, calls) for name, kept, anew, calls in lines}


@pytest.mark.parametrize("edit", COMPUTE)
def test_an_edit_that_computes_measures_again(notebooks, edit):
    kept, anew, calls = notebooks[edit]
    assert calls == 2 and kept == anew
    by_seed = lambda found: {seed: row for seed, *row in zip(found["seed"], found["value"], found["first"])}
    assert by_seed(kept) != by_seed(notebooks["before"][0])


@pytest.mark.parametrize("edit", WORDS)
def test_an_edit_of_words_does_not(notebooks, edit):
    kept, anew, calls = notebooks[edit]
    assert calls == 0 and kept == anew == notebooks["before"][0]


def test_a_notebook_with_a_warm_cache_has_the_numbers_of_its_cells(tmp_path, monkeypatch):
    """Jupyter runs it: cells in `__main__`, each compiled by itself."""
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LAYERS_TEST_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    asked = []
    for change in (("", ""), ("A search.", "Another text."), ("rate = 0.5", "rate = 0.25")):
        tell = "import json\njson.dumps(found['value'].tolist())"
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in [*edited(*change), tell]])
        place = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, kernel_name="python3", timeout=300, resources=place).execute()
        values = json.loads(ast.literal_eval(notebook.cells[-1].outputs[0]["data"]["text/plain"]))
        asked.append((values, (tmp_path / "calls").stat().st_size))
    rest = 3 + 6 + 9  # the sizes, the factor, the power
    assert asked == [([50 + rest, 50.5 + rest], 2), ([50 + rest, 50.5 + rest], 2), ([25 + rest, 25.25 + rest], 4)]


# The key of a trained network follows from the code that trains it.

TRAINING = {  # (module, what stands there, what is planted)
    "a constant of the schedule": ("fitting", "warm = max(steps // 20, 1)", "warm = max(steps // 10, 1)"),
    "pixels three times as large": ("normalisation", "return (images - mean) / std", "return 3 * (images - mean) / std"),
    "an architecture": ("architectures", "2 ** (stage - 1), 2 if k == 0", "2 ** (stage - 1), 3 if k == 0"),
    "a recipe's change of images": ("augmentation", 'padding_mode="zeros"', 'padding_mode="border"'),
}
UNTRAINED = {
    "a message of training": ("fitting", "a smaller lr may help", "try another lr"),
    "a message of a specification": ("fitting", "expected sgd or adam", "expected one of sgd and adam"),
    "a line of progress": ("fitting", "of {spec.epochs}, loss {mean_loss:.3f}", "done, {mean_loss:.2f}"),
    "a message of the cache": ("training", "networks trained", "done"),
}
# Each copy of the package is imported in a process of its own, forked from one in which torch is there already.
KEYS = """
import json, os, sys
import torch, sklearn.datasets, pandas

for name, folder in json.loads(sys.argv[1]).items():
    if not (child := os.fork()):
        sys.path.insert(0, folder)
        from helpers.networks import training
        spec = training.Spec("resnet8", "digits", geometric=True, epochs=1)
        images = training.dataset(spec, "cpu")
        print(json.dumps([name, training.__file__, training.key(spec, images, torch.device("cpu"))]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def reworded(path):
    """A module with other docstrings and more comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    nodes = [node for node in ast.walk(ast.parse("\n".join(lines)))
             if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)]  # fmt: skip
    for words in sorted((node.body[0] for node in nodes), key=lambda words: -words.lineno):
        indent = " " * words.col_offset
        other = ['"""Other words,', 'in two lines."""', "# and a comment"]
        lines[words.lineno - 1 : words.end_lineno] = [indent + line for line in other]
    path.write_text("\n".join(lines) + "\n# the end\n", encoding="utf-8")
    return len(nodes)


def planted(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """The key of one and the same network by what was changed in a copy of the package."""
    folders = {}
    for number, name in enumerate(["before", "words", *TRAINING, *UNTRAINED]):
        folder = tmp_path_factory.mktemp(f"copy{number}")
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(HERE / "helpers" / "networks", folder / "helpers" / "networks", ignore=ignore)
        shutil.copy(HERE / "helpers" / "__init__.py", folder / "helpers")
        folders[name] = str(folder)
        modules = folder / "helpers" / "networks"
        if name == "words":
            assert sum(reworded(path) for path in modules.glob("*.py")) > 100
        elif name != "before":
            module, old, new = (TRAINING | UNTRAINED)[name]
            planted(modules / f"{module}.py", old, new)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", KEYS, json.dumps(folders)], cwd=tmp_path_factory.mktemp("elsewhere"),
                          env=environment, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(file.startswith(folders[name]) for name, file, _ in found), found
    assert set(folders) == {name for name, _, _ in found}, done.stderr
    return {name: key for name, _, key in found}


def test_no_words_are_in_the_key_of_a_network(keys):
    assert keys["words"] == keys["before"]


@pytest.mark.parametrize("change", UNTRAINED)
def test_no_message_is_in_the_key_of_a_network(keys, change):
    assert keys[change] == keys["before"]


@pytest.mark.parametrize("change", TRAINING)
def test_what_decides_the_weights_is_in_the_key_of_a_network(keys, change):
    assert keys[change] != keys["before"]


# Rules stand in the register alone.


def test_a_p_value_asks_about_the_bound_of_the_rule():
    """B11 of the first edition: changes around its bound of −0.05 are far from 0, and were said to be significant."""
    register = claims.load()
    (arm, rule), *_ = [(arm, rule) for arm, rule in register["B11"].rules.items() if rule.judged]
    assert rule.bound == -0.05
    changes = rule.bound + 0.003 * np.random.default_rng(0).normal(size=24)
    columns = {("B11", arm): changes}
    found = judging.intervals(tidy(columns, []), {"B11": register["B11"]})
    assert found["p"][0] > 0.05 and abs(found["estimate"][0] + 0.05) < 0.005
    assert judging.interval(claims.Rule("two-sided", "x", margin=0.1), tidy(columns, [])).p < 1e-9


RULING = re.compile(r"\bnull\s*=|\.loc\[[^\n]*verdict|not judged|\bbound\s*=|\[[\"']verdict[\"']\]\s*=[^=]")


@pytest.mark.parametrize("text", [
    "pooled(mean, x, null=-0.3)", 'judged.loc[rows, ["verdict", "note"]] = "inconclusive"', "x = 'not judged'",
    "Rule(kind, bound=0.3)", 'table["verdict"] = "holds"',
])  # fmt: skip
def test_a_rule_in_a_notebook_is_recognised(text):
    assert RULING.search(text) and not RULING.search('judged.verdicts["verdict"] == "holds"')


STUDIES = [path for path in sorted((HERE / "book").glob("*.ipynb")) if path.stem != "scorecard"]  # which names verdicts


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_no_chapter_has_a_rule_of_its_own(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells and [cell.id for cell in cells if RULING.search(cell.source)] == []
