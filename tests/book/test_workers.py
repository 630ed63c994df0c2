"""Measurements side by side: the same numbers, cache and threads in every process, mistakes as themselves."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from test_measuring import RUN, empty, kept, noted  # noqa: F401: fixtures

from helpers.book import grid, measure, measuring
from helpers.networks import cache

HERE = Path(__file__).parents[2]


@pytest.fixture
def side_by_side(monkeypatch):
    """Whatever there is to do is worth a second process."""
    monkeypatch.setattr(measuring, "WORTH", 0.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def place(number):
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(120, 120, generator=generator, dtype=torch.float64)
    return {
        "sum": torch.linalg.svd(x).S.log().sum().item(), "numpy": float(np.log(np.linalg.svd(x.numpy())[1]).sum()),
        "threads": torch.get_num_threads(), "process": os.getpid(), "cache": str(cache.folder()),
    }  # fmt: skip


def test_what_is_short_stays_in_this_process():
    assert set(measure(RUN, place, grid(number=range(3)))["process"]) == {os.getpid()}


def test_on_an_accelerator_everything_stays_in_this_process(side_by_side):
    there = SimpleNamespace(device=torch.device("cuda"))
    assert set(measure(there, place, grid(number=range(3)))["process"]) == {os.getpid()}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_numbers_in_several_processes(side_by_side, empty, monkeypatch, threads):  # noqa: F811
    usual = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = measure(RUN, place, grid(number=range(5)))
        monkeypatch.setenv("LAYERS_CACHE", str(empty / "another"))
        monkeypatch.setattr(measuring, "WORTH", 1e9)
        here = measure(RUN, place, grid(number=range(5)))
    finally:
        torch.set_num_threads(usual)
    assert found["process"][0] == os.getpid() and not set(found["process"][1:]) & {os.getpid()}
    assert set(here["process"]) == {os.getpid()}
    pd.testing.assert_frame_equal(found[["sum", "numpy", "number"]], here[["sum", "numpy", "number"]], check_exact=True)
    assert set(found["threads"]) == set(here["threads"]) == {threads}
    assert set(found["cache"]) == {str(empty / "cache")}
    assert len(kept()) == 5


def test_workers_find_the_cache_of_now(side_by_side, empty, monkeypatch):  # noqa: F811
    for name in ("one", "two"):
        monkeypatch.setenv("LAYERS_CACHE", str(empty / name))
        assert set(measure(RUN, place, grid(number=range(3)))["cache"]) == {str(empty / name)} and len(kept()) == 3


def test_a_cache_is_found_wherever_a_process_works(side_by_side, empty, monkeypatch):  # noqa: F811
    monkeypatch.chdir(empty)
    monkeypatch.setenv("LAYERS_CACHE", "near")
    measure(RUN, place, grid(number=range(3)))
    assert len(list((empty / "near" / "measured").glob("*.json"))) == 3


def test_a_mistake_in_another_process_comes_back_as_itself(side_by_side):
    def invert(number):
        return {"inverse": 1 / (2 - number)}

    with pytest.raises(ZeroDivisionError):
        measure(RUN, invert, grid(number=range(4)))
    assert 2 <= len(kept()) <= 3  # what was found before is kept


def test_what_is_missing_in_another_process_is_told(side_by_side):
    def read(number):
        if number == 2:
            raise FileNotFoundError("there is no such file: 2")
        return {"number read": number}

    missing = []
    assert measure(RUN, read, grid(number=range(4)), missing)["number"].tolist() == [0, 1, 3]
    assert missing == [({"number": 2}, "there is no such file: 2")]


KILLED = """
import os, time, torch
from types import SimpleNamespace
from helpers import book
from helpers.book import measuring

os.cpu_count, measuring.WORTH = lambda: 2, 0.0

def wait(number):
    if number:
        with open(os.environ["LAYERS_TEST_CALLS"], "a") as calls:
            calls.write(f"{os.getpid()}\\n")
        time.sleep(60)
    return {"waited": number}

book.measure(SimpleNamespace(device=torch.device("cpu")), wait, book.grid(number=[0, 1, 2]))
"""


def test_processes_do_not_outlive_a_run_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=HERE) as run:
        while len(noted()) < 2 and run.poll() is None:
            time.sleep(0.1)
        workers = [psutil.Process(int(line)) for line in noted()]
        run.kill()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert len(gone) == 2 and not alive
