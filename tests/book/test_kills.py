"""Whatever is killed, nothing of its family is left, and earlier results stand."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from filelock import FileLock
from small_book import contents, environment, is_alive, tiny, wait_for

from helpers.book import runner
from helpers.networks.cache import write

# Started in the background, a shell has its commands ignore SIGINT: here they must not.
RUN = """\
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("helpers", run_name="__main__", alter_sys=True)"""
MEASURING = """\
import os, time
from helpers.book import measuring
os.cpu_count, measuring.WORTH = lambda: 2, 0
def slow(number):
    if number:
        open(f"busy-{number}", "w").close()
        time.sleep(600)
    return {"number": number}
book.measure(run, slow, book.grid(case=[0, 1, 2]))""".replace("number", "case")
TRAINING = """\
import os
from helpers.networks import training
os.cpu_count, training.WORTH = lambda: 2, 0
training.prefetch([training.Spec("mlp1", seed=seed, epochs=1_000_000) for seed in (1, 2)])"""
WORK = {"measuring": (MEASURING, "busy-*"), "training": (TRAINING, "cache/networks/*.lock")}
GONE = 5  # seconds; what the workers do takes much longer
VICTIMS = {"runner": "runpy", "executor": "execute.py", "kernel": "ipykernel_launcher"}


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda kind: kind.name)
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("work", WORK)
def test_nothing_is_left_of_a_run_when_a_part_is_killed(tmp_path, work, victim, kind):
    """The runner, the process that runs the notebook, or its kernel, while two workers measure or train."""
    measure, at_work = WORK[work]
    tiny(tmp_path, measure=measure)
    runs = tmp_path / "_build" / "runs" / "tiny"
    write(runs / "laptop" / "records" / "values.json", "an earlier result")
    before = contents(runs / "laptop")
    call = [sys.executable, "-c", RUN, "run", "tiny"]
    with subprocess.Popen(call, env=environment(tmp_path), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as started:
        wait_for(lambda: len(list(tmp_path.glob(at_work))) == 2 or started.poll() is not None, 300)
        family = [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]
        try:
            assert sum("loky" in " ".join(each.cmdline()) for each in family) >= 2
            (chosen,) = [each for each in family if VICTIMS[victim] in " ".join(each.cmdline())]
            chosen.send_signal(kind)
            wait_for(lambda: not any(map(is_alive, family)), GONE)
        finally:
            for each in family:
                if is_alive(each):
                    each.kill()
        told = started.stderr.read()
    assert started.returncode not in (0, 2) and "Traceback" not in told
    assert contents(runs / "laptop") == before
    unfinished = [path.name for path in runs.iterdir() if "unfinished" in path.name]
    assert len(unfinished) == ((victim, kind) == ("runner", signal.SIGKILL))


def test_the_next_run_clears_up_after_a_runner_that_was_killed(fresh, monkeypatch):
    """What is left of other runs goes too, unless they are under way; a result that was being replaced comes back."""
    runs = fresh / "_build" / "runs" / "tiny"
    for name in ("laptop.unfinished-1", "laptop-0a1b.unfinished-2", "smoke.unfinished-3"):
        write(runs / name / "records" / "values.json", "half")
    write(runs / "laptop.unfinished-former" / "records" / "values.json", "whole")

    def fail(*job):
        raise runner.CellFailed("a cell")

    monkeypatch.setattr(runner, "_execute", fail)
    with ThreadPoolExecutor(1) as other, FileLock(runs / "smoke.lock"), pytest.raises(runner.CellFailed):
        other.submit(runner.run, "tiny").result()
    left = {path.name for path in runs.iterdir() if path.is_dir()}
    assert left == {"laptop", "smoke.unfinished-3"}
    assert (runs / "laptop" / "records" / "values.json").read_text() == "whole"
