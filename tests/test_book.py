"""The runner: parameters refused, results kept whole, nothing run twice, nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import book, execute, parameters, site, sources
from helpers.__main__ import main

pytestmark = pytest.mark.book

HERE = Path(__file__).parent.parent
PARAMETERS = """\
seeds: list = [0, 1]  # -; 0..; seeds
scale: float = 1  # -; 0..10; a factor
dataset: str = "digits"  # -; digits|folder:PATH; images
device: str = "auto"  # -; auto|cpu; where to run"""
MEASURE = """\
import pandas as pd
table = pd.DataFrame({"seed": seeds, "value": [seed * scale for seed in seeds]})
records.save(run, "values", table, data="abc")"""
FRAGILE = """\
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
mode = Path("mode.txt").read_text()
Path("kernel.pid").write_text(str(os.getpid()))
if mode == "raise":
    raise KeyError("nothing there")
if mode == "kill":
    os.kill(os.getpid(), 9)
if mode == "leave":
    sys.exit(0)
if mode == "wait":
    time.sleep(60)"""


def code(name, source, *tags):
    cell = new_code_cell(source, metadata={"tags": list(tags)})
    cell.id = name
    return cell


def prose(name, text):
    cell = new_markdown_cell(text)
    cell.id = name
    return cell


def write_chapter(root, name, cells, **layers):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel} | ({"layers": layers} if layers else {}))
    path = root / "book" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def tiny(root, measure=MEASURE, text="Prose.", parameters=PARAMETERS):
    cells = [
        prose("title", f"# Tiny\n\n{text}"),
        code("parameters", parameters, "parameters"),
        code("begin", 'from helpers import book, records\nrun = book.begin("tiny", globals())'),
        code("measure", measure),
        code("talk", 'import os, sys\nprint("one", flush=True)\nprint("noise", file=sys.stderr)\nprint("two", os.getcwd())'),
        code("show", 'print(records.badge(run))\nrecords.load("tiny", "values", run).table', "figure"),
    ]
    return write_chapter(root, "tiny", cells)


def environment(root):
    return os.environ | {"LAYERS_ROOT": str(root), "LAYERS_CACHE": str(root / "cache"), "PYTHONPATH": str(HERE)}


def command(root, *arguments):
    call = [sys.executable, "-m", "helpers", *arguments]
    return subprocess.run(call, env=environment(root), cwd=root, capture_output=True, text=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A book of two chapters: `tiny` measures, `fragile` does what mode.txt says; both run once."""
    root = tmp_path_factory.mktemp("root")
    tiny(root)
    write_chapter(root, "fragile", [prose("title", "# Fragile"), code("act", FRAGILE), code("parameters", "", "parameters")])
    (root / "mode.txt").write_text("fine")
    (root / "book" / "profiles" / "smoke").mkdir(parents=True)
    (root / "book" / "profiles" / "smoke" / "tiny.yml").write_text("seeds: [5]\n")
    (root / "book" / "intro.md").write_text("# Intro\n")
    (root / "_config.yml").write_text('title: T\nexecute:\n  execute_notebooks: "off"\nonly_build_toc_files: true\n')
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n  - file: book/tiny\n  - file: book/fragile\n")
    for chapter in ("tiny", "fragile"):
        done = command(root, "run", chapter)
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def here(root, monkeypatch):
    """The same book, for calls in this process."""
    for name, value in environment(root).items():
        monkeypatch.setenv(name, value)
    return root


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A book of its own with `tiny` in it, not run."""
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    tiny(tmp_path)
    return tmp_path


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# Parameters


def test_the_command_line_refuses_an_unknown_parameter(root):
    refused = command(root, "run", "tiny", "-p", "sedes", "[0]")
    assert refused.returncode == 2
    assert "sedes" in refused.stderr and "did you mean 'seeds'?" in refused.stderr


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seeds", "3", "a list"),
        ("seeds", "1_8", "a list"),
        ("seeds", "[0.5]", "int elements"),
        ("seeds", "[0, -1]", "0.."),
        ("scale", '"1e-2"', "float"),
        ("scale", "true", "float"),
        ("scale", "11", "0..10"),
        ("scale", "NaN", "finite"),
        ("dataset", "cifar", "digits|folder:PATH"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(here, capsys, name, value, expected):
    before = contents(here / "_build" / "runs")
    assert main(["run", "tiny", "-p", name, value]) == 2
    message = capsys.readouterr().err
    assert name in message and expected in message
    assert contents(here / "_build" / "runs") == before


@pytest.mark.parametrize("arguments", [["run", "tinny"], ["run", "tiny", "--profile", "smok"], ["show", "tinny"]])
def test_unknown_chapters_and_profiles_are_refused(here, capsys, arguments):
    assert main(arguments) == 2
    assert "did you mean" in capsys.readouterr().err


def test_parameters_are_read_from_the_notebook(here, capsys):
    found = {each.name: each for each in book.parameters("tiny")}
    assert list(found) == ["seeds", "scale", "dataset", "device"]
    assert found["scale"].read("2") == 2.0 and isinstance(found["scale"].read("2"), float)
    assert found["seeds"].read("[3]") == [3]
    assert found["dataset"].read("folder:here") == "folder:here" == found["dataset"].read('"folder:here"')
    assert parameters.resolve("tiny", "smoke")["seeds"] == [5]
    assert main(["show", "tiny"]) == 0
    assert "| `scale` | float | `1` | - | 0..10 | a factor |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    ["seeds = [0]  # -; 0..; seeds", "seeds: list = [0]", "seeds: list = f()  # -; -; seeds", "seeds: dict = {}  # -; -; x",
     "seeds: list = [0]  # -; -; at least = 0", "seeds: int = -1  # -; 0..; seeds"],
)  # fmt: skip
def test_a_parameter_line_that_cannot_be_read_is_named(fresh, line):
    tiny(fresh, parameters=line)
    with pytest.raises(ValueError, match="seeds"):
        book.parameters("tiny")


