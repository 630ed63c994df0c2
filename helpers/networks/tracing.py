"""The points of networks that do not know their own: torchvision's, and the reader's.

Of torchvision's best known classes the points are listed. In any other network they follow from its form. What only
holds modules in a row is looked into, and so is a module in which more than half of the calls happen; any other module
that has modules of its own is a block, and a point as a whole. Elsewhere a step ends where the next module with
weights begins: after its norm and its activation. Pools are points of their own.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

# What stands in the residual stream, after the activation or the pool, and the head.
_STAGES = r"features\.[0246]|features\.[1357]\.\d+"
POINTS = {
    "ResNet": r"relu|maxpool|layer\d\.\d+|avgpool|fc",
    "ConvNeXt": rf"{_STAGES}|avgpool|classifier",
    "SwinTransformer": rf"{_STAGES}|norm|avgpool|head",
    "VisionTransformer": r"conv_proj|encoder\.layers\.\w+|encoder\.ln|heads",
}
UNSEEN = re.compile(r"Identity|Flatten|Unflatten|\w*Drop\w*")  # in evaluation they change the shape at most


class Call(NamedTuple):
    """One call of a module: PATH, or PATH#2, ... where it is called again.

    `passed` counts the leaves called by its end; `tensor`: it gave one tensor of numbers, with a row an image.
    """

    point: str
    path: str
    leaf: bool
    passed: int
    tensor: bool


@torch.no_grad()
def depths(model: nn.Module, images: Float[Tensor, "n c h w"]) -> dict[str, int]:
    """Points in the order in which one pass of the first two images leaves them, `input` first.

    The number counts the calls, until then, of modules without modules of their own.
    """
    mode = model.training
    calls = _calls(model.eval(), images[:2])
    model.train(mode)
    pattern = POINTS.get(type(model).__name__) if type(model).__module__.startswith("torchvision.") else None
    found = [call for call in calls if re.fullmatch(pattern, call.path)] if pattern else _ends(model, calls)
    return {"input": 0} | {call.point: call.passed for call in found if call.tensor}


def _calls(model: nn.Module, images: Tensor) -> list[Call]:
    """Every call in one pass, in the order in which they end."""
    found: list[Call] = []

    def note(path: str, leaf: bool, output: Any) -> None:
        times = 1 + sum(call.path == path for call in found)
        passed = leaf + sum(call.leaf for call in found)
        numbers = isinstance(output, Tensor) and output.is_floating_point()
        tensor = numbers and output.ndim > 1 and len(output) == len(images)
        found.append(Call(path if times == 1 else f"{path}#{times}", path, leaf, passed, tensor))

    with ExitStack() as hooks:
        for path, module in model.named_modules():
            if path:
                leaf = not any(module.children())
                hook = module.register_forward_hook(lambda _, i, output, path=path, leaf=leaf: note(path, leaf, output))
                hooks.callback(hook.remove)
        model(images)
    return found


def _ends(model: nn.Module, calls: list[Call]) -> list[Call]:
    """The calls with which the steps of an unknown network end."""
    modules = dict(model.named_modules())
    of_leaves = [call.path.split(".") for call in calls if call.leaf]
    inside = Counter(".".join(parts[:k]) for parts in of_leaves for k in range(1, len(parts) + 1))
    parts = set(_parts(model, inside, len(of_leaves) / 2))
    seen = [call for call in calls if call.path in parts and call.tensor]
    seen = [call for call in seen if call is seen[-1] or not UNSEEN.fullmatch(type(modules[call.path]).__name__)]
    goes_on = [call.leaf and after.leaf and _goes_on(modules[after.path]) for call, after in zip(seen, seen[1:])]
    return [call for call, more in zip(seen, [*goes_on, False]) if not more]


def _parts(module: nn.Module, inside: Counter[str], most: float, path: str = "") -> Iterator[str]:
    """The paths of leaves and blocks."""
    for name, child in module.named_children():
        where = f"{path}.{name}" if path else name
        row = type(child).forward in (nn.Sequential.forward, nn.ModuleList.forward, nn.ModuleDict.forward)
        if any(child.children()) and (row or inside[where] > most):
            yield from _parts(child, inside, most, where)
        else:
            yield where


def _goes_on(module: nn.Module) -> bool:
    """Does it belong to the step before it, as a norm or an activation does?"""
    weighs = any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
    kind = type(module).__name__
    return "Norm" in kind or not (weighs or "Pool" in kind)
