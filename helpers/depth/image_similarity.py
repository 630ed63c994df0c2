"""How like images are, in pairs and in sets: structure, edges, spectra, kernel distances, nearest neighbours.

Images are (n, c, h, w) with pixels in [0, 1]; all is computed in float64, and on the device of the images (on the CPU
for MPS).
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from helpers.networks.numerics import double

Images = Float[Tensor, "n c h w"]
Others = Float[Tensor, "m d i j"]  # of the same shape, which is checked
Scalars = Float[Tensor, "n"]

TAPS, SIGMA = 11, 1.5  # of the window of SSIM
STABILITY = (0.01**2, 0.03**2)  # its constants, for pixels in [0, 1]
ROUNDING = 1e-9  # variation below this, relative to the image, is none
ROWS = 512  # of a table of distances at a time


def ssim(a: Images, b: Others) -> Scalars:
    """Structural similarity of each pair of images, (n,): 1 for equal ones, about 0 for unrelated ones.

    Wang, Bovik, Sheikh & Simoncelli (2004): a Gaussian window of sigma 1.5 and 11 taps, cut to the image's side where
    that is smaller, at the positions where it lies inside; pixels in [0, 1]; the mean over positions and channels. For
    constant images it compares their brightness alone. Raises ValueError for shapes that differ or numbers that are
    not finite.
    """
    a, b = _pairs(a, b)
    mean_a, mean_b, aa, bb, ab = (_windowed(each) for each in (a, b, a * a, b * b, a * b))
    variance = aa - mean_a**2 + bb - mean_b**2
    bright, structure = STABILITY
    luminance = (2 * mean_a * mean_b + bright) / (mean_a**2 + mean_b**2 + bright)
    return (luminance * (2 * (ab - mean_a * mean_b) + structure) / (variance + structure)).mean((1, 2, 3))


def edge_correlation(a: Images, b: Others) -> Scalars:
    """Pearson correlation of the Sobel magnitudes of each pair of images, over inner pixels and channels, (n,).

    Brightness and contrast do not change it, nor does inverting an image. 0 where edges of either are the same all
    over, as in a constant image. Raises ValueError as `ssim`, and for sides below 3.
    """
    a, b = _pairs(a, b)
    if min(a.shape[2:]) < 3:
        raise ValueError(f"a: images of {a.shape[2]} x {a.shape[3]} pixels, expected at least 3 x 3")
    return (_unit_edges(a) * _unit_edges(b)).sum(1)


def low_pass(images: Images, sigma: float) -> Images:
    """The images under a Gaussian of this standard deviation in pixels, reflected at the borders (not repeating them).

    It reaches 4 sigma far, in the images' precision; sigma 0 leaves them as they are. Raises ValueError for a sigma
    below 0 or numbers that are not finite.
    """
    _finite("images", images)
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma: {sigma}, expected 0 or more pixels")
    down, across = (_blur(side, sigma).to(images) for side in images.shape[2:])
    return down @ images @ across.T


def spectral_slope(images: Images) -> Scalars:
    """Slope of log power against log radial frequency, (n,): 0 for white noise, about -2 for photographs (Field 1987).

    Power without a window, averaged over rings one cycle an image wide (of the longer side), from the first to below
    the Nyquist frequency, so without the mean and the corners. Rings count by their number of frequencies, and the log
    of a ring's mean is freed of its bias for Gaussian images. The mean over the channels; NaN for an image with a
    constant channel. Raises ValueError for sides below 5 or numbers that are not finite.
    """
    _finite("images", images)
    if min(images.shape[2:]) < 5:
        raise ValueError(f"images: {images.shape[2]} x {images.shape[3]} pixels, expected at least 5 x 5")
    images = double(images)
    h, w = images.shape[2:]
    frequency = torch.hypot(*torch.meshgrid(torch.fft.fftfreq(h), torch.fft.fftfreq(w), indexing="ij")).double()
    inside = (frequency > 0) & (frequency < 1 / 2 - 1e-6)
    _, ring, count = (frequency[inside] * max(h, w)).round().unique(return_inverse=True, return_counts=True)
    member = F.one_hot(ring).double() / count
    position, independent = frequency[inside].log() @ member, count / 2  # a frequency and its negative are one
    bias = independent.digamma() - independent.log()
    position = position - (position * count).sum() / count.sum()
    slope = position * count / (position.square() * count).sum()
    member, slope, bias = (each.to(images.device) for each in (member, slope, bias))
    power = torch.fft.fft2(images).abs().square()
    total, power = power.sum((2, 3)), power[..., inside.to(images.device)]
    power = torch.where((power.sum(2) > ROUNDING**2 * total)[..., None], power @ member, math.nan)
    # A ring without power would be minus infinity: what rounding leaves in one.
    return ((power.clamp(min=1e-30 * total[..., None]).log() - bias) @ slope).mean(1)


def mmd(x: Float[Tensor, "n *d"], y: Float[Tensor, "m *e"]) -> Float[Tensor, ""]:
    """Unbiased squared maximum mean discrepancy of two samples: 0 in expectation for equal distributions.

    Gaussian kernel exp(-|x - y|^2 / 2 s^2), s the median distance in the pooled sample (Gretton et al. 2012, eq. 3 and
    section 8). x (n, d) and y (m, d), or images, whose numbers count as one row; (n + m)^2 distances are held. Raises
    ValueError for fewer than two of either, shapes that do not fit, numbers that are not finite, or a median distance
    of zero.
    """
    _samples(x, y, 2, 2)
    n, m = len(x), len(y)
    pooled = torch.cat([double(x), double(y)]).flatten(1)
    pooled = pooled - pooled.mean(0)
    distance = torch.cdist(pooled, pooled)
    pairs = torch.triu_indices(n + m, n + m, offset=1, device=pooled.device)
    median = distance[pairs[0], pairs[1]].median()
    if median <= 1e-7 * pooled.norm(dim=1).max():
        raise ValueError("x, y: half of the pairs of the pooled sample coincide; expected a median distance above 0")
    kernel = (-(distance / median).square() / 2).exp().fill_diagonal_(0)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return within - 2 * kernel[:n, n:].mean()


def off_manifold(
    images: Images, others: Float[Tensor, "m d i j"], parts: Mapping[str, slice], sigma: float = 1.0
) -> dict[str, float]:
    """By part of the images, `mmd` to the others, both under a Gaussian of sigma pixels, which leaves out detail."""
    smooth, manifold = (low_pass(each, sigma).flatten(1) for each in (images, others))
    return {part: float(mmd(smooth[rows], manifold)) for part, rows in parts.items()}


def nearest(
    x: Float[Tensor, "n *d"], y: Float[Tensor, "m *e"], exclude: Int64[Tensor, "k"] | None = None
) -> Scalars:
    """Euclidean distance of each x to the nearest y, (n,); x (n, d) and y (m, d), or images.

    `exclude` (n,) is the number of one y for each x that does not count, the target itself for example. Raises
    ValueError where no y is left, for shapes that do not fit, numbers that y has not, or values that are not finite.
    """
    _samples(x, y, 1, 1 if exclude is None else 2)
    if exclude is not None and not (len(exclude) == len(x) and 0 <= exclude.min() and exclude.max() < len(y)):
        raise ValueError(f"exclude: {exclude.tolist()}, expected {len(x)} numbers from 0 to {len(y) - 1}")
    x, y = double(x).flatten(1), double(y).flatten(1)
    found = []
    for k, some in enumerate(x.split(ROWS)):
        distance = torch.cdist(some, y)
        if exclude is not None:
            distance.scatter_(1, exclude[k * ROWS :][: len(some), None].to(y.device), math.inf)
        # Again from the difference: the table comes from products, which cancel where points are close.
        found.append((some - y[distance.argmin(1)]).norm(dim=1))
    return torch.cat(found)


def _finite(name: str, values: Tensor) -> None:
    if not values.isfinite().all():
        raise ValueError(f"{name}: shape {tuple(values.shape)}, expected finite numbers")


def _pairs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.shape != b.shape:
        raise ValueError(f"b: shape {tuple(b.shape)}, expected that of a, {tuple(a.shape)}")
    _finite("a", a), _finite("b", b)
    return double(a), double(b)


def _samples(x: Tensor, y: Tensor, of_x: int, of_y: int) -> None:
    for name, sample, least in (("x", x, of_x), ("y", y, of_y)):
        _finite(name, sample)
        if len(sample) < least or sample.shape[1:] != x.shape[1:]:
            shape = tuple(x.shape[1:])
            raise ValueError(f"{name}: shape {tuple(sample.shape)}, expected at least {least} samples of shape {shape}")


def _gaussian(offsets: Tensor, sigma: float) -> Tensor:
    weights = (-offsets.double().square() / (2 * sigma**2)).exp()
    return weights / weights.sum()


def _windowed(images: Tensor) -> Tensor:
    """Weighted means under the window of SSIM, at its positions inside the images."""
    flat = images.flatten(0, 1)[:, None]
    for axis, side in enumerate(images.shape[2:]):
        taps = min(TAPS, side)
        window = _gaussian(torch.arange(taps) - (taps - 1) / 2, SIGMA).to(images)
        flat = F.conv2d(flat, window.view(1, 1, *((-1, 1) if axis == 0 else (1, -1))))
    return flat[:, 0].unflatten(0, images.shape[:2])


def _unit_edges(images: Tensor) -> Tensor:
    """Sobel magnitudes less their mean, of length one; zero where they are the same all over."""
    kernel = images.new_tensor([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    gradients = F.conv2d(images.flatten(0, 1)[:, None], torch.stack([kernel, kernel.T])[:, None])
    magnitude = gradients.norm(dim=1).unflatten(0, images.shape[:2]).flatten(1)
    centred = magnitude - magnitude.mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    varied = length > ROUNDING * images.flatten(1).norm(dim=1, keepdim=True)
    return torch.where(varied, centred / length, 0)


def _blur(side: int, sigma: float) -> Float[Tensor, "side side"]:
    """The matrix of the Gaussian along one axis, for any reach, however small the image."""
    if sigma == 0 or side == 1:
        return torch.eye(side, dtype=torch.float64)
    reach = math.ceil(4 * sigma)
    offsets = torch.arange(-reach, reach + 1)
    # Reflected as often as it takes: places repeat with period 2 (side - 1).
    places = (torch.arange(side)[:, None] + offsets) % (2 * side - 2)
    places = torch.minimum(places, 2 * side - 2 - places)
    weights = _gaussian(offsets, sigma).expand(side, -1)
    return torch.zeros(side, side, dtype=torch.float64).scatter_add(1, places, weights)
