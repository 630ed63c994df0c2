"""The networks of the papers, and small ones like them; none does anything in place, so that hooks see what was computed.

Each has `depths`: its points in order, with the number of weight layers passed.
"""

from collections import OrderedDict
from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


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
