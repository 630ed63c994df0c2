"""Curvature as published: curvature-aware manifold learning (Kaufman & Azencot 2023, after Li 2018).

Tangent space and curvatures both come from the neighbours' activations.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.curvature.quadratic import CHUNK, finite, quadratic_design, shaped, symmetric
from helpers.networks.numerics import double


def _principal_coordinates(z: Float[Tensor, "n K D"]) -> Float[Tensor, "n K r"]:
    """Coordinates of the rows of z in their own singular directions, largest first: S V' of z' = U S V'."""
    if z.shape[2] < z.shape[1]:
        return z @ _left_singular(z.mT)[0]
    vectors, values = _left_singular(z)
    return vectors * values[:, None].clamp(min=0).sqrt()


def _left_singular(z: Float[Tensor, "n r m"]) -> tuple[Float[Tensor, "n r r"], Float[Tensor, "n r"]]:
    """Left singular vectors of z, r at most m, and the squares of its singular values, largest first.

    From the smaller Gram matrix, which costs one matrix product where an SVD costs many. A Gram matrix squares
    the condition number, so directions below 1e-4 of the largest are decomposed once more, alone: what remains
    after the large directions are projected out has a Gram matrix of its own scale, exact again.
    """
    values, vectors = torch.linalg.eigh(z @ z.mT)  # ascending
    settled, known = [], []
    while True:
        small = int((values < 1e-8 * values[:, -1:]).sum(1).max())
        if small in (0, values.shape[1]):
            break
        settled.append(vectors[..., small:])
        known.append(values[:, small:])
        basis = vectors[..., :small]
        rest = basis.mT @ z
        values, turn = torch.linalg.eigh(rest @ rest.mT)
        vectors = basis @ turn
        if values[:, -1].max() < 1e-24 * known[0].sum(1).min():
            break  # only rounding is left
    parts = [*settled, vectors], [*known, values]
    return tuple(torch.cat([part.flip(-1) for part in each], dim=-1) for each in parts)


def _published_coordinates(z: Float[Tensor, "n K D"]) -> Float[Tensor, "n K r"]:
    u, s, _ = torch.linalg.svd(z, full_matrices=False)
    return u * s[:, None]


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
        dtype: `torch.float32` runs the published solver (SVD and pseudo-inverse in single precision);
            the default, float64, computes the same through Gram matrices and several times faster.
        cutoff: relative singular value below which the fit drops a direction of the design; by default
            max(K, P) times the precision of `dtype`, torch's own. In float32 that default deletes the whole
            quadratic part once neighbours lie closer than about 1e-4.

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
    coordinates = _published_coordinates if single else _principal_coordinates
    curvatures = []
    for centre, around in zip(points.split(CHUNK), neighbours.split(CHUNK)):
        z = (around.float() - centre.float()[:, None]) if single else (double(around) - double(centre)[:, None])
        c = coordinates(z)
        fit = torch.linalg.pinv(quadratic_design(c[..., :dim]), rtol=cutoff) @ c[..., dim:]  # (n, P, normals)
        curvatures.append(torch.linalg.eigvalsh(symmetric(fit[:, dim:].mT, dim)))
    return torch.cat(curvatures)


def at_origin(neighbours: Float[Tensor, "n K D"], dim: int, **solver) -> Float[Tensor, "n normals dim"]:
    """`caml` of neighbours around the origin, such as displacements; `solver` has its other options."""
    return caml(torch.zeros_like(neighbours[:, 0]), neighbours, dim, **solver)
