"""Images sought from their codes: descent on pixels until a layer sees in them what it saw in another image.

A layer's code f(a) of an image a is the target y; from a start a_0, usually noise, an image a_g is sought whose code is
near y. Where a_g is nearer in code than a slightly noisy copy of a, but farther in pixels, the layer has kept little of
the image. Badger (2022), Depth and representation in vision models, arXiv:2211.06496, of which the abstract, the
author's pages and his code were at hand. The relative loss is that of Mahendran & Vedaldi (2015), arXiv:1412.0035.
Codes are compared flattened, by Euclidean distance; so are images.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.linalg import vector_norm

from helpers.depth.optimisers import (
    LITERAL,
    PRIMARY,
    STRONG,
    Inverted,
    Procedure,
    Sought,
    Trace,
    descend,
    log_spaced,
    polish,
)
from helpers.networks import activations, evaluation
from helpers.networks.activations import Point
from helpers.networks.numerics import double

__all__ = [
    "LITERAL", "PRIMARY", "STRONG", "Inverted", "Procedure", "Shift", "equivalent_noise", "inverse_neighbourhood", "invert",
    "measures", "projection", "shifted", "square_root_law", "start",
]  # fmt: skip

Images = Float[Tensor, "n *shape"]
Scalars = Float[Tensor, "n"]
Map = Callable[[Tensor], Tensor]

SIGMAS = torch.logspace(-3, 0, 17, dtype=torch.float64).tolist()  # of pixel noise, pixels being in [0, 1]


def invert(
    model: nn.Module,
    point: Point,
    images: Images,
    start: Images,
    procedure: Procedure = PRIMARY,
    *,
    logged: int = 20,
    target: Float[Tensor, "n ..."] | None = None,
) -> Inverted:
    """Seeks, from the start, images whose code at the point is that of the images; all at once.

    The loss is a sum of losses of single images and nothing couples them. The forward pass stops at the point, weights
    carry no gradient meanwhile, and float32 is not rounded to TF32. An image whose code or gradient is not finite stays
    at its last finite iterate, flagged as diverged.

    Args:
        model: in evaluation mode.
        point: as in `activations.record`.
        images: (n, *shape), the targets, of the network's precision and on its device; repeated for several starts.
        start: as images.
        logged: steps at which distances are kept, about.
        target: (n, ...), codes to seek in place of those of the images, to which `errors` still refer.

    Raises:
        ValueError: a network in training mode; shapes, precisions or values that do not fit; an unknown point.
    """
    _checked(model, images, start)
    if procedure.blur and (images.ndim != 4 or min(images.shape[2:]) < 2):
        raise ValueError(f"images: shape {tuple(images.shape)}, expected (n, c, h, w), h, w at least 2, to be blurred")
    if logged < 2:
        raise ValueError(f"logged: {logged}, expected at least 2: the start and the last step")
    with torch.no_grad(), _exact(model):
        sought = _sought(_coder(model, point), images.detach(), target)
        trace = Trace(images.detach(), start, log_spaced(procedure.steps + procedure.polish, logged))
        finite = descend(sought, start.detach(), procedure, trace)
        if procedure.polish:
            polish(sought, finite, procedure, trace)
        return trace.result(vector_norm(sought.target, dim=1), finite)


def start(images: Images, generator: torch.Generator, mean: float = 0.7, deviation: float = 0.05) -> Images:
    """Normal noise of the images' shape, by default the author's. The (CPU) generator decides on every device."""
    return mean + deviation * _normal(images, generator)


# --- Yardsticks ------------------------------------------------------------------------------------------------------


class Shift(NamedTuple):
    """What pixel noise does to an image and to its code: means over draws of the distances, each (n,)."""

    embedding: Tensor  # |f(a') - f(a)|
    pixels: Tensor  # |a' - a|


def shifted(
    model: nn.Module, point: Point, images: Images, generator: torch.Generator, *,
    deviation: float = 1 / 18, draws: int = 8,
) -> Shift:  # fmt: skip
    """The reference of the epsilon-shift test: a' = a + N(0, deviation^2), unclipped. Raises as `equivalent_noise`."""
    if not 0 < deviation < math.inf:
        raise ValueError(f"deviation: {deviation}, expected a positive number")
    moved, pixels = _shifts(model, point, images, generator, [deviation], draws)
    return Shift(moved[0], pixels * deviation)


