"""What the points of a network do to a small ball of inputs and to a cloud of images: curvature, and dimension."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.curvature.dimension import two_nn
from helpers.curvature.layers import Images, dimensions, in_float64, invariant, published
from helpers.curvature.neighbourhoods import Ball, neighbours
from helpers.curvature.pull_back import second_fundamental_form
from helpers.networks.activations import Point, flat, record
from helpers.networks.numerics import double


def both(
    model: nn.Module, images: Images, cloud: Float[Tensor, "m c h w"], points: Sequence[Point],
    balls: Mapping[int, Ball], keep: int = 10, readout: Callable[[Tensor, Ball], Tensor] | None = None,
) -> dict[Point, dict[str, int | float]]:  # fmt: skip
    """Curvature by both estimators, and dimension, at every point of a bare network.

    Args:
        images: normalised; those whose neighbourhoods are measured.
        cloud: normalised; the images whose `dimensions` are taken.
        balls: by number of directions q.
        keep: singular values that the published box switches.
        readout: as in `on_ball`.

    Returns:
        By point the `dimensions` of the cloud; the `published` curvature (1 / activation) on tangents of the rounded
        TwoNN dimension, but for the first point, the input, which has no box; and, for each ball, the fields that
        are `invariant`, as `FIELD_qQ`.
    """
    found = {point: dict(row) for point, row in dimensions(model, cloud, points).items()}
    dims = {point: max(1, round(found[point]["two_nn"])) for point in points[1:]}
    parts = [published(model, images, dims, keep)]
    for q, ball in balls.items():
        forms = invariant(model, images, points, ball, readout)
        parts.append({p: {f"{name}_q{q}": value for name, value in row.items()} for p, row in forms.items()})
    for part in parts:
        for point, row in part.items():
            found[point] |= row
    return found


def profile(
    model: nn.Module, images: Images, cloud: Float[Tensor, "m c h w"], points: Sequence[Point],
    chart: Float[Tensor, "q D"], coordinates: Float[Tensor, "K q"], radius: float,
) -> dict[Point, dict[str, float]]:  # fmt: skip
    """Curvature's part of a portrait, by point: `bend` on a ball in a chart, median over images, with the network in
    float64; and `dimension`, TwoNN of the cloud of images."""
    exact, centres = in_float64(model), double(images)
    t = coordinates.to(centres)
    stack = torch.cat([centres[:, None], neighbours(centres, double(chart), t)], dim=1).flatten(0, 1)

    def bend(point: Point, activation: Tensor) -> float:
        rows = flat(activation).unflatten(0, (len(images), -1))
        return float(second_fundamental_form(rows[:, 1:] - rows[:, :1], t.to(rows), radius).bend.nanmedian())

    bends = record(exact, stack, points, bend)
    clouds = record(model, cloud, points, lambda point, activation: two_nn(flat(activation)))
    return {point: {"bend": bends[point], "dimension": clouds[point]} for point in points}
