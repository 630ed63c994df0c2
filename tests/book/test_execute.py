"""The process that runs a notebook: light, and it takes its family along."""

import os
import subprocess
import sys

import psutil

from helpers.book import execute


def test_a_family_ends_and_no_other_process():
    command = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]
    started = [
        subprocess.Popen(command, env=os.environ | {"LAYERS_RUN": name}, stdout=subprocess.PIPE) for name in ("this", "that")
    ]
    try:
        assert [each.stdout.readline() for each in started] == [b"1\n"] * 2
        execute.end("LAYERS_RUN", "this")
        assert not psutil.pid_exists(started[0].pid) and started[1].poll() is None
    finally:
        for each in started:
            each.kill()
            each.wait()
            each.stdout.close()


def test_it_starts_without_the_package():
    command = [sys.executable, "-X", "importtime", "-P", execute.__file__]
    done = subprocess.run(command, input="no job\n", capture_output=True, text=True)
    assert "JSONDecodeError" in done.stderr and "psutil" in done.stderr
    assert "torch" not in done.stderr and "helpers.book." not in done.stderr
