"""Networks by name, and the ordered points along their depth.

A name is FAMILY and DEPTH, then optionally a width and GELU in place of ReLU: `resnet14`, `vgg8-w32`, `mlp4-gelu`; or
one of torchvision's, `torchvision:resnet50` (see `pretrained`); or PACKAGE.MODULE:FUNCTION for the reader's own,
`mynets:tiny` (see `custom`).

- `resnet8`, `resnet14`, `resnet20`, ... (6n + 2): the CIFAR form of He et al. (2016): three stages of width 16, 32,
  64 and shortcuts without parameters (every second pixel, new channels zero). `plain8`, ...: without shortcuts.
- `resnet18`, `resnet50`, `resnet101`: the ImageNet form with a 3 x 3 stem, four stages from width 64.
- `vgg11`, `vgg13`, `vgg16`, `vgg19`: Simonyan & Zisserman (2015) with batch norm and a single linear layer after the
  convolutions; `vgg8` is a small one from width 16. They pool while there is more than one pixel to pool.
- `cnn4`: four 3 x 3 convolutions from width 16 with biases and without batch norm, average pooling, a linear layer.
- `mlp1`, `mlp2`, ...: that many hidden layers of width 128.

Each of ours has `depths`: its points in order, with the number of weight layers passed, counted as Ansuini et al.
(2019) and Kaufman & Azencot (2023) do: a block adds its convolutions, the one in the shortcut included; average
pooling and the linear layer add one each; in a VGG the linear layer has the number of convolutions plus two.
"""

import difflib
import re
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.networks import pretrained, tracing, user_models
from helpers.networks.architectures import CNN, MLP, VGG, ResNet
from helpers.networks.numerics import stream
from helpers.networks.pretrained import normalisation as normalisation

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
STAGES = {8: (1, 2, 2), 11: (1, 1, 2, 2, 2), 13: (2,) * 5, 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
KNOWN = [
    *(f"resnet{depth}" for depth in sorted({*range(8, 57, 6), *BLOCKS})),
    *(f"plain{depth}" for depth in range(8, 57, 6)),
    *(f"vgg{depth}" for depth in STAGES),
    "cnn4",
    *(f"mlp{depth}" for depth in range(1, 9)),
]


class Name(NamedTuple):
    """A network's name, taken apart; the width is that of the first stage (of every hidden layer in an MLP)."""

    family: str
    depth: int
    width: int
    gelu: bool


def parse(name: str) -> Name:
    """The parts of the name of one of our own networks. ValueError with the nearest names if there is no such one."""
    match = re.fullmatch(r"(resnet|plain|vgg|cnn|mlp)(\d+)(?:-w([1-9]\d*))?(-gelu)?", name)
    if match is None or match[1] + match[2] not in KNOWN:
        near = difflib.get_close_matches(name, KNOWN, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"expected one of {', '.join(KNOWN)}"
        raise ValueError(f"model={name!r}: no such network; {hint}")
    family, depth = match[1], int(match[2])
    return Name(family, depth, int(match[3] or _usual_width(family, depth)), match[4] is not None)


def _usual_width(family: str, depth: int) -> int:
    """The width of a network whose name does not say it."""
    usual = {"mlp": 128, "vgg8": 16, "vgg": 64, "resnet18": 64, "resnet50": 64, "resnet101": 64}
    return usual.get(f"{family}{depth}") or usual.get(family, 16)


def named(family: str, depth: int, width: int) -> str:
    """The name of a network of ours, without a width that is the usual one. ValueError if there is no such one."""
    name = f"{family}{depth}" + (f"-w{width}" if width != _usual_width(family, depth) else "")
    parse(name)
    return name


def check(name: str) -> None:
    """ValueError with the nearest names if there is no such network, of our own, of torchvision's or the reader's."""
    if user_models.is_one(name):
        user_models.check(name)
    else:
        pretrained.check(name) if name.startswith(pretrained.PREFIX) else parse(name)


def build(name: str, *, classes: int, channels: int = 1, size: int = 8, seed: int = 0) -> nn.Module:
    """A network with torch's default initialisation (others have theirs), from its own random stream, in training mode.

    It maps (n, channels, size, size) to (n, classes), and remembers its `name`. Raises ValueError for a name that
    `check` refuses, for images that a network of torchvision cannot take, and what `user_models.build` does.
    """
    check(name)
    with torch.random.fork_rng(devices=[]):  # torch initialises from its global generator, which is left as it was
        torch.default_generator.manual_seed(stream(seed, "initialisation").initial_seed())
        ours = pretrained.build if name.startswith(pretrained.PREFIX) else _own
        model = (user_models.build if user_models.is_one(name) else ours)(name, classes, channels, size)
    model.name = name
    return model


def _own(name: str, classes: int, channels: int, size: int) -> nn.Module:
    family, depth, width, gelu = parse(name)
    activation = nn.GELU if gelu else nn.ReLU
    if family == "mlp":
        return MLP(channels * size**2, [width] * depth, classes, activation)
    if family == "cnn":
        return CNN(channels, width, classes, activation)
    if family == "vgg":
        return VGG(channels, size, STAGES[depth], width, classes, activation)
    if family == "resnet" and depth in BLOCKS:
        return ResNet(channels, BLOCKS[depth], width, classes, activation, "project", bottleneck=depth > 18)
    shortcut = "pad" if family == "resnet" else None
    return ResNet(channels, (depth // 6,) * 3, width, classes, activation, shortcut)


def points(model: nn.Module, images: Float[Tensor, "n c h w"] | None = None) -> dict[str, float]:
    """The points of a network in order, `input` first, with their relative depth in [0, 1].

    A network with a dictionary `depths`, as those that `build` makes of our own and of the reader's, knows its points;
    others are run on two of the images to find them (`tracing.depths`), and it is a ValueError if there is none.
    """
    depths = getattr(model, "depths", None)
    if not isinstance(depths, dict):
        if images is None:
            raise ValueError(f"images=None: expected images to find the points of a {type(model).__name__} with")
        depths = tracing.depths(model, images)
    total = max(depths.values())
    return {point: depth / total for point, depth in depths.items()}


