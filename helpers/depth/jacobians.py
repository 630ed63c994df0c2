"""Singular values of a layer's Jacobian at an image, and what of an error the layer sees.

A layer f has at an image the Jacobian J of its flattened code by the image's D pixels, here exact and in float64. Its
right singular vectors are directions of pixel space and its singular values say how far the code moves along them; an
error along a direction of value zero is lost (the layer is not invertible), along a small one nearly so (it is badly
conditioned). Badger (2022), Depth and representation in vision models, arXiv:2211.06496, explains with these two what
deep layers lose; the measures of spectra are standard ones.
"""

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from helpers.networks import activations, evaluation
from helpers.networks.activations import Point
from helpers.networks.numerics import double

Images = Float[Tensor, "n *shape"]
Values = Float[Tensor, "n r"]
Scalars = Float[Tensor, "n"]
Map = Callable[[Tensor], Tensor]

# (images times vectors, numbers of the Jacobians) at a time: what fits a laptop's memory, or a GPU's.
SIZES = {"cpu": (512, 32_000_000), "cuda": (3072, 400_000_000)}


class Spectrum(NamedTuple):
    """Jacobians at n images by their singular value decompositions, float64; r = min(units, pixels)."""

    values: Tensor  # (n, r), singular values, largest first
    directions: Tensor  # (n, r, D), right singular vectors, of unit length
    pixels: int  # D, the numbers of an image


class Split(NamedTuple):
    """Shares of an error's squared length by what the layer does to it, each (n,); their sum is 1."""

    null: Tensor
    weak: Tensor
    strong: Tensor


