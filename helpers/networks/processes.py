"""Processes that work side by side, and end with the one that started them."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import joblib
import torch


def side_by_side(function: Callable, arguments: Sequence[tuple]) -> Iterator:
    """What a function gives for each of these arguments, in order, one process a core.

    The processes work on while what they gave is used, and end when this one is interrupted, fails, or is killed.
    """
    cores = min(os.cpu_count() or 1, len(arguments))
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
