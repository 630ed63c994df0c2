"""Random linear read-outs of a layer: how curved must so many numbers be, whatever they mean?"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.curvature.layers import median
from helpers.curvature.neighbourhoods import Ball
from helpers.curvature.published import at_origin
from helpers.networks.numerics import double, stream


def random_readouts(
    displacements: Float[Tensor, "n K D"], ball: Ball, outputs: int, count: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n"]:  # fmt: skip
    """Geometric mean, over `count` random linear read-outs to so many outputs, of the bend of each image.

    By default they are the same for every layer of the same width.
    """
    shape, generator = (count, displacements.shape[2], outputs), generator or stream(0, "read-outs")
    weights = torch.randn(shape, generator=generator, dtype=torch.float64)
    z = double(displacements)
    logits = z[:, None] @ weights.to(z.device)  # (n, count, K, outputs)
    bend = ball.form(logits.flatten(0, 1)).bend
    return bend.unflatten(0, (len(z), count)).log().mean(1).exp()


def by_number(
    displacements: Float[Tensor, "n K D"], ball: Ball, numbers: Sequence[int], count: int
) -> list[dict[str, int | float]]:
    """Published and invariant curvature of random linear read-outs of a layer, by the number of their `outputs`.

    Returns:
        For each number `mapc`, of one read-out whose length does not grow with the number, mean over images, normals
        and directions (1 / unit of the displacements); and `bend`, of `count` read-outs, median over images (no unit).
    """
    rows, q = [], ball.coordinates.shape[1]
    for outputs in numbers:
        shape = (displacements.shape[2], outputs)
        mix = torch.randn(shape, generator=stream(0, "outputs", outputs), dtype=torch.float64).to(displacements)
        mixed = displacements @ (mix / outputs**0.5)
        bend = random_readouts(displacements, ball, outputs, count)
        rows.append({"outputs": outputs, "mapc": float(at_origin(mixed, q).abs().mean()), "bend": median(bend)})
    return rows
