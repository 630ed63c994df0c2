"""Timing that all benchmarks share: every side in one process, alternating, so that a busy machine slows them alike."""

import time

import numpy as np


def medians(sides, rounds, repeats=None, clock=time.perf_counter):
    """Median seconds of each side over the rounds; a short side can be repeated, so that it is timed as long."""
    times = []
    for _ in range(rounds):
        row = []
        for side, times_over in zip(sides, repeats or [1] * len(sides)):
            began = clock()
            for _ in range(times_over):
                side()
            row.append((clock() - began) / times_over)
        times.append(row)
    return np.median(times, axis=0)
