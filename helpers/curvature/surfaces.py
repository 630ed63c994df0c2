"""Surfaces whose curvature is known, to try estimators on."""

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.curvature.neighbourhoods import ball


def sphere(
    q: int, features: int, radius: float, count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "1 K D"], Float[Tensor, "K q"]]:
    """Displacements from a point of a unit sphere of q dimensions to `count` near it, and their coordinates.

    It lies askew in a space of so many `features`, more than q; the coordinates fill a ball of this radius, below 1.
    """
    t = radius * ball(q, count, generator)
    frame = torch.linalg.qr(torch.randn(features, q + 1, generator=generator, dtype=torch.float64)).Q.T
    height = (1 - t.square().sum(1, keepdim=True)).sqrt() - 1
    return (torch.cat([t, height], dim=1) @ frame)[None], t


def quadric(
    coordinates: Float[Tensor, "K q"], hessians: Float[Tensor, "normals q q"]
) -> Float[Tensor, "1 K D"]:
    """The graph of quadratic forms over their coordinates: (t, t'Ht / 2), one normal a form."""
    normal = torch.einsum("ki,aij,kj->ka", coordinates, hessians, coordinates) / 2
    return torch.cat([coordinates, normal], dim=1)[None]
