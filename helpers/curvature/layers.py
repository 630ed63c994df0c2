"""Curvature and dimension of a network's layers, point by point: as published, and by the invariant pull-back.

Images are normalised already where a ball or a box is one of what the network sees: give a network that is bare.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.curvature.dimension import pca_dimension, two_nn
from helpers.curvature.neighbourhoods import Ball, nearest, svd_corners
from helpers.curvature.published import caml
from helpers.curvature.pull_back import Form
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


def published(
    model: nn.Module, images: Images, dims: Mapping[Point, int], keep: int = 10, solvers: Sequence[str] = ("mapc",)
) -> dict[Point, dict[str, float]]:
    """Means over images of what `on_corners` finds."""
    found = on_corners(model, images, dims, keep, solvers)
    return {point: {name: float(double(values).mean()) for name, values in found[point].items()} for point in found}


def box(images: Images, keep: int = 10) -> int:
    """The most dimensions that the published box has around one of the images, which go through in batches."""
    return max(svd_corners(part, keep).shape[1] for part in images.split(BATCH)).bit_length()


def by_solver(
    model: nn.Module, images: Images, dims: Mapping[Point, int], ball: Ball, keep: int = 10
) -> dict[Point, dict[str, float]]:
    """The `published` curvature by each of the SOLVERS, beside `bend` and `scale` on a ball.

    For what is computed in float64 the network is, too.
    """
    *single, last = SOLVERS
    exact, found = in_float64(model), published(model, images, dims, keep, single)
    precise, forms = published(exact, images, dims, keep, [last]), invariant(model, images, list(dims), ball)
    merged = {point: found[point] | precise[point] | forms[point] for point in dims}
    return {point: {name: merged[point][name] for name in (*SOLVERS, "bend", "scale")} for point in dims}


def on_nearest(images: Images) -> float:
    """As published for the input: CAML of the pixels, neighbours the nearest images, twice as many as dimensions.

    NaN where there are not so many images, as of noise, which has many dimensions.
    """
    pixels = flat(images).float()
    d = max(2, round(two_nn(pixels)))
    if 2 * d >= len(pixels):
        return math.nan
    return float(caml(pixels, nearest(pixels, 2 * d), d, dtype=torch.float32).abs().mean())


def displacements(model: nn.Module, images: Images, points: Sequence[Point], ball: Ball) -> dict[Point, Tensor]:
    """How far each point of the ball moves a layer: (n, K, D), by point."""
    found = through(model, images, ball.around, points, lambda point, centre, near: {"z": near - centre[:, None]})
    return {point: each["z"] for point, each in found.items()}


def on_ball(
    model: nn.Module, images: Images, points: Sequence[Point], ball: Ball,
    readout: Callable[[Tensor, Ball], Tensor] | None = None,
) -> Found:  # fmt: skip
    """The invariant pull-back on a ball: by point, the fields of `second_fundamental_form` for each image (n,).

    `readout` gives what is to be known besides of the displacements at the penultimate point, as `readout`.
    """

    def reduce(point: Point, centre: Tensor, near: Tensor) -> dict[str, Tensor]:
        z = near - centre[:, None]
        found = ball.form(z)._asdict()
        return found | ({"readout": readout(z, ball)} if readout and len(points) > 1 and point == points[-2] else {})

    return through(model, images, ball.around, points, reduce)


def invariant(
    model: nn.Module, images: Images, points: Sequence[Point], ball: Ball,
    readout: Callable[[Tensor, Ball], Tensor] | None = None,
) -> dict[Point, dict[str, float]]:  # fmt: skip
    """Medians over images of what `on_ball` finds with the network in float64."""
    found = on_ball(in_float64(model), images, points, ball, readout)
    return {point: {name: median(values) for name, values in found[point].items()} for point in found}


def by_derivatives(model: nn.Module, images: Images, point: Point, ball: Ball) -> Form:
    """The form of a ball with derivatives from autograd in place of a fit: z = J't + H(t, t) / 2, no more."""
    t, move = ball.coordinates.to(images.device), ball.directions(images).to(images)

    def f(t: Tensor) -> Tensor:
        moved = images + (t @ move).reshape(-1, *images.shape[1:])  # one move for all images, or one each
        return record(model, moved, [point], lambda p, activation: flat(activation))[point]

    zero = torch.zeros(t.shape[1], dtype=images.dtype, device=images.device)
    with evaluation.differentiable():
        slope, bending = torch.func.jacfwd(f)(zero), torch.func.jacfwd(torch.func.jacfwd(f))(zero)
    z = torch.einsum("kq,ndq->nkd", t, slope) + torch.einsum("kq,ndqr,kr->nkd", t, bending, t) / 2
    return ball.form(z)


def limit(model: nn.Module, images: Images, point: Point, ball: Ball) -> float:
    """What bend over radius tends to as the ball shrinks: median over images, from derivatives in float64.

    1 / input unit. Of use where the network is smooth: the second derivative of a ReLU is zero almost everywhere.
    """
    return median(by_derivatives(in_float64(model), double(images), point, ball).bend) / ball.radius


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
        return record(in_float64(model), double(images), points, reduce)


def in_float64(model: nn.Module) -> nn.Module:
    """A copy of the network that computes in float64; the network itself stays as it is."""
    return double(copy.deepcopy(model))


def median(values: Float[Tensor, "n"]) -> float:
    """The median in float64; NaN if one of them is not finite."""
    return float(double(values).median()) if values.isfinite().all() else float("nan")
