"""Finite changes of images: how far a tangent stands in for one, and how many a network's answers withstand."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from helpers.frames.flows import AUGMENTATIONS, Images, apply
from helpers.frames.push_forward import validity
from helpers.networks import augmentation
from helpers.networks.activations import Point
from helpers.networks.numerics import double, stream

STEPS = 10  # of an attack


def followed(
    model: nn.Module, images: Images, names: Sequence[str], strengths: Sequence[float], points: Sequence[Point]
) -> list[dict[str, str | float]]:
    """Cosine between a finite change and its tangent, in float64, median over images.

    One row for each name of an augmentation, point and strength, which is in units of the augmentation's small one.
    """
    model, images, rows = double(deepcopy(model)), double(images), []
    for name in names:
        family = AUGMENTATIONS[name]
        sizes, tangent = [family.small * strength for strength in strengths], family.tangent(images)
        moved = torch.stack([apply(images, name, size) for size in sizes], dim=1)
        along = torch.stack([size * tangent for size in sizes], dim=1)
        for point, found in validity(model, images, moved, along, points).items():
            cosines = found.cosine.nanmedian(0).values.tolist()
            rows += [{"name": name, "point": point, "strength": s, "cosine": c} for s, c in zip(strengths, cosines)]
    return rows


def withstood(
    model: nn.Module, images: Images, labels: Int64[Tensor, "n"], deviation: float | int, radius: float | int, seed: int
) -> dict[str, float]:
    """Accuracy on images as they are (`clean`), and under the changes of `networks.augmentation`, by name.

    Args:
        deviation: of the `noise`, in pixels.
        radius: of the `attack`, L2 in pixels.
        seed: of the changes that are drawn.
    """
    draw = lambda name: stream(seed, "tested", name)
    changed = {
        "clean": images,
        "geometric": augmentation.geometric(images, draw("geometric")),
        "photometric": augmentation.photometric(images, draw("photometric")),
        "noise": augmentation.noise(images, deviation, draw("noise")),
        "attack": augmentation.attack(model, images, labels, radius, STEPS, draw("attack")),
    }
    return {name: float((model(each).argmax(1) == labels).float().mean()) for name, each in changed.items()}