def spectrum(model: nn.Module, point: Point, images: Images, *, chunk: int | None = None) -> Spectrum:
    """The singular values and right singular vectors of d f(x) / d x at each image, from the exact Jacobian.

    A copy of the network works in float64, on the images' device (on the CPU for MPS). The Jacobian comes in forward
    mode from D passes, or in reverse mode from as many as the layer has units where these are fewer, all of them
    batched; a tall one is reduced by QR. No Gram matrix is formed, which would square the condition number: values are
    right to about 1e-15 of the largest. Memory is units x pixels x 8 bytes an image, 400 MB for 16,384 units of CIFAR.

    Args:
        model: in evaluation mode.
        point: as in `activations.record`; "input" is what the network is given.
        images: (n, ...), in the units that the spectrum is to have, [0, 1] for example.
        chunk: images at a time; by default what fits the memory.

    Raises:
        ValueError: a network in training mode, an unknown point, images that are not finite or none, a chunk below 1,
            a derivative that is not finite.
    """
    _checked(model, images)
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk: {chunk}, expected at least 1 image")
    images = double(images.detach())
    code = _code(model, point, images.device)
    with evaluation.differentiable():
        units, pixels = code(images[:1]).shape[1], images[0].numel()
        rows, numbers = SIZES.get(images.device.type, SIZES["cpu"])
        chunk = chunk or max(1, min(rows, numbers // (units * pixels)))
        parts = [_decomposed(_jacobian(code, some, units, rows)) for some in images.split(chunk)]
    return Spectrum(*map(torch.cat, zip(*parts)), pixels)


def rank(values: Values, tolerance: float = 1e-6) -> Int64[Tensor, "n"]:
    """How many singular values are above `tolerance` of the largest, (n,); 0 for a map that is zero."""
    return _alive(values, tolerance).sum(1)


def participation_ratio(values: Values) -> Scalars:
    """(sum s^2)^2 / sum s^4, (n,): how many directions share the energy, 1 to r; NaN for a map that is zero."""
    energy = _shares(values)
    return 1 / energy.square().sum(1)


def dimension(values: Values, share: float = 0.99) -> Int64[Tensor, "n"]:
    """The fewest directions that hold this share of the energy sum s^2, (n,); 0 for a map that is zero.

    Raises ValueError for a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: {share}, expected above 0 and at most 1")
    held = _shares(values).cumsum(1)
    # The rest beyond d directions is what counts: with all of them it is rounding, not zero.
    missing = (held < share - 1e-15 * values.shape[1]).sum(1) + 1
    return torch.where(values[:, 0] > 0, missing, 0)


def condition(values: Values) -> Scalars:
    """Largest over smallest singular value, (n,); inf where the smallest is rounding (r eps of the largest) or zero.

    It is that of the map onto its r outputs: a layer of fewer units than pixels has lost D - r directions besides.
    """
    largest, smallest = values[:, 0], values[:, -1]
    singular = smallest <= values.shape[1] * torch.finfo(values.dtype).eps * largest
    return torch.where(singular, math.inf, largest / smallest)


def noise_gain(spectrum: Spectrum) -> Scalars:
    """|J|_F / sqrt(D), (n,): the length of J u, root mean square over directions u of unit length."""
    return torch.linalg.vector_norm(spectrum.values, dim=1) / math.sqrt(spectrum.pixels)


def split(
    spectrum: Spectrum, difference: Float[Tensor, "n *shape"], *, tolerance: float = 1e-6, weak: float = 0.1
) -> Split:
    """The shares of |d|^2 that a layer cannot see, hardly sees, and sees, to first order.

    null: outside the row space, along directions without a singular value or with one of at most `tolerance` of the
    largest. weak: along those whose value is below `weak` times the noise gain. strong: the rest. Each is NaN where the
    difference is zero.

    Raises ValueError for a difference of another size than the images, or with numbers that are not finite.
    """
    n, r, pixels = spectrum.directions.shape
    if difference.shape[0] != n or difference[0].numel() != pixels:
        raise ValueError(f"difference: shape {tuple(difference.shape)}, expected {n} images of {pixels} numbers")
    if not difference.isfinite().all():
        raise ValueError("difference: it has numbers that are not finite")
    d = double(difference).flatten(1).to(spectrum.directions.device)
    along = (spectrum.directions @ d[..., None])[..., 0]
    beyond = d - (along[:, None] @ spectrum.directions)[:, 0]
    alive = _alive(spectrum.values, tolerance)
    faint = alive & (spectrum.values < weak * noise_gain(spectrum)[:, None])
    energy = along.square()
    null = torch.where(alive, 0, energy).sum(1)
    if r < pixels:
        null = null + beyond.square().sum(1)
    parts = torch.stack([null, torch.where(faint, energy, 0).sum(1), torch.where(alive & ~faint, energy, 0).sum(1)])
    return Split(*(parts / parts.sum(0)))


def input_gradient(model: nn.Module, point: Point, images: Images, start: Float[Tensor, "m *other"]) -> Scalars:
    """Mean over the pixels of |d/dx sum |f(x) - f(image)|| at the start, (n,), in float64.

    How strongly a descent from the start towards an image is driven (Badger 2022). Raises ValueError as `spectrum`, and
    for starts of another shape than the images.
    """
    _checked(model, images)
    if start.shape != images.shape or not start.isfinite().all():
        raise ValueError(f"start: shape {tuple(start.shape)}, expected finite images of shape {tuple(images.shape)}")
    images, start = double(images.detach()), double(start.detach())
    code = _code(model, point, images.device)
    found = []
    for target, x in zip(images.split(256), start.split(256)):
        with torch.no_grad():
            wanted = code(target)
        with torch.enable_grad():
            x = x.requires_grad_()
            (gradient,) = torch.autograd.grad((code(x) - wanted).abs().sum(), x)
        found.append(gradient.abs().flatten(1).mean(1))
    return torch.cat(found)


# --- Jacobians -------------------------------------------------------------------------------------------------------


def _checked(model: nn.Module, images: Tensor) -> None:
    evaluation.check(model)
    if not len(images) or not images.isfinite().all():
        raise ValueError(f"images: shape {tuple(images.shape)}, expected at least one image, of finite numbers")


def _code(model: nn.Module, point: Point, device: torch.device) -> Map:
    """The flattened code (n, M) of images in float64."""
    model = copy.deepcopy(model).requires_grad_(False).to(device, torch.float64)
    flat = lambda point, activation: activation.flatten(1)
    return lambda x: activations.record(model, x, [point], flat)[point]


def _jacobian(code: Map, images: Tensor, units: int, rows: int) -> Float[Tensor, "n M D"]:
    n, pixels = len(images), images[0].numel()
    found = images.new_empty(n, units, pixels)
    block = max(1, rows // n)
    basis = torch.eye(min(units, pixels), dtype=images.dtype, device=images.device).split(block)
    if pixels <= units:
        push = lambda v: torch.func.jvp(code, (images,), (v.view(images.shape[1:]).expand_as(images),))[1]
        for part, columns in zip(basis, found.split(block, dim=2)):
            columns.copy_(torch.func.vmap(push)(part).permute(1, 2, 0))
        return found
    with torch.enable_grad():
        _, pull = torch.func.vjp(code, images)
    for part, lines in zip(basis, found.split(block, dim=1)):
        back = torch.func.vmap(lambda u: pull(u.expand(n, -1))[0])(part)
        lines.copy_(back.flatten(2).transpose(0, 1))
    return found


def _decomposed(jacobian: Float[Tensor, "n M D"]) -> tuple[Tensor, Tensor]:
    """Singular values (n, r) and right singular vectors (n, r, D)."""
    if not jacobian.isfinite().all():
        raise ValueError("model: its derivative has numbers that are not finite")
    if jacobian.shape[1] > jacobian.shape[2]:
        jacobian = torch.linalg.qr(jacobian, mode="r").R
    _, values, directions = torch.linalg.svd(jacobian, full_matrices=False)
    return values, directions


def _alive(values: Tensor, tolerance: float) -> Tensor:
    return values > tolerance * values[:, :1]


def _shares(values: Tensor) -> Tensor:
    """Shares of the energy, (n, r); NaN for a map that is zero."""
    energy = (values / values[:, :1]).square()
    return energy / energy.sum(1, keepdim=True)