def test_begin_checks_the_namespace(fresh, monkeypatch, capsys):
    monkeypatch.setenv("LAYERS_PROFILE", "custom")
    monkeypatch.delenv("LAYERS_RUN", raising=False)
    namespace = {"seeds": [1], "scale": 2, "dataset": "digits", "device": "cpu"}
    run = book.begin("tiny", namespace)
    assert run.parameters == namespace and isinstance(namespace["scale"], float)
    assert (run.profile, run.device.type, run.threads) == ("custom", "cpu", 1)
    assert run.folder == fresh.resolve() / "_build" / "runs" / "tiny" / "custom"
    with pytest.raises(ValueError, match="scale = 'much'"):
        book.begin("tiny", namespace | {"scale": "much"})
    with pytest.raises(ValueError, match="device: not defined"):
        book.begin("tiny", {"seeds": [1], "scale": 2.0, "dataset": "digits"})


# Runs that go well


def test_a_run_holds_its_notebook_and_records(here):
    folder = book.place("tiny", "laptop")
    assert {path.as_posix() for path in contents(folder)} == {"notebook.ipynb", "records/values.json", "run.json"}
    found = json.loads((folder / "records" / "values.json").read_text())
    assert found["table"]["value"] == {"type": "float64", "values": [0.0, 1.0]}
    assert found["provenance"]["data"] == "abc" and found["provenance"]["threads"] == 1


def test_what_is_up_to_date_is_not_run_again(here, capfd):
    assert main(["run", "tiny"]) == 0
    assert "up to date" in capfd.readouterr().err
    assert main(["list"]) == 0
    listed = [line.split(maxsplit=2) for line in capfd.readouterr().out.splitlines()]
    assert ["tiny", "laptop", "up to date"] in listed and ["tiny", "smoke", "not run"] in listed


def test_two_runs_are_byte_identical_once_scrubbed(here):
    def scrubbed():
        path = book.place("tiny", "laptop") / "notebook.ipynb"
        return nbformat.writes(site.scrub(nbformat.read(path, as_version=4)))

    first = scrubbed()
    assert "one\\n" in first and '"noise\\n' not in first and str(here) not in first
    shutil.rmtree(here / "cache", ignore_errors=True)
    before = (book.place("tiny", "laptop") / "run.json").stat().st_mtime_ns
    book.run("tiny", force=True)
    assert (book.place("tiny", "laptop") / "run.json").stat().st_mtime_ns > before
    assert scrubbed() == first


def test_another_value_is_another_run_and_the_default_is_none(here, monkeypatch):
    ran = []
    monkeypatch.setattr(book, "_execute", lambda *job: ran.append(job) or 0.0)
    assert book.run("tiny", parameters={"scale": 1}) == book.place("tiny", "laptop") and not ran
    folder = book.run("tiny", parameters={"scale": 2})
    assert folder.name.startswith("laptop-") and len(folder.name) == len("laptop-") + 8
    assert ran[0][2] == {"scale": 2.0}
    book.run("tiny", "smoke")
    assert ran[1][2] == {"seeds": [5]}
    shutil.rmtree(folder), shutil.rmtree(book.place("tiny", "smoke"))


def test_a_paper_run_is_published_and_one_with_changes_is_not(fresh, monkeypatch):
    (fresh / "book" / "profiles" / "paper").mkdir(parents=True)

    def execute(chapter, profile, values, folder):
        sources.write(folder / "records" / "values.json", json.dumps(values))
        return 0.0

    monkeypatch.setattr(book, "_execute", execute)
    committed = sources.write(fresh / "book" / "records" / "tiny" / "former.json", "{}").parent
    book.run("tiny", "paper", {"scale": 2})
    assert [path.name for path in committed.iterdir()] == ["former.json"]
    book.run("tiny", "paper")
    assert [path.name for path in committed.iterdir()] == ["values.json"]


