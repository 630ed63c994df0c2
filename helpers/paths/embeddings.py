"""Pictures of many points of a space of representations, in few dimensions.

From distances alone: `mds` in the plane, `sphere` on a globe, where distances are angles. From a metric of
`helpers.paths.metrics`: `tangent_pca`, linear coordinates at the Frechet mean. All are deterministic, and turned the same
way in every run: principal axes, the largest first, and on each of them the first point that lies off the middle (by a
tenth of the largest coordinate) comes to lie on the negative side. With the input first, paths run from left to right.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from helpers.networks.numerics import double


def _distances(name: str, distances: Tensor, least: int = 2) -> Tensor:
    """The matrix in float64, exactly symmetric, refused unless it is one of distances."""
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1] or len(distances) < least:
        raise ValueError(f"{name}: shape {tuple(distances.shape)}, expected (k, k) with k at least {least}")
    if not distances.isfinite().all():
        raise ValueError(f"{name}: holds NaN or infinite values, expected finite numbers")
    distances, largest = double(distances), float(distances.abs().max())
    error = float(torch.maximum((distances - distances.mT).abs().max(), distances.diagonal().abs().max()))
    if distances.min() < 0 or largest == 0 or error > 1e-5 * largest:
        raise ValueError(f"{name}: least {float(distances.min()):.3g}, largest {largest:.3g}, asymmetry or diagonal "
                         f"{error:.3g}, expected distances: symmetric, zero on the diagonal only")  # fmt: skip
    return (distances + distances.mT) / 2


def _leading(symmetric: Float[Tensor, "k k"], dims: int) -> tuple[Float[Tensor, "k dims"], Float[Tensor, "dims"]]:
    """Eigenvectors times the root of their eigenvalues, and those, for the `dims` largest (negative ones are zero)."""
    values, vectors = torch.linalg.eigh(symmetric)
    values = values[-dims:].flip(0).clamp(min=0)
    return vectors[:, -dims:].flip(1) * values.sqrt(), values


def _signed(points: Float[Tensor, "k dims"]) -> Float[Tensor, "k dims"]:
    """The axes reflected so that the first point off the middle has a negative coordinate."""
    size = points.abs()
    first = (size >= 0.1 * size.amax(0)).double().argmax(0)
    return -points * points.gather(0, first[None]).sign()


def _turned(points: Float[Tensor, "k dims"]) -> Float[Tensor, "k dims"]:
    """The points about the origin on their principal axes, largest first."""
    return _signed(points @ torch.linalg.eigh(points.mT @ points).eigenvectors.flip(1))


def _dims(dims: int, most: int) -> None:
    if not 1 <= dims <= most:
        raise ValueError(f"dims: {dims}, expected 1 to {most}")


# --- From distances --------------------------------------------------------------------------------------------


def stress(distances: Float[Tensor, "k k"], embedded: Float[Tensor, "k k"]) -> Float[Tensor, ""]:
    """What a picture gets wrong: root of the sum of squared errors over that of squared distances; 0 is exact.

    Raises:
        ValueError: matrices that are no distances, or of different shapes.
    """
    distances, embedded = _distances("distances", distances), _distances("embedded", embedded)
    if distances.shape != embedded.shape:
        raise ValueError(f"embedded: shape {tuple(embedded.shape)}, expected that of distances, {tuple(distances.shape)}")
    return torch.linalg.matrix_norm(distances - embedded) / torch.linalg.matrix_norm(distances)


def mds(distances: Float[Tensor, "k k"], dims: int = 2) -> Float[Tensor, "k dims"]:
    """Metric multidimensional scaling: points whose Euclidean distances come close to those given (least raw stress).

    Scikit-learn's majorisation (SMACOF), started from classical scaling (Torgerson 1952): no chance, and exact at once
    where an exact picture exists. Computed on the CPU.

    Raises:
        ValueError: a matrix that is not one of distances, or dims not in 1..k-1.
    """
    from sklearn.manifold import smacof  # a second to import: only when needed

    distances = _distances("distances", distances)
    _dims(dims, len(distances) - 1)
    unit = distances.square().mean().sqrt()  # the tolerance of older versions depends on the scale
    scaled = distances / unit
    squares = scaled.square()
    centred = squares - squares.mean(0) - squares.mean(1, keepdim=True) + squares.mean()
    start, _ = _leading(-centred / 2, dims)
    found, _ = smacof(scaled.cpu().numpy(), init=start.cpu().numpy(), n_init=1, max_iter=1000, eps=1e-8,
                      normalized_stress=False)  # fmt: skip
    points = torch.from_numpy(found).to(distances) * unit
    return _turned(points - points.mean(0))


def sphere_distances(points: Float[Tensor, "k d"]) -> Float[Tensor, "k k"]:
    """Angles, in radians, between the points on the unit sphere in these directions.

    From the chords to each other and to the opposite points: exact for near points and for opposite ones.

    Raises:
        ValueError: wrong rank, NaN, or a zero vector, which has no direction.
    """
    if points.ndim != 2 or not points.numel():
        raise ValueError(f"points: shape {tuple(points.shape)}, expected (k, d), not empty")
    points = double(points)
    norm = torch.linalg.vector_norm(points, dim=1, keepdim=True)
    if not norm.isfinite().all() or (norm == 0).any():
        raise ValueError("points: hold NaN, infinite values or a zero vector, expected directions")
    points = points / norm
    near, far = (torch.cdist(points, other, compute_mode="donot_use_mm_for_euclid_dist") for other in (points, -points))
    return 2 * torch.atan2(near, far)


def sphere(distances: Float[Tensor, "k k"], dims: int = 2, refine: bool = True) -> Float[Tensor, "k dims1"]:
    """Points on the unit sphere of `dims` dimensions whose angles come close to the distances, in radians.

    The cosines of exact angles are inner products: the leading dims + 1 eigenvectors of cos(distances), rows normalised,
    are exact where an exact picture exists. `refine` then descends from there (L-BFGS, on the CPU) to least stress
    (spherical scaling as in Agarwal et al. 2010, KDD, with another algorithm). The first axis points to the middle.

    Returns:
        (k, dims + 1), unit vectors; dims = 2 is a globe.

    Raises:
        ValueError: a matrix that is not one of distances up to pi, or dims not in 1..k-1.
    """
    distances = _distances("distances", distances)
    _dims(dims, len(distances) - 1)
    if distances.max() > math.pi + 1e-6:
        raise ValueError(f"distances: up to {float(distances.max()):.4g}, expected at most pi: angles")
    start, _ = _leading(distances.cos(), dims + 1)
    norm = torch.linalg.vector_norm(start, dim=1, keepdim=True)
    # A point at right angles to all others may be left without direction; any will do to start from.
    aside = torch.randn(start.shape, generator=torch.Generator().manual_seed(0), dtype=start.dtype).to(start)
    points = torch.where(norm > 1e-6, start, aside)
    if refine:
        points = _descended(points.cpu(), distances.cpu()).to(points)
    points = _turned(points / torch.linalg.vector_norm(points, dim=1, keepdim=True))
    points[:, 0] *= -1
    return points


def _descended(start: Float[Tensor, "k d"], distances: Float[Tensor, "k k"]) -> Float[Tensor, "k d"]:
    """Least sum of squared errors of the angles; the length of a row does not matter."""

    def loss(flat):
        x = torch.from_numpy(flat).view(start.shape)
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        unit = x / norm
        error = sphere_distances(unit) - distances
        cosine = unit @ unit.mT
        # d angle / d cosine = -1 / sin; it is unbounded, and without direction, where points meet or are opposite.
        slope = -error / (1 - cosine.square()).clamp(min=1e-12).sqrt()
        slope.fill_diagonal_(0)
        gradient = 2 * slope @ unit
        gradient -= (gradient * unit).sum(1, keepdim=True) * unit
        return float(error.square().sum() / 2), (gradient / norm).flatten().numpy()

    start = start / torch.linalg.vector_norm(start, dim=1, keepdim=True)
    found = minimize(loss, start.flatten().numpy(), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    return torch.from_numpy(found.x).view(start.shape)


def losses(distances: Float[Tensor, "k k"]) -> dict[str, float]:
    """`stress` of three pictures: in `2 flat dimensions`, in `3 flat dimensions`, and on the `surface of a sphere`."""
    flat = {dims: mds(distances, dims) for dims in (2, 3)}
    found = {f"{dims} flat dimensions": stress(distances, torch.cdist(p, p)) for dims, p in flat.items()}
    found["surface of a sphere"] = stress(distances, sphere_distances(sphere(distances, 2)))
    return {name: float(value) for name, value in found.items()}


# --- From a metric ---------------------------------------------------------------------------------------------


def span(points: Float[Tensor, "k d"]) -> Float[Tensor, "k r"]:
    """The same points in an orthonormal basis of their span, r = min(k, d): all lengths and angles remain.

    A point of Angular CKA or of Stress has as many numbers as there are pairs of images; all that a path asks of these
    metrics is in its span. By QR, which keeps the digits of near points as a Gram matrix would not.

    Raises:
        ValueError: wrong rank (the points of other metrics are matrices), NaN.
    """
    if points.ndim != 2:
        raise ValueError(f"points: shape {tuple(points.shape)}, expected (k, d)")
    return torch.linalg.qr(_points(points).mT, mode="r").R.mT.contiguous()


def frechet_mean(metric: Any, points: Float[Tensor, "k ..."], steps: int = 200) -> Float[Tensor, "..."]:
    """The point with the least sum of squared distances to the points, by gradient descent (Karcher 1977).

    From the most central of the points along the mean of the log vectors, half as far whenever that has become longer,
    until it is 1e-9 of the spread: a dozen steps with Angular CKA. Shapes far apart, where the distance has kinks, come
    to about 1e-3 in all `steps`. Unique on the sphere where the points fit into half of it.

    Args:
        metric: `pairwise`, `log`, `exp` and `distance` of `helpers.paths.metrics`.
        points: (k, ...), embedded.

    Raises:
        ValueError: no points, NaN, or a gradient that is still above a hundredth of the spread.
    """
    points = _points(points)
    squares = metric.pairwise(points).square().mean(1)
    mean, spread = points[squares.argmin()], float(squares.max().sqrt())
    near = 1e-9 * spread + 1e-12 * float(torch.linalg.vector_norm(mean))
    rate, last = 1.0, math.inf
    for _ in range(steps):
        gradient = metric.log(mean, points).mean(0)
        length = float(metric.distance(mean, metric.exp(mean, gradient)))
        if length <= near:
            return mean
        rate = rate / 2 if length > last else rate
        mean, last = metric.exp(mean, rate * gradient), length
    if not last <= 0.01 * spread:
        raise ValueError(f"points: no Frechet mean in {steps} steps (gradient {last:.3g}), expected points closer together")
    return mean


def _points(points: Tensor) -> Tensor:
    if points.ndim < 2 or not points.numel():
        raise ValueError(f"points: shape {tuple(points.shape)}, expected (k, ...), not empty")
    if not points.isfinite().all():
        raise ValueError("points: hold NaN or infinite values, expected finite numbers")
    return double(points)


def tangent_pca(
    metric: Any, points: Float[Tensor, "k ..."], dims: int = 2
) -> tuple[Float[Tensor, "k dims"], Float[Tensor, "dims"]]:
    """Principal components of the log vectors at the Frechet mean, not centred again: it is the origin.

    Distances from the mean come out right in full dimensions, those of other pairs as far as the space is flat. From
    the k x k Gram matrix of the log vectors; with Angular CKA give it the points' `span`, which is much faster.

    Returns:
        Coordinates (k, dims), in the metric's unit, and the share of the variance along each axis (dims,).

    Raises:
        ValueError: as `frechet_mean`; dims not in 1..k; points that all coincide; a metric whose inner product is not
            that of the coordinates (affine-invariant).
    """
    points = _points(points)
    _dims(dims, len(points))
    mean = frechet_mean(metric, points)
    vectors = metric.log(mean, points).flatten(1)
    gram = vectors @ vectors.mT
    squares = metric.distance(mean, points).square()
    if not squares.sum() > 0:
        raise ValueError("points: all coincide, expected points that vary")
    if not torch.allclose(gram.diagonal(), squares, rtol=1e-5, atol=1e-6 * float(squares.max())):
        raise ValueError(f"metric: {metric}, expected one whose log vectors are as long as the distances")
    coordinates, values = _leading(gram, dims)
    return _signed(coordinates), values / gram.trace()
