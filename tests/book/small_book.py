"""A small book: the chapter `tiny` measures, `fragile` does what mode.txt says."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).parents[2]
PARAMETERS = """\
seeds: list = [0, 1]  # -; 0..; seeds
scale: float = 1  # -; 0..10; a factor
dataset: str = "digits"  # -; digits|folder:PATH; images
device: str = "auto"  # -; auto|cpu; where to run"""
MEASURE = """\
import pandas as pd
table = pd.DataFrame({"seed": seeds, "value": [seed * scale for seed in seeds]})
records.save(run, "values", table, checked="abc")"""
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
        code("begin", 'from helpers import book\nfrom helpers.book import records\nrun = book.begin("tiny", globals())'),
        code("measure", measure),
        code("talk", 'import os, sys\nprint("one", flush=True)\nprint("noise", file=sys.stderr)\nprint("two", os.getcwd())'),
        code("show", 'print(book.badge(run))\nrecords.load("tiny", "values", run).table', "figure"),
    ]
    return write_chapter(root, "tiny", cells)


def environment(root):
    return os.environ | {"LAYERS_ROOT": str(root), "LAYERS_CACHE": str(root / "cache"), "PYTHONPATH": str(HERE)}


def command(root, *arguments):
    call = [sys.executable, "-m", "helpers", *arguments]
    return subprocess.run(call, env=environment(root), cwd=root, capture_output=True, text=True)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


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
