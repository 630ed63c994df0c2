"""Curvature as published: curvature-aware manifold learning (Kaufman & Azencot 2023, after Li 2018).

Tangent space and curvatures both come from the neighbours' activations.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.curvature.quadratic import CHUNK, finite, quadratic_design, shaped, symmetric
from helpers.curvature.singular import fit_at_once, fit_by_point
from helpers.networks.numerics import double

MANY = 200  # directions from which on it is worth while to take points one by one


def caml(
    points: Float[Tensor, "n D"],
    neighbours: Float[Tensor, "n K D"],
    dim: int,
    *,
    dtype: torch.dtype | None = None,
    cutoff: float | None = None,
) -> Float[Tensor, "n normals dim"]:
    """Principal curvatures by curvature-aware manifold learning, as the published code computes them.

    Centre the neighbours on the point, take the first `dim` singular directions as tangent, fit each of the
    other min(D, K) - dim coordinates by b.u + u'Hu / 2 without a constant, and return the eigenvalues of each H
    (Kaufman & Azencot 2023; Li 2018, Pattern Recognition 83:273). The slope b is fitted and then ignored, as
    published. Units: one over the units of the activations.

    Args:
        points: (n, D), centres.
        neighbours: (n, K, D), each centre's neighbours.
        dim: intrinsic dimension d of the manifold, at least 1 and below min(D, K).
        dtype: `torch.float32` runs the published solver, with coordinates, pseudo-inverse and eigenvalues in single
            precision; the default, float64, computes the same to 1e-8 of the largest curvature. On a CPU, from 200
            directions on, both go through Gram matrices (`singular.Directions`). In float32 that moves curvatures by up to
            1e-3 of the largest, next to the cut-off 1e-2, as the rounding of an SVD does. What is flat is flat to
            rounding, though not to the same rounding, and the cut-off lets go at the same distances.
        cutoff: relative singular value below which the fit drops a direction of the design; by default
            max(K, P) times the precision of `dtype`, torch's own. In float32 that default deletes the whole
            quadratic part once neighbours lie closer than about 1e-4. Another cut-off in float32 takes the SVD on a
            CPU, too: below that precision answers hang on how it rounds.

    Returns:
        (n, min(D, K) - d, d), ascending along the last axis. Their mean absolute value is the MAPC.

    Raises:
        ValueError: shapes that do not fit, NaN, or a dimension out of range.
    """
    shaped("points", points, "(n, D)")
    shaped("neighbours", neighbours, "(n, K, D)")
    if neighbours.shape[0] != points.shape[0] or neighbours.shape[2] != points.shape[1]:
        raise ValueError(f"neighbours: shape {tuple(neighbours.shape)}, expected ({points.shape[0]}, K, {points.shape[1]})")
    normals = min(neighbours.shape[1:]) - dim
    if dim < 1 or normals < 1:
        raise ValueError(f"dim: {dim}, expected at least 1 and below min(D, K) = {normals + dim}")
    finite("points", points.sum())
    finite("neighbours", neighbours.sum())
    if dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"dtype: {dtype}, expected torch.float32 or torch.float64")
    single = dtype == torch.float32
    inverse = lambda tangent: torch.linalg.pinv(quadratic_design(tangent), rtol=cutoff)[..., dim:, :]  # quadratic terms
    on_cpu = (points if single else double(points[:0])).device.type == "cpu"
    by_point = on_cpu and normals + dim >= MANY and (cutoff is None or not single)
    fit, size = (fit_by_point, 1) if by_point else (fit_at_once, CHUNK)
    curvatures = []
    for centre, around in zip(points.split(size), neighbours.split(size)):
        z = (around.float() - centre.float()[:, None]) if single else (double(around) - double(centre)[:, None])
        curvatures.append(torch.linalg.eigvalsh(symmetric(fit(z, dim, inverse, exact=not single).mT, dim)))
    return torch.cat(curvatures)


def at_origin(neighbours: Float[Tensor, "n K D"], dim: int, **solver) -> Float[Tensor, "n normals dim"]:
    """`caml` of neighbours around the origin, such as displacements; `solver` has its other options."""
    return caml(torch.zeros_like(neighbours[:, 0]), neighbours, dim, **solver)