# What a run depends on


def test_prose_and_comments_do_not_ask_for_a_new_run_but_code_does(fresh):
    key, measured = book.key("tiny"), sources.measuring("tiny")
    tiny(fresh, text="Other prose.")
    assert book.key("tiny") == key
    tiny(fresh, measure=f"# why\n{MEASURE}  # a table\n")
    assert book.key("tiny") == key and sources.measuring("tiny") == measured
    tiny(fresh, measure=MEASURE.replace("seed * scale", "seed + scale"))
    assert book.key("tiny") != key and sources.measuring("tiny") != measured
    tiny(fresh, parameters=PARAMETERS.replace("= 1 ", "= 2 "))
    assert book.key("tiny") != key and sources.measuring("tiny") == measured


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
    assert sources.code(text) == kept


def test_a_changed_helper_asks_for_a_new_run(fresh, monkeypatch):
    package = fresh / "helpers"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "PACKAGE", package)
    (package / "lens.py").write_text("from . import inner\n")
    (package / "inner.py").write_text('"""Doc."""\n\n\ndef f():\n    """Doc."""\n    return 1  # one\n')
    tiny(fresh, measure=f"from helpers.lens import inner\n{MEASURE}")
    key, measured = book.key("tiny"), sources.measuring("tiny")
    (package / "inner.py").write_text('"""Other."""\ndef f():\n    """Other."""\n    # why\n    return 1\n')
    (package / "unused.py").write_text("x = 1\n")
    (package / "site.py").write_text("x = 1\n")
    assert book.key("tiny") == key
    (package / "figures.py").write_text("x = 1\n")
    assert book.key("tiny") != key and sources.measuring("tiny") == measured
    key = book.key("tiny")
    (package / "inner.py").write_text("def f():\n    return 2\n")
    assert book.key("tiny") != key and sources.measuring("tiny") != measured


def test_data_records_and_threads_count(fresh, monkeypatch):
    images = fresh / "images"
    images.mkdir()
    changes = {"dataset": f"folder:{images}"}
    key = book.key("tiny", changes=changes)
    (images / "new.png").write_bytes(b"x")
    assert book.key("tiny", changes=changes) != key
    write_chapter(fresh, "total", [code("parameters", "", "parameters"), code("sum", "1")], after=["tiny"])
    keys = [book.key("total")]
    sources.write(fresh / "_build/runs/tiny/laptop/records/values.json", "{}")
    keys.append(book.key("total"))
    sources.write(fresh / "book/records/tiny/values.json", "{}")
    keys.append(book.key("total"))
    monkeypatch.setenv("LAYERS_THREADS", "2")
    keys.append(book.key("total"))
    assert len(set(keys)) == 4


