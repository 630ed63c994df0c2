"""Work side by side: in order, with the threads and the settings of the process that asked."""

import os

import pytest
import torch

from helpers.networks import processes


def seen(number):
    return number, os.getpid(), os.environ.get("LAYERS_CACHE"), torch.get_num_threads()


def test_workers_have_the_settings_of_now(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    look = lambda number: seen(number)  # noqa: E731  by value: this file is nowhere where workers look
    for place in ("one", "two"):  # workers are kept from one call to the next
        monkeypatch.setenv("LAYERS_CACHE", place)
        found = list(processes.side_by_side(look, [(3,), (1,), (2,)]))
        assert [number for number, *_ in found] == [3, 1, 2]
        assert {cache for _, _, cache, _ in found} == {place} and {threads for *_, threads in found} == {1}
        assert os.getpid() not in {process for _, process, *_ in found}


def test_a_mistake_beside_comes_back(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    divide = lambda number: 1 / number  # noqa: E731
    with pytest.raises(ZeroDivisionError):
        list(processes.side_by_side(divide, [(1,), (0,), (2,)]))


@pytest.mark.parametrize(("asked", "found"), [("3", 3), ("", 2), (None, 2)])
def test_as_many_processes_as_are_asked_for_or_one_a_core(monkeypatch, asked, found):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.delenv("LAYERS_WORKERS", raising=False)
    if asked is not None:
        monkeypatch.setenv("LAYERS_WORKERS", asked)
    assert processes.workers() == found


def test_progress_tells_the_time_that_is_left(monkeypatch, capsys):
    clock = iter([100.0, 130.0, 160.0, 161.0])
    monkeypatch.setattr(processes.time, "monotonic", lambda: next(clock))
    told = processes.progress("bends", 3)
    for _ in range(3):
        told()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["bends: 1 of 3, about 60 s left", "bends: 2 of 3, about 30 s left", "bends: 3 of 3"]


@pytest.mark.parametrize(("seconds", "words"), [(12.4, "12 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_in_words(seconds, words):
    assert processes.spelled(seconds) == words
