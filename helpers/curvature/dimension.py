"""How many dimensions a cloud of points has: TwoNN (intrinsic) and PCA (linear)."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from helpers.networks.numerics import double

FEW = 0.05  # of the points: so many may be compared with all the others


def _cloud(points: Tensor, fewest: int) -> Tensor:
    """The points in float64, once they pass inspection."""
    if points.ndim != 2 or points.shape[0] < fewest:
        raise ValueError(f"points: shape {tuple(points.shape)}, expected (n, D) with n at least {fewest}")
    if not torch.isfinite(points).all():
        raise ValueError("points: holds NaN or infinite values, expected finite numbers")
    return double(points)


def _two_nearest(points: Float[Tensor, "n D"], rows: int = 64) -> Float[Tensor, "n 2"]:
    """Distances to the two nearest other points.

    |x|^2 + |y|^2 - 2xy loses the digits that near neighbours need, but says which points may be the nearest: a few, to
    which distances are taken by differences. In single precision that takes half of the time, and most often is enough;
    where rounding might hide another point, double precision asks again, and then distances are taken to all points.
    """
    for dtype in (torch.float32, points.dtype):
        squares, places, rounding = _candidates(points, dtype)
        found = [
            _distances(here[:, None], points[there])[:, 0].topk(2, largest=False).values
            for here, there in zip(points.split(rows), places.split(rows))
        ]
        near = torch.cat(found)
        unsure = (squares[:, -1] - rounding < near[:, 1].square()).nonzero()[:, 0]
        if len(unsure) < FEW * len(points):
            break
    for some in unsure.split(rows):
        every = _distances(points[some], points).scatter(1, some[:, None], math.inf)  # a point is not its own neighbour
        near[some] = every.topk(2, largest=False).values
    return near


def _distances(x: Float[Tensor, "*b n D"], y: Float[Tensor, "*b m D"]) -> Float[Tensor, "*b n m"]:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _candidates(
    points: Float[Tensor, "n D"], dtype: torch.dtype, kept: int = 8, block: int = 1024
) -> tuple[Float[Tensor, "n k"], Int64[Tensor, "n k"], Float[Tensor, "n"]]:
    """Squared distances to the few nearest others, ascending, who they are, and how far rounding may be off.

    By products in this precision; every block of them serves the points of both its sides.
    """
    kept, centred = min(kept, len(points) - 1), points - points.mean(0)
    unit = float(centred.abs().max()) or 1.0  # no square overflows in single precision
    sizes, centred = centred.norm(dim=1), (centred / unit).to(dtype)
    norms = centred.square().sum(1)
    least = centred.new_full((len(points), kept), math.inf)
    places = torch.zeros_like(least, dtype=torch.long)

    def merge(start: int, squares: Tensor, first: int) -> None:
        here = slice(start, start + len(squares))
        found, at = squares.topk(min(kept, squares.shape[1]), largest=False)
        least[here], order = torch.cat([least[here], found], dim=1).topk(kept, largest=False)
        places[here] = torch.cat([places[here], at + first], dim=1).gather(1, order)

    for i in range(0, len(points), block):
        for j in range(i, len(points), block):
            a, b = slice(i, i + block), slice(j, j + block)
            squares = torch.addmm(norms[a, None] + norms[b], centred[a], centred[b].T, alpha=-2)
            if i == j:
                squares.fill_diagonal_(math.inf)  # a point is not its own neighbour
            else:
                merge(j, squares.T, i)
            merge(i, squares, j)
    # Of sums over features and of the precision, and of taking off the mean.
    of_sums, of_mean = ((size + size.max()).square() for size in (sizes, points.norm(dim=1)))
    own, exact = (torch.finfo(each).eps for each in (dtype, points.dtype))
    rounding = own * 4 * (points.shape[1] + 4) * of_sums + exact * 16 * of_mean
    return least.to(points) * unit**2, places, rounding


def two_nn(points: Float[Tensor, "n D"], discard: float = 0.1) -> float:
    """Intrinsic dimension from the ratio of the distances to the second and first neighbour.

    The slope, through the origin, of -log(1 - F) against log(r2 / r1), F the empirical distribution of the
    ratios, without the largest ones (Facco et al. 2017, Sci. Rep. 7:12140; fitted as Ansuini et al. 2019 do).
    Points that have a duplicate, or two neighbours at one distance, carry no ratio and are left out.

    Args:
        points: (n, D), n at least 20.
        discard: fraction of the ratios, the largest, that the fit leaves out; in [0, 1).

    Returns:
        The dimension, a number without unit. It underestimates above about 15 (finite n).

    Raises:
        ValueError: wrong shape, too few usable points, NaN, or discard out of range.
    """
    if not 0 <= discard < 1:
        raise ValueError(f"discard: {discard}, expected a fraction in [0, 1)")
    near, far = _two_nearest(_cloud(points, 20)).unbind(1)
    usable = (near > 0) & (near < far)
    ratio = (far[usable] / near[usable]).log().sort().values
    n = len(ratio)
    if n < 20:
        raise ValueError(f"points: {n} of {len(points)} have two distinct neighbour distances, expected at least 20")
    keep = min(math.floor((1 - discard) * n), n - 2)  # the last value of -log(1 - F) is infinite
    x = ratio[:keep]
    y = -torch.log1p(-torch.arange(1, keep + 1, dtype=x.dtype, device=x.device) / n)
    return float((x @ y) / (x @ x))


def pca_dimension(points: Float[Tensor, "n D"], variance: float = 0.9, *, standardise: bool = False) -> int:
    """Number of principal components that carry a share of the variance.

    Args:
        points: (n, D), n at least 2.
        variance: the share to exceed, in (0, 1).
        standardise: divide each feature by its standard deviation first, as the published curvature study
            does. The count then depends on the axes; without it a rotation changes nothing.

    Raises:
        ValueError: wrong shape, NaN, variance out of range, or no variance at all.
    """
    if not 0 < variance < 1:
        raise ValueError(f"variance: {variance}, expected a share in (0, 1)")
    cloud = _cloud(points, 2)
    cloud = cloud[:, (cloud != cloud[0]).any(0)]  # a constant feature (a dead unit) less its mean is not always 0
    if not cloud.numel():
        raise ValueError("points: all equal, expected points that vary")
    centred = cloud - cloud.mean(0)
    if standardise:
        centred = centred / centred.std(0)
    gram = centred @ centred.T if centred.shape[0] < centred.shape[1] else centred.T @ centred
    values = torch.linalg.eigvalsh(gram).flip(0).clamp(min=0)
    share = values.cumsum(0) / values.sum()
    return int((share <= variance).sum()) + 1