def equivalent_noise(
    model: nn.Module, point: Point, images: Images, residual: Scalars, generator: torch.Generator, *, draws: int = 8
) -> Scalars:
    """Standard deviation of the pixel noise that moves the code by the residual on average, (n,).

    Pixels in [0, 1]. The same draws, scaled to 17 deviations from 0.001 to 1: interpolated in logarithms between them,
    in proportion below, as small shifts are, and infinite above. Where more noise moves the code less, the smallest
    counts. Raises ValueError for a network in training mode, an unknown point, or values out of range.
    """
    if not (residual >= 0).all():
        raise ValueError(f"residual: {residual.tolist()}, expected none negative or NaN")
    moved = double(_shifts(model, point, images, generator, SIGMAS, draws)[0]).cummax(dim=0).values.T
    wanted, sigmas = double(residual)[:, None], moved.new_tensor(SIGMAS)
    above = torch.searchsorted(moved.contiguous(), wanted)  # the first deviation that moves the code as far
    upper = above.clamp(1, len(SIGMAS) - 1)
    low, high = moved.gather(1, upper - 1).clamp(min=1e-300), moved.gather(1, upper)
    share = (wanted / low).log() / (high / low).log()
    between = (sigmas[upper - 1].log() * (1 - share) + sigmas[upper].log() * share).exp()
    found = torch.where(above == 0, sigmas[0] * wanted / moved[:, :1], between)
    found = torch.where(above == len(SIGMAS), math.inf, torch.where(wanted == 0, 0.0, found))
    return found[:, 0].to(residual)


def measures(found: Inverted, images: Images, start: Images, shift: Shift) -> dict[str, Scalars]:
    """What the distances of last iterates amount to, in float64; each (n,).

    error: |a_g - a| / |a_0 - a|, 0 for a copy and 1 for nothing gained. residual: m_g / |y|.
    rho_in: |a_g - a| / s and rho_out: m_g / m_r, pixels and code against the `shift` (s, m_r).
    collision: 1 where rho_out < 1 and rho_in > 1, else 0. nonuniqueness: log10(rho_in / rho_out).
    memory: 1 - |a_g - a_0| / |a_0 - a|, 1 for an image that never moved.
    """
    a, begun, ended = (double(each).flatten(1) for each in (images, start, found.images))
    away, error, moved = (vector_norm(each, dim=1) for each in (begun - a, ended - a, ended - begun))
    residual = double(found.residual)
    inner, outer = error / double(shift.pixels), residual / double(shift.embedding)
    return {
        "error": error / away, "residual": residual / double(found.length), "rho_in": inner, "rho_out": outer,
        "collision": ((outer < 1) & (inner > 1)).double(), "nonuniqueness": (inner / outer).log10(),
        "memory": 1 - moved / away,
    }  # fmt: skip


# --- Linear maps -----------------------------------------------------------------------------------------------------


def projection(
    weight: Float[Tensor, "m D"], images: Float[Tensor, "n D"], start: Float[Tensor, "n D"]
) -> Float[Tensor, "n D"]:
    """Where plain gradient descent on the code of a linear map ends, (n, D) in float64: a_0 + P (a - a_0).

    P projects on the row space, which no gradient leaves: P (a - a_0) is the shortest vector of the same code. The
    numerical rank is that of a QR decomposition with pivots, up to a condition of 1 / (max(m, D) eps) in float64.
    Raises ValueError for values that are not finite.
    """
    matrix, away = double(weight).cpu(), (double(images) - double(start)).cpu()
    if not (matrix.isfinite().all() and away.isfinite().all()):
        raise ValueError("weight, images, start: hold NaN or infinite values, expected finite numbers")
    cut = max(matrix.shape) * torch.finfo(torch.float64).eps
    # On the CPU: elsewhere there is no solver for maps of deficient rank.
    shortest = torch.linalg.lstsq(matrix, matrix @ away.T, rcond=cut, driver="gelsy").solution.T
    return double(start) + shortest.to(double(start))


def square_root_law(rank: int, pixels: int) -> float:
    """The expected `error` of that end for a random row space: sqrt(1 - rank / pixels), at least 0."""
    if rank < 0 or pixels < 1:
        raise ValueError(f"rank={rank}, pixels={pixels}: expected at least 0 and at least 1")
    return math.sqrt(max(0.0, 1 - rank / pixels))


