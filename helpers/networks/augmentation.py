"""What training does to images besides shifts and mirrors: warps, changes of contrast and brightness, noise, attacks.

Images are floating-point pixels around [0, 1] and are changed in batches on their device, by random numbers of a
generator on any device. Nothing is clamped to [0, 1]: most pixels of a digit are 0, where clamping would undo half of
each change, and with it what training against the change could teach.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

Images = Float[Tensor, "n c h w"]
# Half-widths of the uniform ranges from which each image's changes are drawn.
ROTATION, ZOOM, SHEAR, SHIFT = math.radians(30), 0.15, 0.2, 0.1  # radians, factor, factor, share of the side
CONTRAST, BRIGHTNESS = 0.5, 0.3  # factor, additive


def geometric(images: Images, generator: torch.Generator) -> Images:
    """Each image rotated by up to 30°, zoomed by up to 15 %, sheared by up to 0.2, shifted by up to a tenth of its side.

    About the centre, bilinear, over black; uniform in each of the five.
    """
    n, _, h, w = images.shape
    angle, zoom, shear, x, y = _uniform(5, n, generator, images)
    cos, sin, zoom, shear = (ROTATION * angle).cos(), (ROTATION * angle).sin(), 1 + ZOOM * zoom, SHEAR * shear
    # From places in the new image to places in the old one, both in halves of the side: rotation x shear / zoom, shift.
    linear = torch.stack([cos, (cos * shear - sin) * h / w, sin * w / h, cos + sin * shear]).view(2, 2, n) / zoom
    shift = 2 * SHIFT * torch.stack([x, y])[:, None]
    grid = F.affine_grid(torch.cat([linear, shift], 1).permute(2, 0, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def photometric(images: Images, generator: torch.Generator) -> Images:
    """Each image's contrast about its mean times 0.5 to 1.5, and up to 0.3 added to or taken from all its pixels."""
    contrast, brightness = _uniform(2, len(images), generator, images)[:, :, None, None, None]
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (1 + CONTRAST * contrast) * (images - mean) + BRIGHTNESS * brightness


def noise(images: Images, deviation: float | int, generator: torch.Generator) -> Images:
    """Gaussian noise of this standard deviation on every pixel."""
    return images + deviation * _normal(images, generator)


def attack(
    model: Callable[[Tensor], Tensor], images: Images, labels: Int64[Tensor, "n"], radius: float | int, steps: int,
    generator: torch.Generator,
) -> Images:  # fmt: skip
    """The images moved by up to `radius` (L2) to where the network's cross-entropy is high: PGD of Madry et al. (2018).

    From a random place in the ball, `steps` steps of length 2.5 radius / steps along the normalised gradient, each
    followed by the projection onto the ball. `model` maps such images to logits and should be in evaluation mode.
    """
    if radius < 0 or steps < 1:
        raise ValueError(f"radius={radius}, steps={steps}: expected a radius of at least 0 and at least one step")
    share = torch.rand(len(images), 1, 1, 1, generator=generator, device=generator.device).to(images)
    moved = radius * share ** (1 / images[0].numel()) * _unit(_normal(images, generator))
    for _ in range(steps):
        with torch.enable_grad():
            moved.requires_grad_()
            # The sum: how far one image moves is independent of the others.
            loss = F.cross_entropy(model(images + moved), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + 2.5 * radius / steps * _unit(gradient)
        moved = moved * (radius / _length(moved)).clamp(max=1)
    return images + moved


def _length(vectors: Images) -> Float[Tensor, "n 1 1 1"]:
    """Euclidean lengths, never quite 0."""
    return torch.linalg.vector_norm(vectors, dim=(1, 2, 3), keepdim=True).clamp(min=torch.finfo(vectors.dtype).tiny)


def _unit(vectors: Images) -> Images:
    return vectors / _length(vectors)


def _normal(like: Images, generator: torch.Generator) -> Images:
    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def _uniform(rows: int, n: int, generator: torch.Generator, like: Images) -> Float[Tensor, "rows n"]:
    """Numbers between -1 and 1."""
    return 2 * torch.rand(rows, n, generator=generator, device=generator.device).to(like) - 1
