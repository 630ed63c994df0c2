"""Curvature and dimension of a network's layers, point by point: as published, and by the invariant pull-back.

Images are normalised already where a ball or a box is one of what the network sees: give a network that is bare.
"""

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.curvature.dimension import pca_dimension, two_nn
from helpers.curvature.neighbourhoods import neighbours, svd_corners
from helpers.curvature.published import caml
from helpers.curvature.pull_back import Form, second_fundamental_form
from helpers.networks import evaluation
from helpers.networks.activations import Point, flat, record
from helpers.networks.numerics import double

Images = Float[Tensor, "n c h w"]
Found = dict[Point, dict[str, Tensor]]
BATCH = 8  # images whose neighbourhoods go through together, as published: their box has the least rank among them
SOLVERS = {
    "mapc": {"dtype": torch.float32},  # as published
    "mapc_no_cutoff": {"dtype": torch.float32, "cutoff": 1e-15},
    "mapc_float64": {"dtype": torch.float64},
}


def through(
    model: nn.Module, images: Images, around: Callable[[Images], Float[Tensor, "m K c h w"]], points: Sequence[Point],
    reduce: Callable[[Point, Tensor, Tensor], Mapping[str, Tensor]],
) -> Found:  # fmt: skip
    """What reduce(point, centre (m, D), neighbours (m, K, D)) gives at every point, for each image.

    `around` makes the neighbours of a batch of images. Runs in the network's precision, on its device.
    """
    batches = []
    for part in images.to(next(model.parameters())).split(BATCH):
        stack = torch.cat([part[:, None], around(part)], dim=1).flatten(0, 1)

        def split(point: Point, activation: Tensor, n: int = len(part)) -> Mapping[str, Tensor]:
            rows = flat(activation).unflatten(0, (n, -1))
            return reduce(point, rows[:, 0], rows[:, 1:])

        batches.append(record(model, stack, points, split))
    names = {point: list(batches[0][point]) for point in points}
    return {p: {name: torch.cat([batch[p][name] for batch in batches]) for name in names[p]} for p in points}


def on_corners(
    model: nn.Module, images: Images, dims: Mapping[Point, int], keep: int = 10, solvers: Sequence[str] = ("mapc",)
) -> Found:
    """As published: CAML on the corners of each image's own box (`svd_corners`), at the points of `dims`.

    Returns:
        By point, for each image (n,): the mean absolute principal curvature by each of the SOLVERS, and the `median` by
        the first. A dimension above what the box and the point have is lowered to that.
    """

    def reduce(point: Point, centre: Tensor, near: Tensor) -> dict[str, Tensor]:
        dim = max(1, min(dims[point], *(side - 1 for side in near.shape[1:])))
        found = {name: caml(centre, near, dim, **SOLVERS[name]).abs().flatten(1) for name in solvers}
        median = found[solvers[0]].median(1).values
        return {name: kappa.mean(1) for name, kappa in found.items()} | {"median": median}

    return through(model, images, lambda part: svd_corners(part, keep=keep), list(dims), reduce)


def on_ball(
    model: nn.Module, images: Images, points: Sequence[Point], chart: Callable[[Images], Tensor],
    coordinates: Float[Tensor, "K q"], radius: float, readout: Callable[[Tensor], Tensor] | None = None,
) -> Found:  # fmt: skip
    """The invariant pull-back on a ball: by point, the fields of `second_fundamental_form` for each image (n,).

    Args:
        chart: gives the directions (q, D) or (n, q, D) of some images.
        coordinates: the ball's points in it, of this radius.
        readout: what is to be known besides of the displacements at the penultimate point, as `readout`.
    """

    def reduce(point: Point, centre: Tensor, near: Tensor) -> dict[str, Tensor]:
        z = near - centre[:, None]
        found = second_fundamental_form(z, coordinates, radius)._asdict()
        return found | ({"readout": readout(z)} if readout and len(points) > 1 and point == points[-2] else {})

    return through(model, images, lambda part: neighbours(part, chart(part), coordinates), points, reduce)


