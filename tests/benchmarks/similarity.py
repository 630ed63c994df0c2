"""How much faster than one pair at a time, and than Sylvester equations.

    python tests/benchmarks/similarity.py

Each pair runs side by side in one process on one thread, alternating; the answers are compared first, then the
medians of the times. Wanted: all distances of Angular CKA between 60 points of 1000 images at least 10 times faster
than pair by pair, angles of the angular shape metric in 100 components at least 3 times faster than by projecting both
tangents. Figures hold for a quiet machine.
"""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import torch
from scipy.linalg import solve_sylvester
from side_by_side import medians

from helpers.networks.numerics import stream
from helpers.paths.metrics import AngularCKA, AngularShape

torch.set_num_threads(1)


def layers(count, images, width=512, inner=200):
    """Random ReLU layers of common inputs."""
    x = torch.randn(images, inner, generator=stream(0, "inputs"))
    weights = (torch.randn(inner, width, generator=stream(i, "layer")) for i in range(count))
    return [torch.relu(x @ w / inner**0.5 + 0.1) for w in weights]


def distances(networks=60, images=1000):
    """All distances at once, and the same one pair of points at a time."""
    metric = AngularCKA()
    points = torch.stack([metric.embed(x) for x in layers(networks, images)])

    def one_by_one():
        found = torch.zeros(networks, networks, dtype=points.dtype)
        for i in range(networks):
            for j in range(i):
                found[i, j] = found[j, i] = torch.dot(points[i], points[j]).clamp(-1, 1).arccos()
        return found

    return lambda: metric.pairwise(points), one_by_one


def angles(images=1000, components=100):
    """The angle at one of three points, and the same from tangents projected by SciPy's Sylvester solver."""
    metric = AngularShape(components)
    p, q, r = (metric.embed(x) for x in layers(3, images))

    def horizontal(v):
        square, both = q.mT @ q, q.mT @ v
        return v - q @ torch.from_numpy(solve_sylvester(square.numpy(), square.numpy(), (both - both.mT).numpy()))

    def projected():
        u, v = (horizontal(metric.log(q, other)) for other in (p, r))
        return ((u * v).sum() / (torch.linalg.vector_norm(u) * torch.linalg.vector_norm(v))).arccos()

    return lambda: metric.angle(p, q, r), projected


def agree(ours, theirs):
    assert (ours() - theirs()).abs().max() <= 1e-10


def race(ours, theirs, rounds):
    """Median seconds of both sides, alternating, once they agree."""
    agree(ours, theirs)
    return medians((ours, theirs), rounds)


def main():
    print(f"{'milliseconds, one thread':48}{'ours':>9}{'theirs':>9}{'ratio':>8}{'wanted':>8}")
    report("60 points, m 1000: all distances, Angular CKA", race(*distances(), rounds=7), 10)
    for images in (500, 1000):
        report(f"m {images}, p 100: angle, Angular Shape", race(*angles(images), rounds=41), 3)


def report(name, pair, wanted):
    ours, theirs = 1000 * pair
    print(f"{name:48}{ours:9.2f}{theirs:9.1f}{theirs / ours:8.1f}{wanted:>8}", flush=True)


if __name__ == "__main__":
    main()
