"""Spaces in which representations are points: what their metrics share, the sphere, and flat space.

Points are float64 tensors; a metric's class derives from `Sphere`, from `Flat`, or from `Metric` alone, and says how a
representation becomes a point (`helpers.paths.metrics`, `helpers.paths.procrustes`).
"""

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.networks.numerics import double

CHUNK = 2**23  # numbers in a batch of pairs of points
COINCIDE = 1e-7  # relative distance below which there is no direction from one point to another
STEPS = 60  # of a search along a geodesic, at most
TINY = torch.finfo(torch.float64).tiny

Points = Float[Tensor, "..."]  # (..., d) or (..., m, p), as `embed` gives them; tangents have the shape of points
Numbers = Float[Tensor, "..."]  # one for each point of the batch


def images(x: Float[Tensor, "m *n"]) -> Float[Tensor, "m n"]:
    """One row an image; ValueError unless there are three."""
    if x.ndim < 2 or len(x) < 3:
        raise ValueError(f"x: shape {tuple(x.shape)}, expected (m, ...): at least 3 images and their features")
    return x.flatten(1)


def centred(rows: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """In float64, less the mean; the first image goes before that, so that a constant feature is exactly 0."""
    rows = double(rows)
    rows = rows - rows[:1]
    return rows - rows.mean(0)


def varied(name: str, size: Tensor) -> None:
    """ValueError unless a norm of something centred is a positive number."""
    if not size.isfinite():
        raise ValueError(f"{name}: holds NaN or infinite values, expected finite numbers")
    if size <= 0:
        raise ValueError(f"{name}: the same for every image, expected images that differ")


def root(slope: Callable[[Numbers], Numbers], low: Numbers, high: Numbers) -> Numbers:
    """Where a slope turns from negative to positive between low and high: false position (Illinois), a batch at once."""
    below, above = slope(low), slope(high)
    below, above = torch.where(below < 0, below, -1.0), torch.where(above > 0, above, 1.0)
    middle, stayed, enough = low, torch.zeros_like(low), 1e-12 * (high - low)
    for _ in range(STEPS):
        before, middle = middle, (low * above - high * below) / (above - below)
        value = slope(middle)
        left = value > 0  # the root is on the left, and the low end stays
        # An end that stays twice running counts half, or the other would creep.
        below = torch.where(left, torch.where(stayed < 0, below / 2, below), value)
        above = torch.where(left, value, torch.where(stayed > 0, above / 2, above))
        low, high = torch.where(left, low, middle), torch.where(left, middle, high)
        stayed = torch.where(left, -1.0, 1.0)
        if ((middle - before).abs() <= enough).all():
            break
    return middle


class Metric:
    """Every metric has these methods. They broadcast over leading dimensions; angles are in radians.

    distance(p, q); pairwise(points), (k, ...) to (k, k), the same at once.
    log(p, q): direction and distance from p to q, the tangent v at p for which exp(p, v) is q.
    geodesic(p, q, t): the point at t, any real, of the geodesic from p (0) to q (1).
    transport(v, p, q): the tangent v at p, carried along the geodesic to q; in parallel, but for shapes.
    inner(p, u, v): inner product of two tangents at p.
    angle(p, q, r): at q, between the geodesics to p and to r; pi is straight on, NaN where q is p or r.
    project(r, p, q): (t, distance), position of the point of the geodesic p-q next to r, unclamped, and how far r is
        from it. Where p is q, t is NaN and the distance is that from p.

    Points of different images raise ValueError. `invariances` tells which of "translation", "rotation", "scale" and
    "affine" (any invertible linear map of the features) leave an embedded point where it is.
    """

    axes: ClassVar[tuple[int, ...]] = (-1,)  # of one point

    def _times(self, t: Numbers | float | int, v: Points) -> Points:
        """Each tangent (..., *point) times its number (...)."""
        t = torch.as_tensor(t, dtype=v.dtype, device=v.device)
        return t.reshape(*t.shape, *(1 for _ in self.axes)) * v

    def _dot(self, u: Points, v: Points) -> Numbers:
        """Inner product of the coordinates of two points or tangents (..., *point): (...)."""
        return (u * v).sum(self.axes)

    def _norm(self, v: Points) -> Numbers:
        """Length of the coordinates of a tangent (..., *point): (...)."""
        return torch.linalg.vector_norm(v, dim=self.axes)

    def _unit(self, v: Points) -> tuple[Numbers, Points]:
        """Length and direction; 0 has none, and stays 0."""
        long = self._norm(v)
        return long, self._times(1 / long.clamp(min=TINY), v)

    def _size(self, p: Points) -> Numbers:
        """The length against which two points coincide."""
        return self._norm(p)

    def _same(self, p: Points, q: Points) -> None:
        """ValueError unless both can be points of the same images."""
        if p.shape[self.axes[0]] != q.shape[self.axes[0]]:
            raise ValueError(f"points: shapes {tuple(p.shape)} and {tuple(q.shape)}, expected the same images in both")

    def _fit(self, p: Points, q: Points) -> tuple[Points, Points]:
        """Both, the second moved as near to the first as the invariances allow."""
        self._same(p, q)
        return p, q

    def _frame(self, p: Points, v: Points) -> Points:
        """A tangent at p in an orthonormal frame."""
        return v

    def inner(self, p: Points, u: Points, v: Points) -> Numbers:
        """Inner product (...) of two tangents u and v at p, (..., *point)."""
        return self._dot(self._frame(p, u), self._frame(p, v))

    def geodesic(self, p: Points, q: Points, t: Numbers | float | int) -> Points:
        """The point (..., *point) at t, any real (...), of the geodesic from p (0) to q (1)."""
        return self.exp(p, self._times(t, self.log(p, q)))

    def transport(self, v: Points, p: Points, q: Points) -> Points:
        """The tangent v at p (..., *point), carried along the geodesic to q."""
        return self._carry(v, *self._fit(p, q))

    def _toward(self, p: Points, q: Points) -> Points:
        """Direction from p to q, of any length but 0, in an orthonormal frame."""
        return self._frame(p, self.log(p, q))

    def _directions(self, p: Points, q: Points, r: Points) -> tuple[Points, Points]:
        """From q to p and to r."""
        return self._toward(q, p), self._toward(q, r)

    def angle(self, p: Points, q: Points, r: Points) -> Numbers:
        """The angle (...) at q between the geodesics to p and to r; pi is straight on, NaN where q is p or r."""
        (one, u), (other, v) = map(self._unit, self._directions(p, q, r))
        angle = 2 * torch.atan2(self._norm(u - v), self._norm(u + v))  # Kahan's: keeps its digits near 0 and near pi
        return torch.where(torch.minimum(one, other) > COINCIDE * self._size(q), angle, math.nan)

    def pairwise(self, points: Points) -> Float[Tensor, "k k"]:
        """All distances of k points: from one matrix product, or from differences where the product loses digits."""
        if points.ndim != 1 + len(self.axes) or not points.numel():
            raise ValueError(f"points: shape {tuple(points.shape)}, expected k points along the first axis")
        distances, near = self._at_once(points)
        pairs = near.triu(1).nonzero()
        for i, j in (part.unbind(1) for part in pairs.split(max(1, CHUNK // points[0].numel()))):
            distances[i, j] = self.distance(points[i], points[j])
        return distances.triu(1) + distances.triu(1).mT

    def _products(self, points: Points) -> Float[Tensor, "k k"]:
        """Inner products (k, k) of all pairs of k points, once moved next to each other."""
        return points @ points.mT


class Sphere(Metric):
    """Unit vectors, and the arcs between them: curvature 1."""

    def distance(self, p: Points, q: Points) -> Numbers:
        """The angle (...) between unit vectors."""
        p, q = self._fit(p, q)
        return 2 * torch.atan2(self._norm(p - q), self._norm(p + q))  # exact near 0 and near pi, where arccos is not

    def _at_once(self, points: Points) -> tuple[Float[Tensor, "k k"], Bool[Tensor, "k k"]]:
        """All angles (k, k) from one product, and where that loses digits."""
        cosine = self._products(points)
        return cosine.clamp(-1, 1).arccos(), cosine.abs() > 0.999

    def _tangent(self, p: Points, q: Points) -> tuple[Points, Numbers]:
        """q - (p.q) p, without cancellation, and the length of the chord from p to q."""
        p, q = self._fit(p, q)
        chord = q - p
        long = self._norm(chord)
        return self._times(long.square() / 2, p).add_(chord), long

    def _toward(self, p: Points, q: Points) -> Points:
        """The part of q at right angles to p (..., *point): shorter than `log`, and as sure of its direction."""
        return self._tangent(p, q)[0]

    def log(self, p: Points, q: Points) -> Points:
        """The tangent at p (..., *point) as long as the arc to q; NaN between opposite points."""
        tangent, chord = self._tangent(p, q)
        scale = 2 * (chord / 2).clamp(max=1).asin() / self._norm(tangent).clamp(min=TINY)
        return self._times(torch.where(chord**2 < 4 - COINCIDE**2, scale, math.nan), tangent)  # antipodes: any way will do

    def exp(self, p: Points, v: Points) -> Points:
        """The point (..., *point) at the end of the arc from p along the part of v that is tangent there."""
        v = v - self._times(self._dot(p, v), p)
        long = self._norm(v)
        return self._times(long.cos(), p) + self._times(torch.sinc(long / math.pi), v)

    def _carry(self, v: Points, p: Points, q: Points) -> Points:
        """Parallel transport of v (..., *point) from p along the arc to q, which lies next to p already."""
        return v - self._times(self._dot(q, v) / (1 + self._dot(p, q)), p + q)

    def project(self, r: Points, p: Points, q: Points) -> tuple[Numbers, Numbers]:
        """Position (...) of the point next to r of the great circle through p and q, and its distance (...) from r."""
        self._same(p, r)
        long, unit = self._unit(self.log(p, q))
        along, across = self._dot(r, p), self._dot(r, unit)
        turn = torch.where(long > COINCIDE, torch.atan2(across, along), 0.0)
        known = (long > COINCIDE) & (torch.hypot(along, across) > COINCIDE)  # from a pole all are equally far
        foot = self._times(turn.cos(), p) + self._times(turn.sin(), unit)
        return torch.where(known, turn / long, math.nan), self.distance(r, foot)

    def _weights(self, s: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """How much of a point and of a unit tangent make the point at arc length s; their derivatives."""
        return s.cos(), s.sin(), -s.sin(), s.cos()


class Flat(Metric):
    """Vectors, and straight lines between them."""

    def distance(self, p: Points, q: Points) -> Numbers:
        """The length (...) of the difference."""
        p, q = self._fit(p, q)
        return self._norm(p - q)

    def _at_once(self, points: Points) -> tuple[Float[Tensor, "k k"], Bool[Tensor, "k k"]]:
        """All distances (k, k) from one product, and where that loses digits."""
        products = self._products(points)
        both = products.diagonal() + products.diagonal()[:, None]
        square = both - 2 * products
        return square.clamp(min=0).sqrt(), square < 1e-3 * both

    def log(self, p: Points, q: Points) -> Points:
        """q - p, (..., *point)."""
        p, q = self._fit(p, q)
        return q - p

    def exp(self, p: Points, v: Points) -> Points:
        """p + v, (..., *point)."""
        return p + v

    def _carry(self, v: Points, p: Points, q: Points) -> Points:
        """The same vector v (..., *point), at q as at p."""
        return v.expand(torch.broadcast_shapes(v.shape, p.shape, q.shape))

    def project(self, r: Points, p: Points, q: Points) -> tuple[Numbers, Numbers]:
        """Position (...) of the point next to r of the line through p and q, and its distance (...) from r."""
        line = self.log(p, q)
        known = self._norm(line) > COINCIDE * self._size(p)
        t = torch.where(known, self._dot(self.log(p, r), line) / self._dot(line, line), 0.0)
        return torch.where(known, t, math.nan), self.distance(r, p + self._times(t, line))

    def _weights(self, s: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """As on the sphere: how much of a point and of a unit tangent make the point at s, and their derivatives."""
        return torch.ones_like(s), s, torch.zeros_like(s), torch.ones_like(s)
