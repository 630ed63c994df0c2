"""Metrics between representations up to rotation: the angular shape metric, and Procrustes size-and-shape distance."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from helpers.paths.geometry import CHUNK, COINCIDE, Flat, Metric, Numbers, Points, Sphere, centred, images, root, varied

GRID = 33  # places along a geodesic where the search for the nearest point begins


def _padded(*points: Points) -> tuple[Points, ...]:
    """With columns of zeros up to the widest, which change no distance."""
    width = max(p.shape[-1] for p in points)
    return tuple(F.pad(p, (0, width - p.shape[-1])) if p.shape[-1] < width else p for p in points)


def _polar(cross: Float[Tensor, "*b p p"]) -> Float[Tensor, "*b p p"]:
    """The rotation (or reflection) R with the largest trace of R'cross."""
    u, _, vh = torch.linalg.svd(cross)
    return u @ vh


@dataclass(frozen=True)
class _Shape(Metric):
    """Representations up to rotation; geodesics, directions and angles are those of points turned onto each other.

    Of two points of different p the narrower is padded with zeros.
    """

    components: int | None = None
    alpha: float | int = 1
    axes: ClassVar[tuple[int, ...]] = (-2, -1)

    def __post_init__(self) -> None:
        if self.components is not None and self.components < 1:
            raise ValueError(f"components: {self.components}, expected at least 1, or None for all")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha: {self.alpha}, expected 0 (whitened) to 1 (as it is)")

    @property
    def invariances(self) -> frozenset[str]:
        """Changes of the features that leave a point where it is."""
        whole = self.alpha == 0 or self.alpha == 1 and isinstance(self, Sphere)
        affine = self.alpha == 0 and self.components is None
        return frozenset({"translation", "rotation"} | ({"scale"} if whole else set()) | ({"affine"} if affine else set()))

    def embed(self, x: Float[Tensor, "m *n"]) -> Float[Tensor, "m p"]:
        """The point of a representation (m, ...). ValueError: fewer than 3 images, NaN, images that are all equal.

        Features beyond m are reduced to m by a QR factorisation first; a Gram matrix would square the condition number.
        """
        x = centred(images(x))
        varied("x", torch.linalg.vector_norm(x))
        x = torch.linalg.qr(x.mT, mode="r").R.mT if x.shape[1] > len(x) else x
        u, s, _ = torch.linalg.svd(x, full_matrices=False)
        deviation = s.clamp(min=math.sqrt(1e-9) * s[0]) / math.sqrt(len(x))
        s = torch.where(s > 1e-13 * s[0], s, 0.0) * (self.alpha + (1 - self.alpha) / deviation)
        scores = (u * s)[:, : self.components]
        scores = F.pad(scores, (0, (self.components or scores.shape[1]) - scores.shape[1]))
        return scores / torch.linalg.vector_norm(scores) if isinstance(self, Sphere) else scores

    def _turn(self, p: Points, q: Points) -> tuple[Points, Points, Points]:
        """Both, of one width, and the rotation that brings the second next to the first."""
        self._same(p, q)
        p, q = _padded(p, q)
        return p, q, _polar(q.mT @ p)

    def _fit(self, p: Points, q: Points) -> tuple[Points, Points]:
        """Both (..., m, p), of one width, the second turned onto the first."""
        p, q, turn = self._turn(p, q)
        return p, q @ turn

    def _products(self, points: Points) -> Float[Tensor, "k k"]:
        """Inner products once aligned: nuclear norms."""
        products = self._norm(points).square().diag()
        pairs = torch.triu_indices(*products.shape, 1, device=points.device)
        for i, j in pairs.split(max(1, CHUNK // points[0].numel()), dim=1):
            products[i, j] = torch.linalg.svdvals(points[i].mT @ points[j]).sum(-1)
        return products

    def _directions(self, p: Points, q: Points, r: Points) -> tuple[Points, Points]:
        """Aligned to q they are horizontal. Along axes that q lacks, where q leaves them free, r is turned towards p."""
        q, u, v = _padded(q, self._toward(q, p), self._toward(q, r))
        lacks = torch.linalg.vector_norm(q, dim=-2) == 0
        if lacks.any():
            both = lacks[..., None] & lacks[..., None, :]
            v = v @ _polar(torch.where(both, v.mT @ u, torch.eye(q.shape[-1], dtype=q.dtype, device=q.device)))
        return u, v

    def exp(self, p: Points, v: Points) -> Points:
        """The point (..., m, p) at the end of the geodesic from p along v, of one width."""
        return super().exp(*_padded(p, v))

    def transport(self, v: Points, p: Points, q: Points) -> Points:
        """As the code of Lange et al. does it: align, carry as between points that cannot turn, and turn back.

        The way back undoes it and it keeps the Frobenius norm; but what arrives is not horizontal unless v points along
        the geodesic. It is not the parallel transport of the space of shapes, and no isometry of its tangents.
        """
        v, p, q = _padded(v, p, q)
        p, q, turn = self._turn(p, q)
        return self._carry(v, p, q @ turn) @ turn.mT

    def horizontal(self, p: Points, v: Points) -> Points:
        """The tangent v at p less the part that only turns p: v - pA, A' = -A, p'pA + Ap'p = p'v - v'p.

        Solved in the basis in which p'p is diagonal; directions that p lacks cannot turn it.
        """
        p, v = _padded(p, v)
        values, basis = torch.linalg.eigh(p.mT @ p)
        twist = basis.mT @ (p.mT @ v - v.mT @ p) @ basis
        sums = values[..., None] + values[..., None, :]
        twist = torch.where(sums > 1e-14 * values[..., -1:, None], twist / sums, 0.0)
        return v - p @ (basis @ twist @ basis.mT)

    def inner(self, p: Points, u: Points, v: Points) -> Numbers:
        """Inner product of the horizontal parts of two tangents at p."""
        return self._dot(*_padded(self.horizontal(p, u), v))

    def project(self, r: Points, p: Points, q: Points) -> tuple[Numbers, Numbers]:
        """As for every metric, by search: of minima closer to each other than a thirtieth of the way it may take either.

        Half the squared distance from r to the point ap + bu at arc length s is |ap + bu|^2 / 2 - |(ap + bu)'r|_* up to a
        constant; from the best of a grid to the zero of its slope, and nowhere to a point that is farther than the former.
        """
        self._same(p, r)
        r, p, line = _padded(r, p, self.log(p, q))
        long, unit = self._unit(line)
        pp, pu, uu = self._dot(p, p), self._dot(p, unit), self._dot(unit, unit)
        start, ahead = p.mT @ r, unit.mT @ r

        def cost(s: Numbers) -> Numbers:
            a, b, _, _ = self._weights(s)
            norm = torch.linalg.svdvals(self._times(a, start) + self._times(b, ahead)).sum(-1)
            return (a * a * pp + b * b * uu) / 2 + a * b * pu - norm

        def slope(s: Numbers) -> Numbers:
            a, b, da, db = self._weights(s)
            turn = _polar(self._times(a, start) + self._times(b, ahead))
            rise = self._dot(turn, self._times(da, start) + self._times(db, ahead))
            rise = a * da * pp + b * db * uu + (a * db + b * da) * pu - rise
            above = cost(s) - least
            return torch.where(above > 1e-12 * pp, above / (s - best), rise)  # beyond a ridge: back to where it was less

        # Half a turn of the sphere comes back to the same shape; a line is seen from 0, so that what is far out is far.
        turns = torch.linspace(-math.pi / 2, math.pi / 2, GRID, dtype=r.dtype, device=r.device)
        places = turns if isinstance(self, Sphere) else (0.98 * turns).tan()
        places = torch.stack([place * self._norm(p) + torch.zeros_like(ahead[..., 0, 0]) for place in places])
        least, index = torch.stack([cost(s) for s in places[1:-1]]).min(0)
        before, best, after = (places.gather(0, index[None] + i)[0] for i in range(3))
        s = root(slope, before, after)
        known = long > COINCIDE * self._size(p)
        a, b, _, _ = self._weights(torch.where(known, s, 0.0))
        return torch.where(known, s / long, math.nan), self.distance(r, self._times(a, p) + self._times(b, unit))


class AngularShape(_Shape, Sphere):
    """Angle between representations, one turned onto the other: arccos |X'Y|_* (Williams et al. 2021).

    A point is (m, p), scores on the principal axes, of unit Frobenius norm; any rotation of it is the same point.

    Args:
        components: how many leading axes to keep, or to pad with zeros to; None for all there are.
        alpha: 1 leaves the scores as they are, 0 whitens them (as CCA does); between the two they are multiplied by
            alpha + (1 - alpha) / standard deviation, with a deviation of at least 3e-5 of the largest.
    """


class EuclideanShape(_Shape, Flat):
    """Procrustes size-and-shape distance: the least |X - YR| over rotations R (Williams et al. 2021).

    Points and arguments as for `AngularShape`, but in the units of the activations.
    """
