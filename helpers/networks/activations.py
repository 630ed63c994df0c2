"""Activations at named points of a network.

A point is a module's path, meaning its output; `PATH:in` is its (first) input; `PATH#k` its k-th call, counted from 1,
where a module is called more than once; `input` is the images as the network's first layer is given them, after a
normalisation that the network carries. Networks whose activations are recorded must not overwrite them: those of
`helpers.networks.models` have no in-place operations.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Point = str
Reduce = Callable[[Point, Tensor], Any]

POINT = re.compile(r"(?P<path>[^:#]+)(?P<input>:in)?(#(?P<call>[1-9]\d*))?")


class _Done(Exception):
    """Everything asked for has been seen: the rest of the forward pass is not needed."""


def record(
    model: nn.Module, images: Shaped[Tensor, "n ..."], points: Sequence[Point], reduce: Reduce | None = None
) -> dict[Point, Any]:
    """What one forward pass leaves at the points, in the order asked for.

    `reduce(point, activation)` is called as soon as the activation exists, and only its result is kept; gradients flow
    through it as far as the caller has them switched on. Without it the activation itself is kept, detached.
    The pass stops at the last point. Raises ValueError for a point the network has not, or the pass does not reach.
    """
    wanted = {point: _parsed(model, point) for point in points}
    keep = reduce or (lambda point, activation: activation.detach())
    found: dict[Point, Any] = {}

    def saw(point: Point, activation: Tensor) -> None:
        found[point] = keep(point, activation)
        if len(found) == len(wanted):
            raise _Done

    with ExitStack() as hooks, torch.set_grad_enabled(torch.is_grad_enabled() and reduce is not None):
        for point, (module, of_input, call) in wanted.items():
            hooks.callback(_hook(module, of_input, call, lambda a, point=point: saw(point, a)).remove)
        try:
            if wanted:
                model(images)
        except _Done:
            pass
    for point in wanted:
        if point not in found:
            raise ValueError(f"points: the forward pass does not reach {point!r}: that module, or call, is not used")
    return {point: found[point] for point in wanted}


@torch.no_grad()
def collect(
    model: nn.Module,
    images: Shaped[Tensor, "n ..."],
    points: Sequence[Point],
    reduce: Reduce | None = None,
    batch: int = 256,
) -> dict[Point, Tensor]:
    """`record` over batches of images, concatenated along the first axis; no gradients."""
    parts = [record(model, part, points, reduce) for part in images.split(batch)]
    return {point: torch.cat([part[point] for part in parts]) for point in points}


@torch.no_grad()
def order(model: nn.Module, images: Shaped[Tensor, "n ..."]) -> list[Point]:
    """Every module without modules of its own, in the order in which one pass of the images calls them."""
    called: list[Point] = []
    calls: dict[str, int] = {}

    def note(name: str) -> None:
        calls[name] = calls.get(name, 0) + 1
        called.append(name if calls[name] == 1 else f"{name}#{calls[name]}")

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if name and not any(module.children()):
                hooks.callback(module.register_forward_hook(lambda *_, name=name: note(name)).remove)
        model(images)
    return called


def flat(activation: Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "n D"]:
    """One row of numbers an image."""
    return activation.flatten(1)


def varying(model: nn.Module, images: Shaped[Tensor, "n ..."], points: Sequence[Point]) -> list[Point]:
    """Those of the points where images differ. At the others, such as a last layer of zeros, nothing can be measured."""
    differ = record(model, images, points, lambda point, activation: bool((activation != activation[:1]).any()))
    return [point for point in points if differ[point]]


def _parsed(model: nn.Module, point: Point) -> tuple[nn.Module, bool, int]:
    """(module, whether its input is meant, which call)."""
    if point == "input":
        return model, True, 1
    modules = dict(model.named_modules())
    match = POINT.fullmatch(point)
    if match is None or match["path"] not in modules:
        near = difflib.get_close_matches(point, ["input", *filter(None, modules)], n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        expected = "expected MODULE, MODULE:in, MODULE#2 or input"
        raise ValueError(f"points: {point!r} is no point of this network; {expected}{hint}")
    return modules[match["path"]], match["input"] is not None, int(match["call"] or 1)


def _hook(module: nn.Module, of_input: bool, call: int, saw: Callable[[Tensor], None]) -> RemovableHandle:
    """Calls `saw` with the output (or input) of the module at its k-th call within one pass, and only then."""
    calls = 0

    def count(activation: Tensor) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            saw(activation)

    if of_input:
        return module.register_forward_pre_hook(lambda module, inputs: count(inputs[0]))
    return module.register_forward_hook(lambda module, inputs, output: count(output))
