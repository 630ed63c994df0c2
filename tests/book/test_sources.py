"""What a run depends on: code that does something, data, records and threads; no prose."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_book import MEASURE, PARAMETERS, code, environment, tiny, write_chapter

from helpers.book import runner, sources
from helpers.networks import user_code
from helpers.networks.cache import write


def test_prose_and_comments_do_not_ask_for_a_new_run_but_code_does(fresh):
    key, measured = runner.key("tiny"), sources.measuring("tiny")
    tiny(fresh, text="Other prose.")
    assert runner.key("tiny") == key
    tiny(fresh, measure=f"# why\n{MEASURE}  # a table\n")
    assert runner.key("tiny") == key and sources.measuring("tiny") == measured
    tiny(fresh, measure=MEASURE.replace("seed * scale", "seed + scale"))
    assert runner.key("tiny") != key and sources.measuring("tiny") != measured
    tiny(fresh, parameters=PARAMETERS.replace("= 1 ", "= 2 "))
    assert runner.key("tiny") != key and sources.measuring("tiny") == measured


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('"""Doc."""\n\nx = "# no"  # yes\n', 'x = "# no"'),
        ('def f(): "doc"\nclass A(B): "doc"; x = 1', 'def f(): "doc"\nclass A(B): "doc"; x = 1'),
        ('def f():\n    """é\n    x = 1\n    """  # c\n    "kept"\n    return 1', 'def f():\n    "kept"\n    return 1'),
        ("%magic # c", "%magic # c"),
    ],
)
def test_only_comments_and_docstrings_are_left_out_of_the_hash(text, kept):
    assert user_code.code(text) == kept


def test_a_changed_helper_asks_for_a_new_run(fresh, monkeypatch):
    """Modules are seen however deep they lie, and through the packages that name them."""
    package = fresh / "helpers"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "PACKAGE", package)
    inner = package / "lens" / "deep" / "inner.py"
    write(package / "lens" / "__init__.py", "from helpers.lens.deep import f\n")
    write(package / "lens" / "deep" / "__init__.py", "from .inner import f\n")
    write(inner, '"""Doc."""\n\n\ndef f():\n    """Doc."""\n    return 1  # one\n')
    tiny(fresh, measure=f"from helpers import lens\n{MEASURE}")
    key, measured = runner.key("tiny"), sources.measuring("tiny")
    write(inner, '"""Other."""\ndef f():\n    """Other."""\n    # why\n    return 1\n')
    write(package / "lens" / "deep" / "unused.py", "x = 1\n")
    for name in ("site", "runner", "checks", "execute"):  # what runs notebooks
        (package / "book" / f"{name}.py").write_text("x = 1\n")
    assert runner.key("tiny") == key
    (package / "book" / "figures.py").write_text("x = 1\n")
    assert runner.key("tiny") != key and sources.measuring("tiny") == measured
    key = runner.key("tiny")
    write(inner, "def f():\n    return 2\n")
    assert runner.key("tiny") != key and sources.measuring("tiny") != measured


def test_data_records_and_threads_count(fresh, monkeypatch):
    images = fresh / "images"
    images.mkdir()
    changes = {"dataset": f"folder:{images}"}
    key = runner.key("tiny", changes=changes)
    (images / "new.png").write_bytes(b"x")
    assert runner.key("tiny", changes=changes) != key
    write_chapter(fresh, "total", [code("parameters", "", "parameters"), code("sum", "1")], after=["tiny"])
    keys = [runner.key("total")]
    write(fresh / "_build/runs/tiny/laptop/records/values.json", "{}")
    keys.append(runner.key("total"))
    write(fresh / "book/records/digits/tiny/values.json", "{}")
    keys.append(runner.key("total"))
    monkeypatch.setenv("LAYERS_THREADS", "2")
    keys.append(runner.key("total"))
    assert len(set(keys)) == 4


def test_a_readers_network_is_found_where_the_command_is_given(fresh, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    network = "from torch import nn\ndef net(size):\n    return nn.Sequential(nn.Flatten(), nn.Linear(size**2, {}))\n"
    tiny(
        fresh, parameters='models: list = ["mlp1"]  # names; -; networks',
        measure='import pandas as pd\nfrom helpers.networks import models as nets\n'
        'sizes = [nets.build(model, classes=3)[-1].out_features for model in models]\n'
        'records.save(run, "values", pd.DataFrame({"size": sizes}))',
    )  # fmt: skip
    found = []
    for size in (5, 5, 6):
        (folder / "mynets.py").write_text(network.format(size))
        call = [sys.executable, "-m", "helpers", "run", "tiny", "-p", "models", '["mynets:net"]']
        done = subprocess.run(call, env=environment(fresh), cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        table = json.loads((Path(done.stdout.strip()) / "records" / "values.json").read_text())["table"]
        found.append((table["size"]["values"], "up to date" in done.stderr))
    assert found == [([5], False), ([5], True), ([6], False)]


def test_sources_are_read_in_several_threads_at_once():
    texts = [path.read_text() for path in sorted(sources.PACKAGE.glob("*.py"))]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(user_code.code.__wrapped__, texts * 5))
    assert found == [user_code.code(text) for text in texts] * 5


CELLS = {
    "tools": "import numpy as np\nfrom helpers import verdicts",
    "a": "a = 1\nother = 2",
    "b": "def double(x):\n    return x * a",
    "drawn": "picture = a",
    "c": "table = {}\ntable['x'] = double(3)",
    "late": "table['y'] = 4",
    "judge": "judged = book.judge(run, table, seeds)",
    "after": "a = 5",
}


def test_what_a_claim_is_judged_by_is_what_its_cells_compute(fresh):
    def computed(**changes):
        texts = CELLS | changes
        write_chapter(fresh, "tiny", [code(name, text) for name, text in texts.items()])
        return sources.computing("tiny")

    usual = computed()
    for change in ({"after": "a = 6"}, {"drawn": "picture = 7"}, {"a": "a = 1\nother = 2  # two"}):
        assert computed(**change) == usual
    for name, text in {"a": "a = 2", "b": "def double(x):\n    return 2 * x * a", "late": "table['y'] = 5"}.items():
        assert computed(**{name: text}) != usual, name
    assert computed(late="pass") != usual
