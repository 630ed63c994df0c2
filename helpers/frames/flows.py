"""Augmentations as flows: one-parameter families of changes of an image, and their generators.

Images are floating-point, in [0, 1], before any normalisation. The families are those of the frames on data manifolds
of Kvinge et al. (2022, arXiv:2211.10558), each written as a group, a_s a_t = a_{s+t}, so that the derivative at
strength 0 says all there is to say about small strengths.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "n c h w"]
Vectors = Float[Tensor, "n k c h w"]

GREY = (0.299, 0.587, 0.114)  # the share of each colour in the grey image, Rec. 601 as torchvision has it


class Named(NamedTuple):
    """Directions with their names: (k,), unit vectors (n, k, c, h, w), and their length before scaling (n, k)."""

    names: tuple[str, ...]
    vectors: Tensor
    norm: Tensor


def unit(vectors: Vectors, scale: Float[Tensor, "n"] | None = None) -> tuple[Vectors, Float[Tensor, "n k"]]:
    """Vectors of length one, and the length they had; what is rounding beside the scale (the image's length) becomes 0."""
    norm = torch.linalg.vector_norm(vectors, dim=(2, 3, 4))
    least = 0 if scale is None else 100 * torch.finfo(vectors.dtype).eps * scale[:, None]
    norm = torch.where(norm <= least, 0, norm)  # NaN stays
    return vectors / torch.where(norm == 0, math.inf, norm)[..., None, None, None], norm


def checked(images: Images) -> Images:
    """The images, if they are finite floating-point numbers; else ValueError."""
    if not images.is_floating_point() or not images.isfinite().all():
        raise ValueError(f"images: {images.dtype}, expected floating-point numbers in [0, 1], none of them NaN")
    return images


class Augmentation(NamedTuple):
    """A one-parameter family a_s of changes of an image, a_0 none, and its derivative by s at 0."""

    unit: str  # of the strength s
    small: float  # a strength that is small for natural images
    tangent: Callable[[Tensor], Tensor]  # (n, c, h, w) -> (n, c, h, w)
    flow: Callable[[Tensor, float], Tensor]


def apply(images: Images, name: str, strength: float | int) -> Images:
    """The augmented images, unclamped, so that they may leave [0, 1]. Differentiable; on the images' device.

    Each family is the flow of its generator, a_s a_t = a_{s+t} (for geometry up to interpolation): zoom, contrast and
    saturation multiply by exp(s), gamma takes the power exp(-s), hue turns colours about the grey axis by s, blur lets
    heat spread for a time s (a Gaussian of variance 2s). Rotation, shifts, zoom and shear look a pixel up at the
    moved place, so that zoom by s > 0 shrinks what is seen; around the image is black. They interpolate with the cubic
    kernel of Keys (1981, IEEE TASSP 29:1153, a = -1/2), which is smooth, and whose slope at a pixel is the central
    difference. (A bilinear warp has a kink at strength 0, and torch's bicubic one a slope of 1.5 on a ramp.)

    Args:
        name: one of `AUGMENTATIONS`; saturation and hue need three channels.
        strength: in the unit that `AUGMENTATIONS` gives.

    Raises:
        ValueError: an unknown name, a strength that is not finite, colours asked of images without.
    """
    if not math.isfinite(strength):
        raise ValueError(f"strength: {strength}, expected a finite number")
    return _augmentation(name, images).flow(checked(images), float(strength))


def generators(images: Images, families: str | Sequence[str] | None = None) -> Named:
    """The derivative of each augmentation at strength 0: exact for `apply`, whose slopes are central differences.

    Image derivatives are (x[i + 1] - x[i - 1]) / 2 and the Laplacian is x[i + 1] - 2 x[i] + x[i - 1] along both axes,
    with black around the image; X and Y have their origin in the centre, X to the right and Y down, in pixels.

    Args:
        families: names from `FAMILIES` or of single augmentations; by default all that the images can have, without
            saturation and hue for grey ones.

    Returns:
        Unit vectors and their length before scaling, per unit of strength, in the order of `AUGMENTATIONS`. A
        direction that an image lacks is 0: contrast of a constant image, saturation and hue of a grey one.

    Raises:
        ValueError: a name that does not exist, or that the images cannot have.
    """
    if families is None:
        names = tuple(name for name in AUGMENTATIONS if images.shape[1] == 3 or name not in COLOUR)
    else:
        families = [families] if isinstance(families, str) else families
        wanted = {name for family in families for name in FAMILIES.get(family, (family,))}
        if images.shape[1] != 3 and not set(families) & set(COLOUR):
            wanted -= set(COLOUR)  # a family is taken as far as the images have it
        unknown = wanted - set(AUGMENTATIONS)
        if unknown or not wanted:
            expected = ", ".join([*FAMILIES, *AUGMENTATIONS])
            raise ValueError(f"families: {', '.join(sorted(unknown)) or 'none'}, expected some of {expected}")
        names = tuple(name for name in AUGMENTATIONS if name in wanted)
    tangents = torch.stack([_augmentation(name, images).tangent(checked(images)) for name in names], dim=1)
    return Named(names, *unit(tangents, torch.linalg.vector_norm(images, dim=(1, 2, 3))))


def _augmentation(name: str, images: Tensor) -> Augmentation:
    if name not in AUGMENTATIONS:
        raise ValueError(f"name: {name!r}, expected one of {', '.join(AUGMENTATIONS)}")
    if name in COLOUR and images.shape[1] != 3:
        raise ValueError(f"name: {name!r} for images of {images.shape[1]} channels, expected 3 (red, green, blue)")
    return AUGMENTATIONS[name]


def _geometric(unit: str, small: float, matrix: list[list[int]]) -> Augmentation:
    """The family that looks up (X, Y) at exp(s matrix) (X, Y, 1), the matrix's last row being 0."""
    generator = torch.tensor([*matrix, [0, 0, 0]], dtype=torch.float64)

    def tangent(images: Tensor) -> Tensor:
        moved = torch.einsum("ij,jhw->ihw", generator.to(images), _coordinates(images))
        padded = F.pad(images, (1, 1, 1, 1))
        right = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
        down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
        return moved[0] * right + moved[1] * down

    def flow(images: Tensor, strength: float) -> Tensor:
        there = torch.linalg.matrix_exp(strength * generator).to(images)
        x, y, _ = torch.einsum("ij,jhw->ihw", there, _coordinates(images))
        return _sampled(images, y + (images.shape[2] - 1) / 2, x + (images.shape[3] - 1) / 2)

    return Augmentation(unit, small, tangent, flow)


def _coordinates(images: Tensor) -> Float[Tensor, "3 h w"]:
    """(X, Y, 1) of every pixel, from the centre of the image."""
    y, x = (torch.arange(size).to(images) - (size - 1) / 2 for size in images.shape[2:])
    return torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x)), torch.ones_like(y[:, None] * x)])


