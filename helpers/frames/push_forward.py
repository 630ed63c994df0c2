"""Frames pushed through layers: what a network does to named directions at an image.

A frame is k vectors of pixel space at each of n images, (n, k, c, h, w), of unit length (`helpers.frames.directions`); a layer
f maps each to its derivative J v along it. `gram` keeps the inner products that all statistics come from.
Kvinge et al. (2022), Internal representations of vision models through the lens of frames on data manifolds,
arXiv:2211.10558, of which only the abstract was at hand. The statistics (`helpers.frames.grams`) can be had from here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import forward_ad

from helpers.frames.grams import (
    Gram,
    angular_gain,
    cosines,
    effective_rank,
    gain,
    log_volume,
    noise_gain,
    orthonormalised,
    participation_ratio,
    principal_angles,
    radial,
    rate,
    relative_gain,
    sensitivity,
    singular_values,
    stable_rank,
    unit_columns,
)  # fmt: skip
from helpers.networks import activations, evaluation
from helpers.networks.activations import Point
from helpers.networks.numerics import double

__all__ = [
    "Gram", "Validity", "angular_gain", "cosines", "effective_rank", "gain", "gram", "log_volume", "noise_gain",
    "noise_gain_at_output", "orthonormalised", "participation_ratio", "pooled", "principal_angles", "push", "radial",
    "rate", "relative_gain", "sensitivity", "singular_values", "stable_rank", "unit_columns", "validity",
]  # fmt: skip

Images = Float[Tensor, "n c h w"]
Vectors = Float[Tensor, "n k c h w"]
Scalars = Float[Tensor, "n"]

# (vectors, pixels of vectors) at a time: on a CPU about what caches hold, on a GPU what fills it.
CHUNKS = {"cpu": (400, 4_000_000), "cuda": (4096, 100_000_000)}
BLOCK = 8192  # features at a time in float64


def push(
    model: nn.Module,
    images: Images,
    vectors: Vectors,
    points: Sequence[Point],
    *,
    view: Callable[[Point, Tensor], Tensor] | None = None,
    chunk: int | None = None,
) -> dict[Point, Float[Tensor, "n k _"]]:
    """Exact derivatives of each layer along the vectors, (n, k, D) a point, in the images' precision.

    Forward mode; all vectors of a chunk of images go together, and share the pass of the images themselves.

    Args:
        model: in evaluation mode. ReLUs may work in place.
        images: (n, c, h, w), of the network's precision and on its device.
        vectors: (n, k, c, h, w), of any length.
        points: as in `activations.record`; "input" is what the network is given.
        view: `view(point, activation)` stands in for the activation, `pooled` for example.
        chunk: images at a time; by default about what fits the caches (or the GPU's memory).

    Raises:
        ValueError: a network in training mode, shapes or precisions that do not fit, an unknown point.
    """
    found: dict[Point, list[Tensor]] = {point: [] for point in points}
    # A copy, before the network goes on: what comes next may work in place.
    keep = lambda point, activation, tangents: tangents.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    for some, their in _chunks(images, vectors, chunk):
        for point, tangents in _forward(model, some, their, points, keep, view).items():
            found[point].append(tangents)
    return {point: torch.cat(parts) for point, parts in found.items()}


def gram(
    model: nn.Module,
    images: Images,
    vectors: Vectors,
    points: Sequence[Point],
    chunk: int | None = None,
    *,
    view: Callable[[Point, Tensor], Tensor] | None = None,
) -> dict[Point, Gram]:
    """As `push`, reduced to inner products as soon as a layer is reached, summed in float64: a `Gram` a point."""
    found: dict[Point, list[Gram]] = {point: [] for point in points}
    for some, their in _chunks(images, vectors, chunk):
        for point, part in _forward(model, some, their, points, _reduced, view).items():
            found[point].append(part)
    return {point: Gram(*map(torch.cat, zip(*parts))) for point, parts in found.items()}


def pooled(point: Point, activation: Float[Tensor, "n ..."]) -> Float[Tensor, "n D"]:
    """A view for `push` and `gram`: the mean over the positions of a feature map (n, c, h, w), or over tokens (n, t, c).

    Channels-last feature maps, as a Swin transformer has them, are not recognised.
    """
    return activation.mean((2, 3)) if activation.ndim == 4 else activation.mean(1) if activation.ndim == 3 else activation


def noise_gain_at_output(model: nn.Module, images: Images, point: Point, *, chunk: int = 256) -> Scalars:
    """The noise gain in expectation, |J|_F / sqrt(pixels), (n,): exact, from one reverse pass for each output.

    For a point with few outputs, the logits: there 16 draws of noise have an error of a fifth or more. ValueError for
    a network in training mode or an unknown point.
    """
    evaluation.check(model)
    found = []
    for some in images.detach().split(chunk):
        with evaluation.differentiable(), torch.enable_grad():
            x = some.requires_grad_()
            outputs = activations.record(model, x, [point], lambda point, activation: activation.flatten(1))[point]
            total = torch.zeros(len(x), dtype=torch.float64, device=double(x[:0]).device)
            for output in outputs.sum(0):
                (gradient,) = torch.autograd.grad(output, x, retain_graph=True)
                total += double(gradient).square().sum((1, 2, 3))
        found.append((total / math.prod(images.shape[1:])).sqrt())
    return torch.cat(found)


class Validity(NamedTuple):
    """How far a finite change of an image is from its tangent in a layer; each (n, s) for s strengths."""

    cosine: Tensor  # between f(moved) - f(x) and J v
    departure: Tensor  # |f(moved) - f(x) - J v| / |J v|


def validity(
    model: nn.Module,
    images: Images,
    moved: Vectors,
    tangents: Vectors,
    points: Sequence[Point],
    *,
    chunk: int | None = None,
) -> dict[Point, Validity]:
    """Finite differences beside the exact derivative: from which strength on is a tangent none any more?

    In float64, unless strengths are large enough that differences of float32 activations are more than rounding.

    Args:
        moved: (n, s, c, h, w), each image changed by s strengths.
        tangents: (n, s, c, h, w), each strength times the generator: the change to first order, not of unit length.

    Raises:
        ValueError: as `push`; `moved` shaped unlike `tangents`.
    """
    if moved.shape != tangents.shape:
        raise ValueError(f"moved: shape {tuple(moved.shape)}, expected that of tangents, {tuple(tangents.shape)}")
    found: dict[Point, list[Validity]] = {point: [] for point in points}
    for (some, their), (_, changed) in zip(_chunks(images, tangents, chunk), _chunks(images, moved, chunk)):
        with evaluation.differentiable():
            reduce = lambda point, activation: double(activation.flatten(1)).clone()
            there = activations.record(model, changed.flatten(0, 1), points, reduce)

        def compare(point: Point, value: Tensor, along: Tensor, there: dict[Point, Tensor] = there) -> Validity:
            step = there[point].unflatten(0, (len(value), -1)) - double(value)[:, None]
            along = double(along).transpose(0, 1)
            long, expected = (torch.linalg.vector_norm(each, dim=2) for each in (step, along))
            departure = torch.linalg.vector_norm(step - along, dim=2) / expected
            return Validity((step * along).sum(2) / (long * expected), departure)

        for point, part in _forward(model, some, their, points, compare, None).items():
            found[point].append(part)
    return {point: Validity(*map(torch.cat, zip(*parts))) for point, parts in found.items()}


# --- Forward mode ----------------------------------------------------------------------------------------------------


def _chunks(images: Tensor, vectors: Tensor, chunk: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    n, k, *shape = vectors.shape
    if images.shape != (n, *shape) or vectors.dtype != images.dtype or k < 1:
        raise ValueError(
            f"vectors: {tuple(vectors.shape)} {vectors.dtype}, expected (n, k, c, h, w), k at least 1, for images of "
            f"shape {tuple(images.shape)} and {images.dtype}"
        )
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk: {chunk}, expected at least 1 image")
    rows, pixels = CHUNKS.get(images.device.type, CHUNKS["cpu"])
    chunk = chunk or max(1, min(rows // k, pixels // (k * math.prod(shape))))
    return zip(images.split(chunk), vectors.split(chunk))


class _Across(torch.autograd.Function):
    """From within a vmap, hands all vectors at once to a function: use(activation (n, D), tangents (k, n, D))."""

    @staticmethod
    def forward(activation: Tensor, tangent: Tensor, use: Callable[[Tensor, Tensor], None]) -> Tensor:
        use(activation, tangent[None])  # reached only where no vector has a part in the tangent
        return tangent.new_zeros(())

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: Any, activation: Tensor, tangent: Tensor, use: Callable[[Tensor, Tensor], None]) -> Any:
        activation, tangent = (
            each[None] if dim is None else each.movedim(dim, 0) for each, dim in zip((activation, tangent), in_dims)
        )
        use(activation[0], tangent)  # the activation is one and the same for all
        return tangent.new_zeros(()), None


def _forward(
    model: nn.Module, images: Tensor, vectors: Tensor, points: Sequence[Point],
    keep: Callable[[Point, Tensor, Tensor], Any], view: Callable[[Point, Tensor], Tensor] | None,
) -> dict[Point, Any]:  # fmt: skip
    """keep(point, activation (n, D), tangents (k, n, D)) at each point, called while the network is there."""
    evaluation.check(model)
    found: dict[Point, Any] = {}

    def reached(point: Point, activation: Tensor) -> None:
        activation = activation if view is None else view(point, activation)
        value, tangent = forward_ad.unpack_dual(activation.flatten(1))

        def use(value: Tensor, tangents: Tensor) -> None:
            found[point] = keep(point, value, tangents.expand(vectors.shape[1], -1, -1))

        _Across.apply(value, torch.zeros_like(value) if tangent is None else tangent, use)

    def through(x: Tensor) -> Tensor:
        activations.record(model, x, points, reached)
        return x.new_zeros(())

    along = vectors.transpose(0, 1).contiguous()
    with evaluation.differentiable():
        torch.func.vmap(lambda v: torch.func.jvp(through, (images,), (v,)))(along)
    return found


def _reduced(point: Point, activation: Tensor, tangents: Tensor) -> Gram:
    n, k = len(activation), len(tangents)
    gram = double(activation[:0]).new_zeros(n, k, k)
    cross, square = gram.new_zeros(n, k), gram.new_zeros(n)
    for h, t in zip(activation.split(BLOCK, dim=1), tangents.split(BLOCK, dim=2)):
        h, t = double(h), double(t).transpose(0, 1)
        gram += t @ t.mT
        cross += (t @ h[..., None])[..., 0]
        square += h.square().sum(1)
    return Gram(gram, cross, square.sqrt())
