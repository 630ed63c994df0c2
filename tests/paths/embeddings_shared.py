"""What the tests of embeddings share."""

import inspect
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from helpers.networks.numerics import stream
from helpers.paths.embeddings import frechet_mean, mds, span, sphere, sphere_distances, stress, tangent_pca
from helpers.paths.metrics import AffineInvariant, AngularCKA, AngularShape, EuclideanShape, Stress

CKA, FLAT = AngularCKA(), Stress()
SEEDS = st.integers(0, 2**31 - 1)


def gauss(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "gauss", *shape), dtype=torch.float64)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def distances(x):
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def rotation(d, seed=0):
    return torch.from_numpy(np.atleast_2d(ortho_group.rvs(d, random_state=seed)))


def cap(k, d, seed=0):
    """Points (k, d) of the unit sphere, most of them within a radian of a pole in no special position."""
    x = 0.5 * gauss(k, d, seed=seed)
    x[:, 0] += 1
    return unit(x) @ rotation(d)


# At the mean


def embedded(metric, k=9, m=10, seed=0):
    """Representations that share a part."""
    base = gauss(m, 6, seed=seed)
    return torch.stack([metric.embed(base + 0.5 * gauss(m, 6, seed=seed + k)) for k in range(1, k + 1)])


METRICS = [CKA, AngularCKA("plug-in"), AngularShape(components=4), EuclideanShape(components=4), FLAT, AffineInvariant(0.1)]
