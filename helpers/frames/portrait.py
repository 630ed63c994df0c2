"""What the points of a network do to named directions: the frames' part of a portrait."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.frames.directions import matched_noise
from helpers.frames.flows import generators
from helpers.frames.grams import angular_gain, stable_rank, unit_columns
from helpers.frames.push_forward import gram
from helpers.networks.activations import Point


def profile(
    model: nn.Module, images: Float[Tensor, "n c h w"], points: Sequence[Point], noises: int, generator: torch.Generator
) -> dict[Point, dict[str, float]]:
    """By point, medians over images, across the activation and for named directions of unit length: `gain`, the
    logarithm of theirs over that of so many vectors of noise with the image's spectrum, and the stable `rank`."""
    named = generators(images)
    k, found = len(named.names), {}
    vectors = torch.cat([named.vectors, matched_noise(images, noises, generator)], dim=1)
    for point, pushed in gram(model, images, vectors, points).items():
        across = angular_gain(pushed).square()
        gain = (across[:, :k].mean(1) / across[:, k:].mean(1)).sqrt().log()
        rank = stable_rank(unit_columns(pushed.part(slice(k))))
        found[point] = {"gain": float(gain.nanmedian()), "rank": float(rank.nanmedian())}
    return found
