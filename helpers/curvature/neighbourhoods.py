"""Neighbourhoods of an image: a ball in a chart of the input, corners of a box of singular values, nearest images."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.curvature.pull_back import Form, second_fundamental_form
from helpers.networks.numerics import double


def ball(q: int, count: int, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Float[Tensor, "K q"]:
    """`count` points (even) uniform in the unit ball of R^q, in antithetic pairs t, -t.

    Pairs make the odd and the even terms of a quadratic fit independent, so that neither leaks into the other.
    """
    if q < 1 or count < 2 or count % 2:
        raise ValueError(f"q, count: {q}, {count}, expected q at least 1 and an even count of at least 2")
    direction = torch.randn(count // 2, q, generator=generator, dtype=dtype)
    length = torch.rand(count // 2, 1, generator=generator, dtype=dtype) ** (1 / q)
    half = length * direction / direction.norm(dim=1, keepdim=True)
    return torch.cat([half, -half])


def pca_chart(images: Float[Tensor, "n C H W"], q: int) -> Float[Tensor, "q D"]:
    """The q leading principal directions of the images, orthonormal: one chart for every image."""
    flat = double(images.flatten(1))
    if not 1 <= q <= min(flat.shape):
        raise ValueError(f"q: {q}, expected 1 to {min(flat.shape)} for images of shape {tuple(images.shape)}")
    return torch.linalg.svd(flat - flat.mean(0), full_matrices=False).Vh[:q].to(images.dtype)


def svd_chart(images: Float[Tensor, "n C H W"], q: int) -> Float[Tensor, "n q D"]:
    """Each image's own q smallest singular directions, the ones that `svd_corners` switches, made unit vectors."""
    if not 1 <= q <= min(images.shape[2:]):
        raise ValueError(f"q: {q}, expected 1 to {min(images.shape[2:])} for images of shape {tuple(images.shape)}")
    u, s, vh = torch.linalg.svd(images, full_matrices=False)
    # A direction that the image lacks (singular value 0) is kept as a direction: hence u v', not s u v'.
    parts = torch.einsum("nchj,ncjw->njchw", u[..., -q:], vh[:, :, -q:])
    return parts.flatten(2) / math.sqrt(images.shape[1])


def smooth_chart(shape: tuple[int, int, int], q: int, generator: torch.Generator) -> Float[Tensor, "q D"]:
    """q random smooth directions (white noise damped as 1/frequency^2), orthonormal: a chart that no data chose."""
    channels, height, width = shape
    if not 1 <= q <= channels * height * width:
        raise ValueError(f"q: {q}, expected 1 to {channels * height * width} for images of shape {shape}")
    frequency = torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.rfftfreq(width)[None] ** 2
    noise = torch.randn(q, *shape, generator=generator, dtype=torch.float64)
    spectrum = torch.fft.rfft2(noise) / (frequency + 1 / (height * width))
    fields = torch.fft.irfft2(spectrum, s=(height, width)).flatten(1)
    return torch.linalg.qr(fields.T).Q.T.float()


def charts(
    images: Float[Tensor, "n C H W"], q: int, generator: torch.Generator
) -> dict[str, Float[Tensor, "q D"] | None]:
    """Charts of q directions by name: `pca` of the images, random and `smooth`; None for `svd`, each image's own."""
    smooth = smooth_chart(tuple(images.shape[1:]), q, generator)
    return {"pca": pca_chart(images, q), "smooth": smooth, "svd": None}


def neighbours(
    images: Float[Tensor, "n C H W"], chart: Float[Tensor, "*n q D"], coordinates: Float[Tensor, "K q"]
) -> Float[Tensor, "n K C H W"]:
    """The images x + t.chart for every image and every coordinate t (input units)."""
    steps = coordinates.to(images) @ chart.to(images)  # (K, D) or (n, K, D)
    return (images.flatten(1)[:, None] + steps).unflatten(2, images.shape[1:])


@dataclass(frozen=True)
class Ball:
    """A small ball around every image: points of a chart of the input, the same for all images.

    Attributes:
        coordinates: (K, q), the points in the chart, spread over the ball.
        radius: eps, input units.
        chart: the q directions (q, D), or (n, q, D) of n images; by default each image's own, those of `svd_chart`.
    """

    coordinates: Float[Tensor, "K q"]
    radius: float
    chart: Float[Tensor, "*n q D"] | None = None

    @classmethod
    def drawn(
        cls, q: int, radius: float, generator: torch.Generator, chart: Float[Tensor, "m D"] | None = None,
        count: int | None = None,
    ) -> "Ball":  # fmt: skip
        """`count` points uniform in the ball along the first q directions of a chart.

        By default at least twice as many as a quadratic form needs, and no fewer than 32.
        """
        points = ball(q, count or max(32, q * (q + 3)), generator)
        return cls(radius * points, radius, None if chart is None else chart[:q])

    def directions(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "*n q D"]:
        """The directions along which these images move."""
        return svd_chart(images, self.coordinates.shape[1]) if self.chart is None else self.chart

    def around(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n K C H W"]:
        """The neighbours of the images."""
        return neighbours(images, self.directions(images), self.coordinates)

    def form(self, displacements: Float[Tensor, "n K D"]) -> Form:
        """`second_fundamental_form` of what a layer makes of the ball."""
        return second_fundamental_form(displacements, self.coordinates, self.radius)


def svd_corners(images: Float[Tensor, "n C H W"], keep: int = 10) -> Float[Tensor, "n K C H W"]:
    """The published neighbourhood: each image without some of its smallest singular values.

    Per channel, the last q = min(rank, keep) retained singular values are switched on and off in all patterns
    but "all on", the same pattern in each channel: K = 2^q - 1 corners of a box that hangs off the image. The
    rank is the smallest in the batch, as published, and what lies beyond it is dropped from every neighbour.

    Raises:
        ValueError: `keep` not in 1..12, or an image without any non-zero pixel.
    """
    if not 1 <= keep <= 12:
        raise ValueError(f"keep: {keep}, expected 1 to 12 (there are 2^keep - 1 neighbours)")
    u, s, vh = torch.linalg.svd(images, full_matrices=False)
    tolerance = s.amax(-1, keepdim=True) * max(images.shape[2:]) * torch.finfo(torch.float32).eps
    rank = int((s > tolerance).sum(-1).min())
    if rank == 0:
        raise ValueError("images: one has a channel of zeros, expected at least one non-zero singular value")
    q = min(rank, keep)
    patterns = torch.arange(2**q - 1, device=images.device)[:, None] >> torch.arange(q, device=images.device) & 1
    kept = torch.cat([patterns.new_ones(2**q - 1, rank - q), patterns], dim=1).to(images.dtype)
    return torch.einsum("ncij,ncj,kj,ncjw->nkciw", u[..., :rank], s[..., :rank], kept, vh[:, :, :rank])


def nearest(points: Float[Tensor, "n D"], count: int) -> Float[Tensor, "n K D"]:
    """Each point's `count` nearest others (n, K, D): the published neighbourhood of the input layer."""
    if not 1 <= count < len(points):
        raise ValueError(f"count: {count}, expected 1 to {len(points) - 1} for {len(points)} points")
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    distance.fill_diagonal_(math.inf)  # a point is not its own neighbour
    return points[distance.topk(count, largest=False).indices]