def _sampled(images: Tensor, rows: Float[Tensor, "h w"], columns: Float[Tensor, "h w"]) -> Tensor:
    """The images between their pixels, by cubic convolution over 4 x 4 of them; black beyond the edge."""
    height, width = images.shape[2:]
    out = torch.zeros_like(images)
    for i in range(-1, 3):
        for j in range(-1, 3):
            row, column = rows.floor() + i, columns.floor() + j
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = _keys(rows - row) * _keys(columns - column) * inside
            index = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            out += weight * images.flatten(2)[:, :, index]
    return out


def _keys(distance: Tensor) -> Tensor:
    d = distance.abs()
    near, far = (1.5 * d - 2.5) * d**2 + 1, ((2.5 - 0.5 * d) * d - 4) * d + 2
    return torch.where(d < 1, near, torch.where(d < 2, far, 0))


def _second_difference(size: int, like: Tensor) -> Float[Tensor, "size size"]:
    """x[i + 1] - 2 x[i] + x[i - 1] as a matrix, with 0 beyond the ends."""
    beside = torch.ones(size - 1, dtype=like.dtype, device=like.device)
    return beside.diag(1) + beside.diag(-1) - 2 * torch.eye(size, dtype=like.dtype, device=like.device)


def _laplacian(x: Tensor) -> Tensor:
    rows, columns = (_second_difference(size, x) for size in x.shape[2:])
    return rows @ x + x @ columns


def _heat(x: Tensor, time: float) -> Tensor:
    rows, columns = (torch.linalg.matrix_exp(time * _second_difference(size, x)) for size in x.shape[2:])
    return rows @ x @ columns


def _grey(x: Tensor) -> Float[Tensor, "n 1 h w"]:
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    return torch.einsum("nchw,c->nhw", x, x.new_tensor(GREY))[:, None]


def _mean(x: Tensor) -> Float[Tensor, "n 1 1 1"]:
    return _grey(x).mean((2, 3), keepdim=True)


def _power(x: Tensor, exponent: float) -> Tensor:
    """x to a power where it is positive; what lies below black stays, as at exponent 1."""
    return x.clamp(min=0) ** exponent + x.clamp(max=0)


def _hue(x: Tensor) -> Tensor:
    """The cross product of each colour with the grey axis: exactly 0 where the colour is grey."""
    return (x.roll(1, 1) - x.roll(-1, 1)) / math.sqrt(3)


def _turned_hue(x: Tensor, angle: float) -> Tensor:
    """Rodrigues' rotation about the grey axis."""
    turned = _hue(x)
    return x + math.sin(angle) * turned + (1 - math.cos(angle)) * _hue(turned)


DEGREE = math.pi / 180
AUGMENTATIONS: dict[str, Augmentation] = {
    "rotation": _geometric("radian", DEGREE, [[0, -1, 0], [1, 0, 0]]),
    "shift x": _geometric("pixel", 0.25, [[0, 0, 1], [0, 0, 0]]),
    "shift y": _geometric("pixel", 0.25, [[0, 0, 0], [0, 0, 1]]),
    "zoom": _geometric("logarithm of the scale", 0.01, [[1, 0, 0], [0, 1, 0]]),
    "shear": _geometric("pixel per pixel", 0.01, [[0, 1, 0], [0, 0, 0]]),
    "brightness": Augmentation("pixel value", 0.01, torch.ones_like, lambda x, s: x + s),
    "contrast": Augmentation(
        "logarithm of the factor", 0.02, lambda x: x - _mean(x), lambda x, s: x + math.expm1(s) * (x - _mean(x))
    ),
    "gamma": Augmentation(
        "logarithm of the exponent", 0.02, lambda x: torch.special.entr(x.clamp(min=0)), lambda x, s: _power(x, math.exp(-s))
    ),
    "saturation": Augmentation(
        "logarithm of the factor", 0.02, lambda x: x - _grey(x), lambda x, s: x + math.expm1(s) * (x - _grey(x))
    ),
    "hue": Augmentation("radian", 0.01 * math.tau, _hue, _turned_hue),
    "blur": Augmentation("squared pixel", 0.05, _laplacian, _heat),
}
GEOMETRIC = ("rotation", "shift x", "shift y", "zoom", "shear")
COLOUR = ("saturation", "hue")
PHOTOMETRIC = ("brightness", "contrast", "gamma", *COLOUR)
FAMILIES = {"geometric": GEOMETRIC, "photometric": PHOTOMETRIC, "filter": ("blur",)}