def inverse_neighbourhood(
    weights: Sequence[Float[Tensor, "D D"]], deviation: float, draws: int, generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "draws"]:  # fmt: skip
    """Distances in the input between an image and the pre-images of its code plus N(0, deviation^2), (draws,).

    For square linear layers, the first one first, solved one after the other. The map is linear, so that the image does
    not matter; it is grey, 0.5 everywhere. In float32 the pre-image of the rounding drowns that of small noise.
    Raises ValueError for layers that are not square, of one size, and invertible, or values out of range.
    """
    shapes = {tuple(weight.shape) for weight in weights}
    if len(shapes) != 1 or len(set(min(shapes))) != 1 or len(min(shapes)) != 2:
        raise ValueError(f"weights: shapes {sorted(shapes)}, expected at least one, all (D, D)")
    if draws < 1 or not 0 <= deviation < math.inf:
        raise ValueError(f"draws={draws}, deviation={deviation}: expected at least 1 and a number of at least 0")
    matrices = [double(weight).to(dtype) for weight in weights]
    noise = deviation * torch.randn(draws, len(matrices[0]), generator=generator, dtype=torch.float64)
    found = image = torch.full_like(noise.T, 0.5).to(matrices[0])
    for matrix in matrices:
        found = matrix @ found
    found = found + noise.T.to(found)
    try:
        for matrix in reversed(matrices):
            found = torch.linalg.solve(matrix, found)
    except torch.linalg.LinAlgError as error:
        raise ValueError("weights: one of them is singular, expected invertible ones") from error
    return vector_norm(found - image, dim=0)


# --- Codes -----------------------------------------------------------------------------------------------------------


def _checked(model: nn.Module, images: Tensor, *others: Tensor) -> None:
    evaluation.check(model)
    for name, value in zip(("images", "start"), (images, *others)):
        if value.ndim < 2 or not value.numel() or value.shape != images.shape or value.dtype != images.dtype:
            raise ValueError(
                f"{name}: shape {tuple(value.shape)}, {value.dtype}, expected (n, ...), not empty, start as images"
            )
        if not value.isfinite().all():
            raise ValueError(f"{name}: holds NaN or infinite values, expected finite numbers")
    if (weight := next(model.parameters(), images)).dtype != images.dtype:
        raise ValueError(f"images: {images.dtype}, expected the network's precision, {weight.dtype}")


@contextmanager
def _exact(model: nn.Module) -> Iterator[None]:
    """Weights without gradients; float32 that is not rounded to TF32."""
    flags = [(weight, weight.requires_grad) for weight in model.parameters()]
    with evaluation.unrounded():
        try:
            model.requires_grad_(False)
            yield
        finally:
            for weight, flag in flags:
                weight.requires_grad_(flag)


def _coder(model: nn.Module, point: Point) -> Map:
    """Images to their codes at the point, (n, D)."""
    flat = lambda point, activation: activation.flatten(1)
    return lambda x: activations.record(model, x, [point], flat)[point]


def _sought(code: Map, images: Tensor, target: Tensor | None) -> Sought:
    codes = code(images) if target is None else target.detach().flatten(1)
    if target is not None and codes.shape != (expected := (len(images), *code(images[:1]).shape[1:])):
        raise ValueError(f"target: {tuple(target.shape)}, expected {expected} when flattened, as codes at the point")
    if not codes.isfinite().all():
        name = "images: their codes hold" if target is None else "target: holds"
        raise ValueError(f"{name} NaN or infinite values, expected finite numbers")
    length = vector_norm(codes, dim=1)
    return Sought(code, codes, torch.where(length == 0, 1.0, length))


def _normal(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(images.shape, generator=generator, dtype=images.dtype).to(images.device)


@torch.no_grad()
def _shifts(
    model: nn.Module, point: Point, images: Tensor, generator: torch.Generator, sigmas: Sequence[float], draws: int
) -> tuple[Tensor, Tensor]:
    """Mean distances of codes (len(sigmas), n) under the same noise times sigma, and of the noise itself (n,)."""
    _checked(model, images)
    if draws < 1:
        raise ValueError(f"draws: {draws}, expected at least 1")
    with _exact(model):
        code = _coder(model, point)
        here, moved, pixels = code(images), 0, 0
        for _ in range(draws):
            noise = _normal(images, generator)
            pixels = pixels + vector_norm(noise.flatten(1), dim=1) / draws
            there = [vector_norm(code(images + sigma * noise) - here, dim=1) for sigma in sigmas]
            moved = moved + torch.stack(there) / draws
    return moved, pixels
