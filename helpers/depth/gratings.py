"""Pictures with edges, of no class: made by a formula, so that they may be shown anywhere."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def gratings(count: int, like: Float[Tensor, "n c h w"], generator: torch.Generator) -> Float[Tensor, "count c h w"]:
    """Gratings of any direction and width inside soft discs, grey, in [0, 1], of the shape and device of the images."""
    channels, *sides = like.shape[1:]
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in sides), indexing="ij")
    angle, cycles, phase, across, down = torch.rand(5, count, 1, 1, generator=generator)
    along = x * torch.cos(2 * math.pi * angle) + y * torch.sin(2 * math.pi * angle)
    waves = 0.5 + 0.5 * torch.sin(math.pi * (1 + 2 * cycles) * along + 2 * math.pi * phase)
    disc = torch.sigmoid(8 * (0.7 - torch.hypot(x - across + 0.5, y - down + 0.5)))
    return (waves * disc)[:, None].expand(-1, channels, -1, -1).to(like)
