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
