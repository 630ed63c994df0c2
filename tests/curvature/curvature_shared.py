"""What the tests of curvature share."""

import inspect
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from helpers import curvature
from helpers.curvature import ball, caml, quadratic, second_fundamental_form
from helpers.curvature.published import at_origin
from helpers.networks.numerics import stream

PEERS = np.load(Path(__file__).parents[1] / "fixtures" / "caml.npz")
CLOUDS = sorted(key.removesuffix("/mapc") for key in PEERS if key.endswith("/mapc"))
SEEDS = st.integers(0, 2**31 - 1)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "normal", *shape), dtype=torch.float64)


def rotation(d, seed=0):
    return torch.from_numpy(ortho_group.rvs(d, random_state=seed))


def turned(z, features, seed=0):
    """The same points (..., d) along other axes of a larger space (..., features)."""
    return z @ torch.linalg.qr(normal(features, z.shape[-1], seed=seed)).Q.mT


def mapc(z, dim, **solver):
    return float(at_origin(z, dim, **solver).abs().double().mean())


def graph(surface, q, radius, count, n=1, pairs=True):
    """(n, K, q + m): the points (t, surface(t)) for t in n balls of a tangent space."""
    drawn = count if pairs else 2 * count
    t = radius * torch.stack([ball(q, drawn, stream(0, "graph", i))[:count] for i in range(n)])
    return torch.cat([t, surface(t)], dim=-1)


def cap(r=1.0):
    """A sphere of radius r, seen from one of its points."""
    return lambda t: (r**2 - t.square().sum(-1, keepdim=True)).sqrt() - r


def quadric(*curvatures):
    return lambda t: t.square() @ torch.tensor(curvatures, dtype=t.dtype)[:, None] / 2


# --- The faithful arm


def by_svd(z, d):
    """Principal curvatures (normals, d) of one point, K neighbours z (K, D) around the origin, term by term."""
    left, values, _ = np.linalg.svd(z, full_matrices=False)
    c = left * values
    terms = [(i, j) for i in range(d) for j in range(i, d)]
    design = [c[:, i] for i in range(d)] + [c[:, i] * c[:, j] / (1 + (i == j)) for i, j in terms]
    design = np.stack(design, axis=1)
    fit = np.linalg.pinv(design, rcond=max(design.shape) * np.finfo(float).eps) @ c[:, d:]
    found = []
    for normal in fit[d:].T:
        hessian = np.zeros((d, d))
        for (i, j), value in zip(terms, normal):
            hessian[i, j] = hessian[j, i] = value
        found.append(np.linalg.eigvalsh(hessian))
    return np.array(found)


def same_curvatures(found, expected, tolerance):
    """The mean, and all of the absolute values sorted; the sign of a normal is arbitrary."""
    a, b = (np.sort(np.abs(np.asarray(v)).ravel()) for v in (found, expected))
    assert a.shape == b.shape
    assert a.mean() == pytest.approx(b.mean(), rel=tolerance)
    assert np.abs(a - b).max() <= tolerance * b.max()


# --- The corrected arm


def form(z, t, radius=None):
    """The fields of the form of one point (K, D), as numbers."""
    found = second_fundamental_form(z[None], t, radius)
    return {name: float(value) for name, value in found._asdict().items()}


def chart(q, radius, count=None, seed=0):
    return radius * ball(q, count or 4 * q * (q + 3), stream(seed, "chart", q))


def on_sphere(t, r):
    """Graph over the tangent space."""
    return torch.cat([t, cap(r)(t)], dim=-1)


def gnomonic(t, r):
    """Projected from the centre onto the sphere: another parametrisation of the same surface."""
    lifted = torch.cat([t, torch.full_like(t[..., :1], r)], dim=-1)
    x = r * lifted / lifted.norm(dim=-1, keepdim=True)
    return x - torch.eye(t.shape[-1] + 1, dtype=t.dtype)[-1] * r


def exact(f, q):
    """Jacobian (D, q) and second derivatives (D, q, q) of f at 0."""
    origin = torch.zeros(q, dtype=torch.float64)
    jacobian = torch.func.jacrev(f)
    return jacobian(origin), torch.func.jacrev(jacobian)(origin)


def exact_form(j, h, eps):
    """bend, kappa_rms and norm, from an orthonormal tangent frame and from points in the ball."""
    q, (frame, r) = j.shape[1], torch.linalg.qr(j)
    n = h - torch.einsum("dk,ek,eij->dij", frame, frame, h)
    back = torch.linalg.inv(r)
    ii = torch.einsum("dij,ia,jb->dab", n, back, back)
    square, trace = ii.square().sum(), ii.diagonal(dim1=1, dim2=2).sum(1).square().sum()
    t = eps * ball(q, 100_000, stream(9, "exact"))
    departure = torch.einsum("ki,kj,dij->kd", t, t, n).square().sum(1).mean() / 4
    return {
        "bend": float((departure / (t @ j.T).square().sum(1).mean()).sqrt()),
        "kappa_rms": float(((2 * square + trace) / (q * (q + 2))).sqrt()),
        "norm": float(square.sqrt()),
        "cond": float(torch.linalg.cond(j) ** 2),
    }


def random_map(q, features, seed=0):
    j, h = normal(q, features, seed=seed), normal(q, q, features, seed=seed)
    return lambda t: t @ j + torch.einsum("ki,kj,ijd->kd", t, t, h) / 2


# --- Bad input, without the tests' own check of shapes


def refused(function, *arguments, message, **options):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(function)(*arguments, **options)


NAN = torch.full((3, 9, 4), math.nan)


T = chart(2, 1.0)


def pictures(n=4, channels=3, size=8, rank=None):
    x = normal(n, channels, size, size).float()
    if rank:
        u, s, vh = torch.linalg.svd(x)
        x = torch.einsum("ncij,ncj,ncjw->nciw", u[..., :rank], s[..., :rank], vh[:, :, :rank])
    return x


def orthonormal(directions):
    eye = torch.eye(directions.shape[-2])
    return torch.allclose(directions @ directions.mT, eye.expand(*directions.shape[:-1], len(eye)), atol=1e-5)
