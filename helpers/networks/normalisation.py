"""Networks that take pixels: each carries the normalisation of the images it has learned from.

It is a hook before the first layer, so that modules and points keep their names and the weights theirs. Its constants
are numbers, no tensors: in whatever precision and on whatever device the images come, they are those of the data set.
"""

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float, Shaped
from torch import Tensor, nn


class Normalisation(NamedTuple):
    """Mean and standard deviation of each channel of images in [0, 1]; as a hook, applied to a network's images."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, module: nn.Module, inputs: tuple) -> tuple:
        images, *others = inputs
        return self.of(images), *others

    def of(self, images: Shaped[Tensor, "*n c h w"]) -> Float[Tensor, "*n c h w"]:
        """(x - mean) / std; uint8 images become float32, floating ones are in [0, 1] and keep their precision."""
        images = images if images.is_floating_point() else images / 255
        mean, std = (images.new_tensor(constant)[:, None, None] for constant in self)
        return (images - mean) / std


def normalised(model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """The network itself, which from now on takes images (n, c, h, w) in [0, 1], or of uint8, and normalises them.

    Its point `input` is the normalised image. Raises ValueError for a network that normalises already, and for
    constants that are not as many means as positive standard deviations.
    """
    if _hooks(model):
        raise ValueError("model: it normalises its images already; expected one that does not, as `bare` gives")
    found = Normalisation(tuple(map(float, mean)), tuple(map(float, std)))
    if not len(found.mean) == len(found.std) > 0 or not all(map(math.isfinite, found.mean)) or not min(found.std) > 0:
        raise ValueError(f"mean={mean}, std={std}: expected a number and a positive number for each channel")
    model.register_forward_pre_hook(found)
    return model


def bare(model: nn.Module) -> nn.Module:
    """A copy of the network without its normalisation, for images that are normalised already."""
    model = copy.deepcopy(model)
    for key in _hooks(model):
        del model._forward_pre_hooks[key]
    return model


def _hooks(model: nn.Module) -> list[int]:
    """The keys of the network's own normalisation: one, or none."""
    return [key for key, hook in model._forward_pre_hooks.items() if isinstance(hook, Normalisation)]
