"""Processes that work side by side, and end with the one that started them."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import joblib
import torch


def workers() -> int:
    """How many processes work side by side: LAYERS_WORKERS, or one a core."""
    return int(os.environ.get("LAYERS_WORKERS") or os.cpu_count() or 1)


def progress(what: str, total: int) -> Callable[[], None]:
    """To be called as each of so many is done: says so on stderr, with the time that the others should take."""
    began, done = time.monotonic(), 0

    def told() -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - began) / done * (total - done)
        about = f", about {spelled(left)} left" if left >= 10 else ""
        print(f"{what}: {done} of {total}{about}", file=sys.stderr, flush=True)

    return told


def spelled(seconds: float | int) -> str:
    """A length of time in words: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def side_by_side(function: Callable, arguments: Sequence[tuple]) -> Iterator:
    """What a function gives for each of these arguments, in order, by several processes (`workers`).

    The processes work on while what they gave is used, and end when this one is interrupted, fails, or is killed.
    """
    cores = min(workers(), len(arguments))
    settings = {name: value for name, value in os.environ.items() if name.startswith("LAYERS_")}
    given = (torch.get_num_threads(), os.getpid(), settings)  # others than before start other processes
    with joblib.parallel_config(backend="loky", initializer=start_worker, initargs=given):
        tasks = (joblib.delayed(function)(*each) for each in arguments)
        results = joblib.Parallel(n_jobs=cores, return_as="generator", batch_size=1)(tasks)
    yield from results


def start_worker(threads: int, parent: int, settings: Mapping[str, str] | None = None) -> None:
    """Threads and variables as the parent has, on which results depend; and not to outlive a parent that is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    os.environ.update(settings or {})
    torch.set_num_threads(threads)
    threading.Thread(target=watch, daemon=True).start()
