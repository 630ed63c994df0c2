"""What the points of a network give back of images, one short search each: depth's part of a portrait."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from helpers.depth.inversion import measures, shifted
from helpers.depth.layers import seek
from helpers.depth.optimisers import Procedure
from helpers.networks.activations import Point
from helpers.networks.numerics import stream


def profile(
    model: nn.Module, images: Float[Tensor, "n c h w"], points: Sequence[Point], seed: int, procedure: Procedure
) -> dict[Point, dict[str, float]]:
    """By point, medians over images: `error` of what comes back, relative to the start's, and `nonuniqueness`, how many
    decades nearer its activation is than its pixels. The first point is the input, which gives itself back."""
    found = {points[0]: {"error": 0.0, "nonuniqueness": 0.0}}
    for point in points[1:]:
        sought, begin = seek(model, point, images, procedure, seed)
        values = measures(sought, images, begin, shifted(model, point, images, stream(seed, "shift")))
        found[point] = {name: float(values[name].nanmedian()) for name in ("error", "nonuniqueness")}
    return found
