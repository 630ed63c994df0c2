"""Curvature as the invariant pull-back of a layer.

The neighbours' coordinates in a chart of the input are known, so one linear fit, the same for all points and layers,
gives the pull-back of the layer, and from it measures that do not depend on units, axes or the number of normals.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.curvature.quadratic import CHUNK, finite, quadratic_design, shaped, symmetric
from helpers.networks.numerics import double

ROWS = 64  # of a point at a time: larger batches leave the processor's cache


class Form(NamedTuple):
    """What a layer does to a small ball of inputs, to second order; every field (n,)."""

    bend: Tensor  # departure from flatness over displacement, both rms over the ball; no unit, no inverse metric
    kappa_rms: Tensor  # rms normal curvature over unit tangents, 1/units; NaN where cond > 100
    norm: Tensor  # Frobenius norm of the second fundamental form, 1/units; NaN where cond > 100
    scale: Tensor  # rms displacement over the ball, units of the activations
    cond: Tensor  # condition number of the metric g = JJ'
    r2: Tensor  # share of the squared displacements that the quadratic fit explains


def _product(a: Float[Tensor, "P K"], z: Float[Tensor, "n K D"]) -> tuple[Float[Tensor, "n P D"], Float[Tensor, "n"]]:
    """a @ z in float64, and the sum of squares of each z; on a CPU by blocks of rows, while they are in the cache.

    Layers have a power of two of features more often than not. The rows of such a z collide in the cache, and its
    product takes two to three times as long as one with a few columns more: hence the wider buffer.
    """
    if z.device.type != "cpu":
        z = double(z)
        return a @ z, torch.linalg.vector_norm(z.flatten(1), dim=1) ** 2
    n, count, features = z.shape
    out, square = a.new_empty(n, len(a), features), a.new_zeros(n)
    buffer = a.new_empty(min(n, CHUNK), ROWS, features + 8)
    for few, found, squares in zip(z.split(CHUNK), out.split(CHUNK), square.split(CHUNK)):
        for start in range(0, count, ROWS):
            block = few[:, start : start + ROWS]
            block = buffer[: len(few), : block.shape[1], :features].copy_(block)
            found.baddbmm_(a[:, start : start + ROWS].expand(len(few), -1, -1), block, beta=min(start, 1))
            squares += torch.linalg.vector_norm(block, dim=2).square().sum(1)
    return out, square


def _normal_part(
    j: Float[Tensor, "n q D"], h: Float[Tensor, "n P2 D"], g: Float[Tensor, "n q q"]
) -> Float[Tensor, "n P2 D"]:
    """h without its components along the rows of j, in place.

    The tangent basis is orthonormalised from the principal directions of g, largest first. Directions that the
    layer has wiped out (below 1e-7 of the largest: rounding) span nothing, and nothing is projected on them.
    """
    values, turn = torch.linalg.eigh(g)
    rows = turn.flip(-1).mT @ j
    alive = values.flip(-1) > 1e-14 * values[:, -1:]
    basis = torch.linalg.qr(rows.mT).Q  # (n, D, min(D, q))
    basis = basis * alive[:, None, : basis.shape[-1]]
    return h.baddbmm_(h @ basis, basis.mT, alpha=-1)


def second_fundamental_form(
    displacements: Float[Tensor, "n K D"], coordinates: Float[Tensor, "K q"], radius: float | None = None
) -> Form:
    """Curvature of a layer on a chart of its input, free of units, axes, and the number of normals.

    Fits f(x + t) - f(x) = J't + H(t, t) / 2 once for all points (the coordinates are shared), and takes the part
    N of H normal to the range of J. The headline is bend = rms |N(t, t) / 2| / rms |J't| over the ball; on a
    sphere of radius r it is (eps / 2r) sqrt((q + 2) / (q + 4)). `kappa_rms` is the root mean square normal
    curvature over unit tangents, sqrt((2 |II|^2 + |tr II|^2) / (q (q + 2))), 1/r on a sphere in any dimension.

    Args:
        displacements: (n, K, D), the neighbours' activations minus their centre's.
        coordinates: (K, q), the neighbours in the chart, the same for every centre, spread over a ball around
            0; K at least q + q(q+1)/2.
        radius: eps, the ball's radius; by default the one whose uniform ball has the coordinates' mean square.

    Raises:
        ValueError: shapes that do not fit, NaN, a radius that is not positive, too few neighbours, or
            coordinates on which a quadratic form is not determined (corners of a box, say).
    """
    shaped("displacements", displacements, "(n, K, D)")
    shaped("coordinates", coordinates, "(K, q)")
    finite("coordinates", coordinates.sum())
    (count, q), terms = coordinates.shape, coordinates.shape[1] * (coordinates.shape[1] + 3) // 2
    if displacements.shape[1] != count or count < terms:
        raise ValueError(f"displacements: {displacements.shape[1]} neighbours for {count} coordinates, "
                         f"expected the same number, at least {terms} for q = {q}")  # fmt: skip
    t = double(coordinates).to(double(displacements[:0]).device)
    radius = math.sqrt(float(t.square().sum(1).mean()) * (q + 2) / q) if radius is None else radius
    if not radius > 0:
        raise ValueError(f"radius: {radius}, expected a positive length")
    design = quadratic_design(t / radius)
    if torch.linalg.matrix_rank(design) < terms:
        raise ValueError(f"coordinates: they determine {int(torch.linalg.matrix_rank(design))} of the {terms} terms "
                         "of a quadratic form, expected all of them (points in a ball, not on corners)")  # fmt: skip

    # From here on lengths in the chart are in units of the radius.
    fit, square = _product(torch.linalg.pinv(design), displacements)  # (n, P, D): the only product in which K and D meet
    finite("displacements", square)
    explained = (design.T @ design * (fit @ fit.mT)).sum((1, 2)) / square
    j, h = fit[:, :q], fit[:, q:]
    g = j @ j.mT
    values = torch.linalg.eigvalsh(g)
    cond = values[:, -1] / values[:, 0].clamp(min=0)
    normal = _normal_part(j, h, g)
    gram = normal @ normal.mT
    bend, scale = _over_the_ball(gram, g, q)
    norm, kappa = _over_unit_tangents(gram, g, q, cond <= 100)
    return Form(bend, kappa, norm, scale, cond, explained)


def _pairs(gram: Float[Tensor, "n P2 P2"], q: int) -> Float[Tensor, "n q2 q2"]:
    """Inner products N_ij . N_kl for all i, j, k, l, from those of the upper triangle."""
    index = symmetric(torch.arange(gram.shape[1], device=gram.device, dtype=torch.float32), q).long().flatten()
    return gram[:, index][:, :, index]


def _over_the_ball(gram: Float[Tensor, "n P2 P2"], g: Float[Tensor, "n q q"], q: int) -> tuple[Tensor, Tensor]:
    """Bend and scale: moments of the uniform unit ball, E t_i t_j = delta / (q + 2) and the fourth by Wick's rule."""
    eye = torch.eye(q, dtype=g.dtype, device=g.device).flatten()
    pairs = _pairs(gram, q)
    fourth = 2 * pairs.diagonal(dim1=1, dim2=2).sum(1) + eye @ (pairs @ eye).mT
    scale = (g.diagonal(dim1=1, dim2=2).sum(1) / (q + 2)).sqrt()
    return (fourth.clamp(min=0) / (4 * (q + 2) * (q + 4))).sqrt() / scale, scale


def _over_unit_tangents(
    gram: Float[Tensor, "n P2 P2"], g: Float[Tensor, "n q q"], q: int, sound: Tensor
) -> tuple[Tensor, Tensor]:
    """Norm of II and rms normal curvature, in an orthonormal tangent frame; NaN where the metric is not `sound`."""
    eye = torch.eye(q, dtype=g.dtype, device=g.device)
    inverse = torch.linalg.inv(torch.where(sound[:, None, None], g, eye))
    pairs = _pairs(gram, q)
    both = torch.einsum("nik,njl->nijkl", inverse, inverse).reshape(len(g), q * q, q * q)
    square = (both * pairs).sum((1, 2))
    trace = (inverse.reshape(len(g), 1, q * q) @ pairs @ inverse.reshape(len(g), q * q, 1)).flatten()
    kappa = ((2 * square + trace) / (q * (q + 2))).clamp(min=0).sqrt()
    nan = torch.full_like(kappa, math.nan)
    return torch.where(sound, square.clamp(min=0).sqrt(), nan), torch.where(sound, kappa, nan)
