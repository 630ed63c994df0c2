"""Metrics between representations: Angular CKA, angular shape and Procrustes, affine-invariant, and stress.

A representation is x (m, ...): m images in one order, the rest flattened to n features. `embed` makes it a point, a
float64 tensor; all other methods take points (`helpers.geometry.Metric` says what they are). Distances are lengths of
shortest paths, so that layers are points of a space and a network is a path through it (Lange et al. 2022,
arXiv:2206.10999). What is not defined, such as the direction from a point to itself, is NaN.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.networks.numerics import double
from helpers.paths.geometry import COINCIDE, TINY, Flat, Metric, Numbers, Points, Sphere, centred, images, root, varied
from helpers.paths.procrustes import AngularShape, EuclideanShape

__all__ = ["AffineInvariant", "AngularCKA", "AngularShape", "EuclideanShape", "Stress", "by_name", "gram"]

BLOCK = 4096  # features at a time
ESTIMATORS = {"plug-in": 3, "low-bias": 3, "unbiased": 4}  # and the fewest images of each
KERNELS = ("linear", "gaussian")

Matrix = Float[Tensor, "m m"]


def _one_of(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: {value!r}, expected one of {', '.join(choices)}")


def gram(x: Float[Tensor, "m *n"], kernel: str = "linear") -> Matrix:
    """Centred Gram matrix H k(x, x) H in float64, (m, m): all that Angular CKA, stress and the affine metric ask of x.

    Summed over blocks of features, so that a float64 copy of x never exists whole: made for `layers.record`.

    Args:
        x: (m, ...), m at least 3 images.
        kernel: "linear", x.y, or "gaussian", exp(-|x - y|^2 / l^2), l the median distance between two images.

    Raises:
        ValueError: too few images, NaN, an unknown kernel, images all equal (for "gaussian": half of the pairs).
    """
    _one_of("kernel", kernel, KERNELS)
    total = sum(part @ part.mT for part in map(centred, images(x).split(BLOCK, dim=1)))
    varied("x", total.trace())
    if kernel == "gaussian":
        square = _squares(total)
        total = (-square / _median(square.sqrt()) ** 2).exp()
        total = total - total.mean(0) - total.mean(1, keepdim=True) + total.mean()
    return (total + total.mT) / 2


def _squares(g: Matrix) -> Matrix:
    """Squared distances between images."""
    return (g.diagonal() + g.diagonal()[:, None] - 2 * g).clamp(min=0)


def _upper(square: Matrix) -> Float[Tensor, "d"]:
    rows, columns = torch.triu_indices(*square.shape, 1, device=square.device)
    return square[rows, columns]


def _median(distances: Matrix) -> Float[Tensor, ""]:
    median = _upper(distances).median()
    if not median > 0:
        raise ValueError("x: half of the pairs of images or more are equal, expected a median distance above 0")
    return median


class _OfGram(Metric):
    kernel = "linear"

    def embed(self, x: Float[Tensor, "m *n"]) -> Points:
        """The point of a representation (m, ...). ValueError as `gram`."""
        return self.from_gram(gram(x, self.kernel))

    def from_gram(self, g: Matrix) -> Points:
        """The same from `gram(x, kernel)`, so that several metrics and estimators share one."""
        if len(g) < 3:
            raise ValueError(f"g: {len(g)} images, expected at least 3")
        varied("g", torch.linalg.vector_norm(g))
        return self._point(double(g))


@dataclass(frozen=True)
class AngularCKA(_OfGram, Sphere):
    """Angle between centred Gram matrices, arccos CKA (Kornblith et al. 2019; Williams et al. 2021; Lange et al. 2022).

    A point is a unit vector (d,): the upper triangle of the Gram matrix, off the diagonal times sqrt 2.

    Args:
        estimator: "plug-in" has the diagonal, and a bias of order n/m; "low-bias" leaves it out, n/m^2 (Lange et al.);
            "unbiased" is U-centred (Székely & Rizzo 2014), so that the cosine is the unbiased CKA (Song et al. 2007).
            Distances of the last two can exceed pi/2.
        kernel: as for `gram`.
    """

    estimator: str = "low-bias"
    kernel: str = "linear"

    def __post_init__(self) -> None:
        _one_of("estimator", self.estimator, ESTIMATORS)
        _one_of("kernel", self.kernel, KERNELS)

    @property
    def invariances(self) -> frozenset[str]:
        """Changes of the features that leave a point where it is."""
        return frozenset({"translation", "rotation", "scale"})

    def _point(self, g: Matrix) -> Float[Tensor, "d"]:
        """Gram matrix to unit vector (d,). ValueError for too few images, or all equally far apart."""
        m, size = len(g), torch.linalg.vector_norm(g)
        if m < ESTIMATORS[self.estimator]:
            raise ValueError(f"g: {m} images, expected at least {ESTIMATORS[self.estimator]} for {self.estimator!r}")
        if self.estimator == "unbiased":  # what lies on the diagonal is not asked for below
            rows = (g.sum(0) - g.diagonal()) / (m - 2)
            g = g - rows - rows[:, None] + rows.sum() / (m - 1)
        point = math.sqrt(2) * _upper(g)
        if self.estimator == "plug-in":
            point = torch.cat([point, g.diagonal()])
        long = torch.linalg.vector_norm(point)
        if long < 1e-12 * size:
            raise ValueError(f"g: images all equally far apart, expected distances that differ for {self.estimator!r}")
        return point / long


@dataclass(frozen=True)
class Stress(_OfGram, Flat):
    """Root mean square difference between the distances that two representations give to pairs of images. Flat.

    A point is (d,), the d distances over sqrt(d), in the units of the activations; with `rescale`, of their median.
    Images closer than about 1e-8 of the largest distance have one that is rounding.
    """

    rescale: bool = False

    @property
    def invariances(self) -> frozenset[str]:
        """Changes of the features that leave a point where it is."""
        return frozenset({"translation", "rotation"} | ({"scale"} if self.rescale else set()))

    def _point(self, g: Matrix) -> Float[Tensor, "d"]:
        """Gram matrix to distances (d,), scaled."""
        distances = _squares(g).sqrt()
        unit = _median(distances) if self.rescale else 1
        return _upper(distances) / unit / math.sqrt(len(g) * (len(g) - 1) / 2)


@dataclass(frozen=True)
class AffineInvariant(_OfGram):
    """Affine-invariant Riemannian metric on Gram matrices (Pennec et al. 2006; Shahbazi et al. 2021). Curved negatively.

    A point is a positive definite (m, m): the centred Gram matrix, which is singular, plus a ridge. Every direction that
    one point has and the other lacks adds log(eigenvalue / ridge)^2 to d^2: between different ranks the ridge decides.

    Args:
        epsilon: the ridge, positive: in the units of the Gram matrix, or `relative` to its mean eigenvalue, so that two
            representations scaled alike are as far apart as before. One scaled alone is not where it was, by 2 sqrt(m)
            times the logarithm of the scale.
    """

    epsilon: float | int
    relative: bool = False
    axes: ClassVar[tuple[int, ...]] = (-2, -1)

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon: {self.epsilon}, expected a positive number")

    @property
    def invariances(self) -> frozenset[str]:
        """Changes of the features that leave a point where it is."""
        return frozenset({"translation", "rotation"})

    def _point(self, g: Matrix) -> Matrix:
        """Gram matrix with the ridge on its diagonal, (m, m)."""
        ridge = self.epsilon * (g.diagonal().mean() if self.relative else 1)
        return g + ridge * torch.eye(len(g), dtype=g.dtype, device=g.device)

    def _size(self, p: Points) -> Numbers:
        """One, (...): lengths are relative already."""
        return torch.ones_like(p[..., 0, 0])  # this metric has a unit of its own

    def _frame(self, p: Points, v: Points) -> Points:
        """L^-1 v L^-T with p = LL'."""
        factor = torch.linalg.cholesky(p)
        half = torch.linalg.solve_triangular(factor, v, upper=False)
        return torch.linalg.solve_triangular(factor, half.mT, upper=False)

    def _seen(self, p: Points, q: Points) -> Points:
        """q - p in the frame of p: the difference, so that points which nearly coincide keep their digits."""
        p, q = self._fit(p, q)
        return self._frame(p, q - p)

    def _basis(self, p: Points, v: Points) -> tuple[Points, Numbers]:
        """B and eigenvalues l (..., m) with p = BB' and v = B diag(l) B'."""
        values, vectors = torch.linalg.eigh(self._frame(p, v))
        return torch.linalg.cholesky(p) @ vectors, values

    def _between(self, p: Points, q: Points) -> tuple[Points, Numbers]:
        """B and logarithms l (..., m) with p = BB' and q = B diag(exp l) B'."""
        p, q = self._fit(p, q)
        basis, values = self._basis(p, q - p)
        return basis, values.clamp(min=-1 + 1e-16).log1p()

    def distance(self, p: Points, q: Points) -> Numbers:
        """Root of the sum of squared log eigenvalues, (...)."""
        # The root of the sum of squared log eigenvalues; those below 1 as seen from q, where they are large and exact.
        sides = (torch.linalg.eigvalsh(self._seen(a, b)).clamp(min=0).log1p() for a, b in ((p, q), (q, p)))
        return sum(side.square().sum(-1) for side in sides).sqrt()

    def _at_once(self, points: Points) -> tuple[Float[Tensor, "k k"], Bool[Tensor, "k k"]]:
        """Nothing from one product: every pair (k, k) is one of those that lose digits."""
        distances = points.new_zeros(len(points), len(points))
        return distances, distances == 0

    def log(self, p: Points, q: Points) -> Points:
        """The tangent at p (..., m, m), symmetric."""
        basis, values = self._between(p, q)
        return (basis * values[..., None, :]) @ basis.mT

    def exp(self, p: Points, v: Points) -> Points:
        """The point (..., m, m) at the end of the geodesic from p along v."""
        basis, values = self._basis(p, v)
        return (basis * values[..., None, :].exp()) @ basis.mT

    def _carry(self, v: Points, p: Points, q: Points) -> Points:
        """Parallel transport of v (..., m, m) from p to q."""
        basis, values = self._between(p, q)
        moved = (basis * (values / 2)[..., None, :].exp()) @ torch.linalg.inv(basis)  # (q p^-1)^(1/2)
        return moved @ v @ moved.mT

    def project(self, r: Points, p: Points, q: Points) -> tuple[Numbers, Numbers]:
        """Position (...) of the point next to r of the geodesic through p and q, by search, and its distance from r."""
        # In the basis in which p is the identity and q is diag(exp l), d^2 is convex in t, and more so than on a line:
        # the minimum lies between 0 and where a line would have it.
        self._same(p, r)
        basis, rate = self._between(p, q)
        inverse = torch.linalg.inv(basis)
        seen = inverse @ r @ inverse.mT

        def slope(t: Numbers) -> Numbers:
            shrink = (-t[..., None] * rate / 2).exp()
            values, turn = torch.linalg.eigh(shrink[..., None] * seen * shrink[..., None, :])
            return -(rate * (turn.square() @ values.clamp(min=TINY).log()[..., None])[..., 0]).sum(-1)

        square = rate.square().sum(-1)
        known = square > COINCIDE**2
        start = torch.zeros_like(seen[..., 0, 0])
        end = torch.where(known, -slope(start) / square, 0.0)
        t = torch.where(known, root(slope, torch.minimum(start, end), torch.maximum(start, end)), 0.0)
        foot = (basis * (t[..., None] * rate)[..., None, :].exp()) @ basis.mT
        return torch.where(known, t, math.nan), self.distance(r, foot)


def by_name(components: int) -> dict[str, Metric]:
    """The metrics that a chapter compares; shape metrics keep so many principal components."""
    return {
        "Angular CKA, plug-in": AngularCKA("plug-in"),
        "Angular CKA, low-bias": AngularCKA("low-bias"),
        "Angular CKA, unbiased": AngularCKA("unbiased"),
        "Angular CKA, Gaussian kernel": AngularCKA("unbiased", "gaussian"),
        "Angular Shape": AngularShape(components),
        "Procrustes": EuclideanShape(components),
        "Stress, rescaled": Stress(rescale=True),
        "affine-invariant": AffineInvariant(0.1, relative=True),
    }


def unseen(metrics: Mapping[str, Metric]) -> list[dict[str, str]]:
    """One row a metric: which changes of a layer's coordinates it does not see."""
    changes = ("translation", "rotation", "scale", "affine")
    said = lambda metric: {change: "yes" if change in metric.invariances else "no" for change in changes}
    return [{"metric": name} | said(metric) for name, metric in metrics.items()]