def test_a_readers_network_is_found_where_the_command_is_given(fresh, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    network = "from torch import nn\ndef net(size):\n    return nn.Sequential(nn.Flatten(), nn.Linear(size**2, {}))\n"
    tiny(
        fresh, parameters='models: list = ["mlp1"]  # names; -; networks',
        measure='import pandas as pd\nfrom helpers import models as nets\n'
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


# Runs that go wrong


@pytest.mark.parametrize(
    ("mode", "status", "message"),
    [("raise", 1, "fragile: cell act: KeyError: 'nothing there'"), ("kill", 138, "fragile: cell act: the kernel died")],
)
def test_a_failure_has_its_status_and_leaves_the_earlier_result(root, mode, status, message):
    folder = root / "_build" / "runs" / "fragile"
    before = contents(folder / "laptop")
    (root / "mode.txt").write_text(mode)
    failed = command(root, "run", "fragile", "--force")
    assert failed.returncode == status
    assert message in failed.stderr
    assert contents(folder / "laptop") == before
    assert {path.name for path in folder.iterdir()} == {"laptop", "laptop.lock", "laptop.failed.ipynb"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cell_that_ends_the_notebook_is_no_success(here, tmp_path, capsys):
    (here / "mode.txt").write_text("leave")
    job = {"chapter": "fragile", "source": str(here / "book" / "fragile.ipynb"), "output": str(tmp_path / "out.ipynb"),
           "parameters": {}, "cwd": str(here)}  # fmt: skip
    assert execute.execute(job) == "cell act: ended the notebook early"
    assert "fragile: cell 2 of 3: act" in capsys.readouterr().err
    (here / "mode.txt").write_text("fine")


def test_a_killed_runner_leaves_no_kernel_and_no_result(here):
    (here / "mode.txt").write_text("wait")
    (here / "kernel.pid").unlink()
    call = [sys.executable, "-m", "helpers", "run", "fragile", "--force"]
    runner = subprocess.Popen(call, env=environment(here), cwd=here, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: (here / "kernel.pid").exists() and (here / "kernel.pid").read_text(), 30)
        kernel = psutil.Process(int((here / "kernel.pid").read_text()))
        family = [kernel, kernel.parent()]
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.wait()
    wait_for(lambda: not any(map(is_alive, family)), 15)
    folder = here / "_build" / "runs" / "fragile"
    assert any("unfinished" in path.name for path in folder.iterdir())
    assert book.finished(folder / "laptop", book.key("fragile"))  # the earlier result still stands
    (here / "mode.txt").write_text("fine")


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def is_alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# The site


def test_outputs_are_staged_into_the_notebook_as_it_reads_now(here):
    staged = book.stage()
    page = nbformat.read(staged / "book" / "tiny.ipynb", as_version=4)
    cells = {cell.id: cell for cell in page.cells}
    assert cells["talk"].outputs == [new_output("stream", name="stdout", text="one\ntwo .\n")]
    assert "**Live** · laptop profile · CPU" in cells["show"].outputs[0].text
    assert (staged / "book" / "live" / "tiny" / "values.csv").read_text() == "seed,value\n0,0.0\n1,1.0\n"
    times = {path: path.stat().st_mtime_ns for path in staged.rglob("*") if path.is_file()}
    (staged / "book" / "gone.md").write_text("# Gone\n")
    tiny(here, text="Other prose.")
    book.stage()
    changed = {path for path in staged.rglob("*") if path.is_file() and times.get(path) != path.stat().st_mtime_ns}
    assert changed == {staged / "book" / "tiny.ipynb"}
    assert "Other prose." in (staged / "book" / "tiny.ipynb").read_text()
    tiny(here, measure="1")
    with pytest.raises(site.BuildFailed, match="tiny: its laptop run is missing or out of date"):
        book.stage()
    tiny(here)


def test_a_build_that_warns_fails_and_fails_again(here, capfd):
    intro = here / "book" / "intro.md"
    assert main(["build"]) == 0
    assert Path(capfd.readouterr().out.strip().splitlines()[-1]) == here.resolve() / "_build" / "html"
    assert (here / "_build" / "html" / "index.html").exists()
    intro.write_text("# Intro\n\n{ref}`nowhere`\n")
    for _ in range(2):
        assert main(["build"]) == 1
        assert "undefined label" in capfd.readouterr().err
    intro.write_text("# Intro\n")


def test_chapters_run_after_those_they_read_and_failures_are_told(fresh, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(book, "run", lambda chapter, profile: ran.append(chapter))
    write_chapter(fresh, "again", [code("parameters", "", "parameters")], after=["tiny"])
    site.run_all("laptop")
    assert ran == ["tiny", "again"]
    write_chapter(fresh, "tiny", [code("parameters", "", "parameters")], after=["again"])
    with pytest.raises(ValueError, match="wait for one another"):
        site.run_all("laptop")

    def fail(chapter, profile):
        raise book.CellFailed(f"{chapter}: cell x")

    monkeypatch.setattr(book, "run", fail)
    tiny(fresh)
    with pytest.raises(book.CellFailed, match="tiny: cell x"):
        site.run_all("laptop")
    assert "again" not in capsys.readouterr().err


def test_check_names_what_is_untidy(fresh, capsys):
    (fresh / "book" / "claims.yml").write_text("- id: C1\n")
    cells = [
        prose("0123abcd", "# T"),
        code("parameters", "seeds = 1", "parameters"),
        code("long", "x = 1\n" * 16),
        code("drawing", "x = 1\n" * 16, "figure"),
        code("done", "1"),
    ]
    cells[-1].execution_count = 3
    write_chapter(fresh, "bad", cells)
    sources.write(fresh / "book" / "records" / "tiny" / "values.json", "{")
    assert main(["check"]) == 1
    told = capsys.readouterr().out
    for mistake in ("cell 0123abcd", "'seeds = 1'", "cell long: 16 lines", "cell done: has outputs", "values is unreadable", "C1"):
        assert mistake in told
    assert "drawing" not in told and "tiny: cell" not in told


def test_clean_shows_and_then_empties(fresh, monkeypatch, capsys):
    monkeypatch.setenv("LAYERS_CACHE", str(fresh / "cache"))
    kept = sources.write(fresh / "cache" / "measured" / "a.json", "{}")
    assert main(["clean"]) == 0 and kept.exists()
    assert "measured" in capsys.readouterr().out
    assert main(["clean", "--yes"]) == 0 and not kept.exists()


def test_sources_are_read_in_several_threads_at_once():
    texts = [path.read_text() for path in sorted(sources.PACKAGE.glob("*.py"))]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(sources.code.__wrapped__, texts * 5))
    assert found == [sources.code(text) for text in texts] * 5