def random_readouts(
    displacements: Float[Tensor, "n K D"], coordinates: Float[Tensor, "K q"], radius: float, outputs: int, count: int,
    generator: torch.Generator,
) -> Float[Tensor, "n"]:  # fmt: skip
    """Geometric mean, over `count` random linear read-outs to so many outputs, of the bend of each image."""
    shape = (count, displacements.shape[2], outputs)
    weights = torch.randn(shape, generator=generator, dtype=torch.float64)
    z = double(displacements)
    logits = z[:, None] @ weights.to(z.device)  # (n, count, K, outputs)
    bend = second_fundamental_form(logits.flatten(0, 1), coordinates, radius).bend
    return bend.unflatten(0, (len(z), count)).log().mean(1).exp()


def by_derivatives(
    model: nn.Module, images: Images, point: Point, chart: Float[Tensor, "*n q D"], coordinates: Float[Tensor, "K q"],
    radius: float,
) -> Form:  # fmt: skip
    """`second_fundamental_form` with derivatives from autograd in place of a fit: z = J't + H(t, t) / 2, no more."""
    t, move = coordinates.to(images.device), chart.to(images)

    def f(t: Tensor) -> Tensor:
        moved = images + (t @ move).reshape(-1, *images.shape[1:])  # one move for all images, or one each
        return record(model, moved, [point], lambda p, activation: flat(activation))[point]

    zero = torch.zeros(t.shape[1], dtype=images.dtype, device=images.device)
    with evaluation.differentiable():
        slope, bending = torch.func.jacfwd(f)(zero), torch.func.jacfwd(torch.func.jacfwd(f))(zero)
    z = torch.einsum("kq,ndq->nkd", t, slope) + torch.einsum("kq,ndqr,kr->nkd", t, bending, t) / 2
    return second_fundamental_form(z, coordinates, radius)


def dimensions(model: nn.Module, images: Images, points: Sequence[Point]) -> dict[Point, dict[str, int | float]]:
    """Of the images' cloud at every point: `features`, TwoNN (`two_nn`), and PCA, plain (`pca`) and standardised.

    Where activations differ by rounding alone, as the logits of a deep untrained network, the network runs in float64.
    """

    def reduce(point: Point, activation: Tensor) -> dict[str, int | float]:
        rows = flat(activation)
        linear = {"pca": pca_dimension(rows), "pca_standardised": pca_dimension(rows, standardise=True)}
        return {"features": rows.shape[1], "two_nn": two_nn(rows), **linear}

    try:
        return record(model, images, points, reduce)
    except ValueError:
        return record(double(copy.deepcopy(model)), double(images), points, reduce)


def profile(
    model: nn.Module, images: Images, cloud: Float[Tensor, "m c h w"], points: Sequence[Point], chart: Float[Tensor, "q D"],
    coordinates: Float[Tensor, "K q"], radius: float,
) -> dict[Point, dict[str, float]]:  # fmt: skip
    """Curvature's part of a portrait, by point: `bend` on a ball in a chart, median over images, with the network in
    float64; and `dimension`, TwoNN of the cloud of images."""
    exact, centres = double(copy.deepcopy(model)), double(images)
    t = coordinates.to(centres)
    stack = torch.cat([centres[:, None], neighbours(centres, double(chart), t)], dim=1).flatten(0, 1)

    def bend(point: Point, activation: Tensor) -> float:
        rows = flat(activation).unflatten(0, (len(images), -1))
        return float(second_fundamental_form(rows[:, 1:] - rows[:, :1], t.to(rows), radius).bend.nanmedian())

    bends = record(exact, stack, points, bend)
    clouds = record(model, cloud, points, lambda point, activation: two_nn(flat(activation)))
    return {point: {"bend": bends[point], "dimension": clouds[point]} for point in points}


def median(values: Float[Tensor, "n"]) -> float:
    """The median in float64; NaN if one of them is not finite."""
    return float(double(values).median()) if values.isfinite().all() else float("nan")
