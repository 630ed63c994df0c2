"""Settings for every test: one thread, checked shapes, a cache of its own; and a copy of the book that test files share."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"  # results depend on the thread count, and two processes of one thread are fastest

from jaxtyping import install_import_hook

# Every shape that stands in a signature is checked at run time, in the tests only.
hook = install_import_hook("helpers", "beartype.beartype")

import pytest
import torch
from accelerator import accelerator as accelerator  # a fixture
from filelock import FileLock

torch.set_num_threads(1)
HERE = Path(__file__).parent.parent
LONGEST = ("test_chapters", "test_site", "test_lenses", "test_training", "test_kills", "test_runner")


def pytest_configure(config):
    config.option.loadscopereorder = False  # xdist would begin with the files of most tests, and end with the longest


SLOW = ("test_kills", "test_chapters_on_devices", "test_wheel", "test_workers", "test_processes", "test_skeleton",
        "test_examples_run", "test_lenses")  # fmt: skip
NUMERIC = ("networks", "depth", "frames", "paths", "curvature", "verdicts")  # folders; the others test the book


def pytest_collection_modifyitems(items):
    """The markers `book` and `slow` by file; and the longest files first, so that no process ends late."""
    for item in items:
        if item.path.parent.name not in NUMERIC:
            item.add_marker("book")
        if item.path.stem in SLOW:
            item.add_marker("slow")
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that is the same in all test processes."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def copy_of_the_book():
    """A function: in a folder, a copy of the book in which nothing has run, and the variables that lead there."""

    def copied(folder):
        root = folder / "book-copy"
        shutil.copytree(HERE / "book", root / "book", ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        for name in ("_config.yml", "_toc.yml"):
            shutil.copy(HERE / name, root)
        return led_to(folder)

    return copied


def led_to(folder):
    changes = {"LAYERS_ROOT": str(folder / "book-copy"), "LAYERS_CACHE": str(folder / "cache"), "PYTHONPATH": str(HERE)}
    return SimpleNamespace(root=folder / "book-copy", changes=changes)


@pytest.fixture(scope="session")
def site_copy(shared, copy_of_the_book):
    """The copy of the book from which the site is built; its chapters' runs are compared with others made elsewhere.

    Whoever comes first runs a chapter, and others wait for it: that is the runner's business.
    """
    with FileLock(shared / "site-copy.lock"):
        folder = shared / "site-copy"
        return led_to(folder) if folder.exists() else copy_of_the_book(folder)
