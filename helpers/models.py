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
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from helpers import custom, pretrained, steps
from helpers.data import stream
from helpers.pretrained import normalisation as normalisation

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
STAGES = {8: (1, 2, 2), 11: (1, 1, 2, 2, 2), 13: (2,) * 5, 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
KNOWN = [
    *(f"resnet{depth}" for depth in sorted({*range(8, 57, 6), *BLOCKS})),
    *(f"plain{depth}" for depth in range(8, 57, 6)),
    *(f"vgg{depth}" for depth in STAGES),
    "cnn4",
    *(f"mlp{depth}" for depth in range(1, 9)),
]
Activation = Callable[[], nn.Module]


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
    usual = {"mlp": 128, "vgg8": 16, "vgg": 64, "resnet18": 64, "resnet50": 64, "resnet101": 64}
    width = match[3] or usual.get(match[1] + match[2]) or usual.get(family, 16)
    return Name(family, depth, int(width), match[4] is not None)


def check(name: str) -> None:
    """ValueError with the nearest names if there is no such network, of our own, of torchvision's or the reader's."""
    if custom.is_one(name):
        custom.check(name)
    else:
        pretrained.check(name) if name.startswith(pretrained.PREFIX) else parse(name)


def build(name: str, *, classes: int, channels: int = 1, size: int = 8, seed: int = 0) -> nn.Module:
    """A network with torch's default initialisation (others have theirs), from its own random stream, in training mode.

    It maps (n, channels, size, size) to (n, classes), and remembers its `name`. Raises ValueError for a name that
    `check` refuses, for images that a network of torchvision cannot take, and what `custom.build` does.
    """
    check(name)
    with torch.random.fork_rng(devices=[]):  # torch initialises from its global generator, which is left as it was
        torch.default_generator.manual_seed(stream(seed, "initialisation").initial_seed())
        ours = pretrained.build if name.startswith(pretrained.PREFIX) else _own
        model = (custom.build if custom.is_one(name) else ours)(name, classes, channels, size)
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
    others are run on two of the images to find them (`steps.depths`), and it is a ValueError if there is none.
    """
    depths = getattr(model, "depths", None)
    if not isinstance(depths, dict):
        if images is None:
            raise ValueError(f"images=None: expected images to find the points of a {type(model).__name__} with")
        depths = steps.depths(model, images)
    total = max(depths.values())
    return {point: depth / total for point, depth in depths.items()}


def load_weights(model: nn.Module, weights: str) -> nn.Module:
    """The network with these weights, in place: a file, or torchvision's own by name; `none` leaves it as it is.

    Raises what `pretrained.read` does, and ValueError for weights that do not fit.
    """
    return model if weights == "none" else pretrained.load(model, pretrained.read(weights, model.name), weights)


class MLP(nn.Sequential):
    """Hidden layers `fc1`, `act1`, ..., then `linear`."""

    def __init__(self, inputs: int, widths: list[int], classes: int, activation: Activation):
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for k, (a, b) in enumerate(zip([inputs, *widths], widths), start=1):
            layers |= {f"fc{k}": nn.Linear(a, b), f"act{k}": activation()}
        super().__init__(layers | {"linear": nn.Linear(widths[-1], classes)})
        self.depths = {"input": 0, **{f"act{k + 1}": k + 1 for k in range(len(widths))}, "linear": len(widths) + 1}


class CNN(nn.Sequential):
    """`conv1`, `act1`, ..., `act4`: the second and third convolution halve the side; `avgpool`, `linear`.

    The width doubles at the second and at the third convolution.
    """

    def __init__(self, channels: int, width: int, classes: int, activation: Activation):
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        widths = [channels, width, 2 * width, 4 * width, 4 * width]
        for k, stride in enumerate((1, 2, 2, 1), start=1):
            convolution = nn.Conv2d(widths[k - 1], widths[k], 3, stride, padding=1)
            layers |= {f"conv{k}": convolution, f"act{k}": activation()}
        head = {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "linear": nn.Linear(widths[-1], classes)}
        super().__init__(layers | head)
        self.depths = {"input": 0, **{f"act{k}": k for k in range(1, 5)}, "avgpool": 5, "linear": 6}


class VGG(nn.Sequential):
    """`stage1`, `stage2`, ...: 3 x 3 convolutions with batch norm, a pool unless one pixel is left; then `linear`."""

    def __init__(
        self, channels: int, size: int, stages: tuple[int, ...], width: int, classes: int, activation: Activation
    ):
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        depths, passed = {"input": 0}, 0
        for k, convolutions in enumerate(stages, start=1):
            stage, outputs = nn.Sequential(), width * min(2 ** (k - 1), 8)
            for _ in range(convolutions):
                stage.extend([nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), activation()])
                channels = outputs
            if size > 1:
                stage.append(nn.MaxPool2d(2))
                size //= 2
            layers[f"stage{k}"] = stage
            depths[f"stage{k}"] = passed = passed + convolutions
        super().__init__(layers | {"flatten": nn.Flatten(), "linear": nn.Linear(channels * size**2, classes)})
        self.depths = depths | {"linear": passed + 2}


class ResNet(nn.Module):
    """A 3 x 3 stem, stages `layer1`, `layer2`, ... of residual blocks, `avgpool`, `linear`.

    Each stage but the first halves the side and doubles the width.
    """

    def __init__(
        self, channels: int, blocks: tuple[int, ...], width: int, classes: int, activation: Activation,
        shortcut: str | None, bottleneck: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.conv1, self.bn1, self.act1 = _conv(channels, width, 3), nn.BatchNorm2d(width), activation()
        self.depths, passed, inputs = {"input": 0}, 1, width
        for stage, count in enumerate(blocks, start=1):
            self.add_module(f"layer{stage}", nn.Sequential())
            for k in range(count):
                inner, stride = width * 2 ** (stage - 1), 2 if k == 0 and stage > 1 else 1
                widths = [inputs, inner, inner, 4 * inner] if bottleneck else [inputs, inner, inner]
                block = Block(widths, stride, activation, shortcut)
                getattr(self, f"layer{stage}").append(block)
                passed += sum(isinstance(module, nn.Conv2d) for module in block.modules())
                self.depths[f"layer{stage}.{k}"], inputs = passed, widths[-1]
        self.stages = len(blocks)
        self.avgpool, self.linear = nn.AdaptiveAvgPool2d(1), nn.Linear(inputs, classes)
        self.depths |= {"avgpool": passed + 1, "linear": passed + 2}

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        x = self.act1(self.bn1(self.conv1(images)))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.linear(self.avgpool(x).flatten(1))


class Block(nn.Module):
    """3 x 3, 3 x 3 or 1 x 1, 3 x 3, 1 x 1 convolutions with batch norm; the shortcut joins before the last activation.

    The shortcut is `pad` (option A of He et al.: no parameters), `project` (a 1 x 1 convolution where the shape
    changes), or None for a plain network.
    """

    def __init__(self, widths: list[int], stride: int, activation: Activation, shortcut: str | None):
        super().__init__()
        kernels = (3, 3) if len(widths) == 3 else (1, 3, 1)
        for k, kernel in enumerate(kernels, start=1):
            # The first 3 x 3 convolution takes the stride.
            step = stride if k == kernels.index(3) + 1 else 1
            self.add_module(f"conv{k}", _conv(widths[k - 1], widths[k], kernel, step))
            self.add_module(f"bn{k}", nn.BatchNorm2d(widths[k]))
            self.add_module(f"act{k}", activation())
        self.convolutions = len(kernels)
        self.shortcut = _shortcut(shortcut, widths[0], widths[-1], stride) if shortcut else None

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        y = x
        for k in range(1, self.convolutions + 1):
            if k > 1:
                y = getattr(self, f"act{k - 1}")(y)
            y = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(y))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return getattr(self, f"act{self.convolutions}")(y)


class Pad(nn.Module):
    """Every second pixel, and channels of zeros on both sides."""

    def __init__(self, stride: int, channels: int):
        super().__init__()
        self.stride, self.channels = stride, channels

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        before = self.channels // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.channels - before))


def _shortcut(kind: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    if (inputs, stride) == (outputs, 1):
        return nn.Identity()
    if kind == "pad":
        return Pad(stride, outputs - inputs)
    return nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
