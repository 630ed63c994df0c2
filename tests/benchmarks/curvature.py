"""How much faster than the published code's own steps: CAML and the pull-back; TwoNN beside scikit-dimension.

    python tests/benchmarks/curvature.py

Each pair runs side by side in one process on one thread, alternating; the answers are compared first, then the
medians of the times. Wanted at D = 4096 and d = 10: CAML at least 2 times as fast as the reference in the same
precision at K = 256 and K = 1023, the pull-back at least 50 times at K = 1023; TwoNN the faster one at n = 5000,
D = 3072. Figures hold for a quiet machine.
"""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import skdim
import torch
from side_by_side import medians

from helpers import curvature
from helpers.curvature.published import at_origin
from helpers.networks.numerics import stream

torch.set_num_threads(1)


def reference(z, d):
    """CAML of neighbours (n, K, D) around the origin as published, by SVD and pseudo-inverse, in the precision of z."""
    found = []
    rows, columns = torch.triu_indices(d, d)
    for few in z.split(8):
        _, values, right = torch.linalg.svd(few.mT, full_matrices=False)
        c = right.mT * values[:, None]
        u = c[..., :d]
        design = torch.cat([u, u[..., rows] * u[..., columns] * torch.where(rows == columns, 0.5, 1.0)], dim=-1)
        fit = torch.linalg.pinv(design) @ c[..., d:]
        hessians = z.new_empty(*fit.mT.shape[:2], d, d)
        hessians[..., rows, columns] = hessians[..., columns, rows] = fit[:, d:].mT
        found.append(torch.linalg.eigvalsh(hessians))
    return torch.cat(found)


def images_of_a_ball(n, count, features, q, radius=0.5):
    """Displacements (n, K, D) through n random smooth layers of q inputs, and the inputs (K, q)."""
    t = radius * curvature.ball(q, count + count % 2, stream(0, "benchmark"))[:count]
    layers = [torch.randn(q + 1 + features, 256, generator=stream(i, "layer"), dtype=torch.float64) for i in range(n)]
    hidden = [(torch.tanh(t @ w[:q] / q**0.5 + w[q]) - torch.tanh(w[q])) @ w[q + 1 :].T / 16 for w in layers]
    return torch.stack(hidden), t


def on_spheres(n, count, features, q, radius=0.05):
    """Displacements (n, K, D) on unit spheres of q dimensions in general position, and their coordinates (K, q)."""
    t = radius * curvature.ball(q, count + count % 2, stream(0, "benchmark"))[:count]
    graph = torch.cat([t, (1 - t.square().sum(1, keepdim=True)).sqrt() - 1], dim=1)
    axes = torch.randn(n, features, q + 1, generator=stream(0, "axes"), dtype=torch.float64)
    return graph @ torch.linalg.qr(axes).Q.mT, t


def with_noise(z, size=1e-3):
    """A little of every direction, as activations have it."""
    return z + size * z.std() * torch.randn(z.shape, generator=stream(0, "noise"), dtype=z.dtype)


# Of the mean absolute curvature, and of all of them beside the largest: what SVDs of that precision agree to.
TOLERANCES = {torch.float32: (1e-5, 1e-3), torch.float64: (1e-10, 1e-9)}


def agree_on_curvatures(ours, theirs):
    a, b = (each.abs().flatten(1).sort().values for each in (ours, theirs))
    mean, largest = TOLERANCES[ours.dtype]
    assert ours.dtype == theirs.dtype and abs(a.mean() / b.mean() - 1) < mean, "mean absolute principal curvature"
    assert (a - b).abs().max() <= largest * b.max(), "sorted principal curvatures"


def agree_on_norm(form, theirs):
    """The Frobenius norm of the second fundamental form; on a unit sphere the root of q."""
    square = theirs.square().sum((1, 2))
    assert (form.norm / square.sqrt() - 1).abs().max() < 0.01, "norm of the second fundamental form"
    assert (square / theirs.shape[2] - 1).abs().max() < 0.02


def smooth_cloud(n, features, d=10):
    """Points (n, D) on a curved surface of d dimensions, with a little noise."""
    t, axes = (torch.randn(shape, generator=stream(0, "cloud", *shape), dtype=torch.float64) for shape in ((n, d), (d, features)))
    return with_noise(torch.tanh(t @ axes / d**0.5))


def agree_on_dimension(ours, theirs):
    assert abs(ours / theirs - 1) < 1e-10, "intrinsic dimension"


def race(ours, theirs, agree, rounds, repeats=1):
    """Medians (s) of both sides, alternating, once they agree; a short side is repeated, so that it is timed as long."""
    agree(ours(), theirs())
    return medians((ours, theirs), rounds, repeats=(repeats, 1))


def main():
    print("milliseconds a point, one thread\n")
    print(f"{'':52}{'ours':>9}{'theirs':>9}{'ratio':>8}{'wanted':>8}")
    n = 8
    for kind, prepare in {"smooth": lambda z: z, "noisy": with_noise}.items():
        for count, features in ((256, 4096), (1023, 4096), (256, 128)):
            z = prepare(images_of_a_ball(n, count, features, 10)[0])
            for dtype in (torch.float32, torch.float64):
                near = z.to(dtype)
                sides = lambda: at_origin(near, 10, dtype=dtype), lambda: reference(near, 10)
                name = f"CAML, K {count}, D {features}, d 10, {kind}, {str(dtype)[6:]}"
                report(name, n, race(*sides, agree_on_curvatures, 5 if count < 1000 else 3), 2 if features > 1000 else None)
    z, t = on_spheres(n, 1023, 4096, 10)
    pull_back = lambda: curvature.second_fundamental_form(z, t, 0.05)
    pair = race(pull_back, lambda: reference(z, 10), agree_on_norm, 3, repeats=20)
    report("pull-back, K 1023, D 4096, q 10, spheres", n, pair, 50)
    points = smooth_cloud(5000, 3072)
    pair = race(lambda: curvature.two_nn(points), lambda: skdim.id.TwoNN(0.1).fit(points.numpy()).dimension_, agree_on_dimension, 3)
    report("TwoNN, n 5000, D 3072, beside scikit-dimension", len(points), pair, 1)


def report(name, n, pair, wanted):
    ours, theirs = 1000 * pair / n
    print(f"{name:52}{ours:9.2f}{theirs:9.1f}{theirs / ours:8.1f}{wanted or '':>8}", flush=True)


if __name__ == "__main__":
    main()
