"""What the tests of metrics share."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh, solve_sylvester
from scipy.optimize import brentq
from scipy.stats import ortho_group
from torch.nn.functional import one_hot

from helpers.networks.activations import record
from helpers.networks.numerics import stream
from helpers.paths.geometry import root
from helpers.paths.metrics import AffineInvariant, AngularCKA, AngularShape, EuclideanShape, Stress, gram

PEERS = np.load(Path(__file__).parents[1] / "fixtures" / "metrics.npz")
SEEDS = st.integers(0, 2**31 - 1)
few = settings(max_examples=4, deadline=None)

CKA = [AngularCKA("plug-in"), AngularCKA("low-bias"), AngularCKA("unbiased"), AngularCKA(kernel="gaussian")]
ANGULAR = [AngularShape(), AngularShape(6), AngularShape(20), AngularShape(alpha=0.5), AngularShape(alpha=0)]
EUCLIDEAN = [EuclideanShape(), EuclideanShape(6), EuclideanShape(alpha=0.5), EuclideanShape(6, 0), EuclideanShape(alpha=0)]
SHAPES = ANGULAR + EUCLIDEAN
SQUARE = [AffineInvariant(0.1), AffineInvariant(0.1, relative=True)]
FLAT = [Stress(), Stress(rescale=True)]
METRICS = CKA + SHAPES + SQUARE + FLAT
FAMILIES = [AngularCKA(), AngularShape(), EuclideanShape(), Stress(), AffineInvariant(1.0)]
every = pytest.mark.parametrize("metric", METRICS, ids=repr)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "normal", *shape), dtype=torch.float64)


def rotation(n, seed=0):
    return torch.from_numpy(ortho_group.rvs(n, random_state=seed))


def features(seed=0, m=24, widths=(12, 9, 15)):
    """Representations of m images that have something in common, narrower than m."""
    common, seeds = normal(m, 5, seed=seed), range(10 * seed, 10 * seed + len(widths))
    return [(common @ normal(5, n, seed=s)).tanh() + 0.3 * normal(m, n, seed=s) + 1 for n, s in zip(widths, seeds)]


def embedded(metric, seed=0, **shape):
    return [metric.embed(x) for x in features(seed, **shape)]


def close(a, b, tolerance=1e-8):
    a, b = (torch.as_tensor(each, dtype=torch.float64) for each in (a, b))
    return torch.allclose(a, b, rtol=0, atol=tolerance)


def norm(metric, p, v):
    return metric.inner(p, v, v).sqrt()


# --- The peers


PAIRED = {
    "angular_cka_unbiased": AngularCKA(),
    "angular_cka_biased": AngularCKA("plug-in"),
    "angular_shape_p20": AngularShape(20),
    "euclidean_shape_p20": EuclideanShape(20),
    "air_eps0.1": AffineInvariant(0.1),
    "stress": Stress(),
}


def peers(metric):
    return [metric.embed(torch.from_numpy(PEERS[name])) for name in "ABC"]


# --- Invariances


MAPS = {
    "translation": lambda x, seed: x + normal(x.shape[1], seed=seed),
    "rotation": lambda x, seed: x @ rotation(x.shape[1], seed),
    "scale": lambda x, seed: x * 3.7,
    "affine": lambda x, seed: x @ rotation(x.shape[1], seed) * torch.linspace(0.3, 2, x.shape[1]) @ rotation(x.shape[1]),
}


def commuting(seed, m=16, r=6):
    """Two representations with Gram matrices of the same eigenvectors, and their spectra."""
    axes = torch.linalg.qr(torch.cat([torch.ones(m, 1, dtype=torch.float64), normal(m, r, seed=seed)], 1)).Q[:, 1:]
    spectra = 0.1 + torch.rand(2, r, generator=stream(seed, "spectra"), dtype=torch.float64)
    return [axes * each.sqrt() @ rotation(r, k) for k, each in enumerate(spectra)], spectra


# --- Estimators of CKA


def hsic(k, l):
    """Song et al. (2007), term by term."""
    k, l, m = k - k.diagonal().diag(), l - l.diagonal().diag(), len(k)
    both = k.sum() * l.sum() / ((m - 1) * (m - 2)) - 2 / (m - 2) * (k.sum(0) @ l.sum(0))
    return ((k * l).sum() + both) / (m * (m - 3))


def trials(m, n, variance, repeats=24, k=10):
    """cos d(x, y), cos d(x, l), angle (x, y, z) of the diagnostics of Lange et al., for each estimator and repeat."""
    found = {}
    for seed in range(repeats):
        x, one, two, label = normal(m, 3 * n + k, seed=seed).split([n, n, n, k], dim=1)
        grams = [gram(each) for each in (x, x + math.sqrt(variance) * one, x + math.sqrt(variance) * two, label)]
        for estimator in ("plug-in", "low-bias", "unbiased"):
            metric = AngularCKA(estimator)
            p, q, r, other = map(metric.from_gram, grams)
            row = [p @ q, p @ other, metric.angle(p, q, r)]
            found.setdefault(estimator, []).append(torch.stack(row))
    return {name: (torch.stack(rows).mean(0), torch.stack(rows).std(0) / math.sqrt(repeats)) for name, rows in found.items()}


def population(variance):
    """x, y, z as unit vectors with the population's cosines."""
    a, b = 1 / (1 + variance), 1 / (1 + variance) ** 2
    return torch.linalg.cholesky(torch.tensor([[1, a, a], [a, 1, b], [a, b, 1]], dtype=torch.float64))


def answers(metric, p, q, r, t):
    line, (position, off) = metric.log(p, q), metric.project(r, p, q)
    return {
        "distance": metric.distance(p, q),
        "log": line,
        "exp": metric.exp(p, 0.5 * line),
        "geodesic": metric.geodesic(p, q, t),
        "at two": metric.geodesic(p, q, 2),
        "transport": metric.transport(line, p, r),
        "inner": metric.inner(p, line, metric.log(p, r)),
        "angle": metric.angle(p, q, r),
        "position": position,
        "off": off,
    }
