"""Directions in which an image can vary: augmentations, noise, neighbours, generative models, the loss.

A direction is a vector of pixel space, a tensor shaped like its image; k of them at each of n images are (n, k, c, h, w).
They come with unit Euclidean length, and are zero where there is no such direction (hue at a grey image, say).
Images are floating-point, in [0, 1], before any normalisation: this is the space in which noise is drawn.
The kinds are those that the abstracts of Kvinge et al. (2022, arXiv:2211.10558) name; the list is our own.
"""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.autograd import forward_ad

from helpers.data import stream
from helpers.flows import (
    AUGMENTATIONS, FAMILIES, GEOMETRIC, PHOTOMETRIC, Images, Named, Vectors, apply, checked, generators, unit,
)  # fmt: skip
from helpers.layers import double

__all__ = [
    "AUGMENTATIONS", "FACTORS", "FAMILIES", "GEOMETRIC", "PHOTOMETRIC", "Named", "Shapes", "Vae", "apply", "generators",
    "local_tangents", "loss_gradient", "matched_noise", "shapes", "train_vae", "unit", "white_noise",
]  # fmt: skip

CHUNK = 64  # images at a time where neighbours are gathered


# --- Noise -----------------------------------------------------------------------------------------------------


def white_noise(images: Images, count: int, generator: torch.Generator) -> Vectors:
    """`count` directions uniform on the sphere of pixel space at each image, (n, count, c, h, w).

    The (CPU) generator decides, so that every device gets the same numbers.
    """
    _at_least_one("count", count)
    n, *shape = checked(images).shape
    drawn = torch.randn(n, count, *shape, generator=generator, dtype=images.dtype)
    return unit(drawn.to(images.device))[0]


def matched_noise(images: Images, count: int, generator: torch.Generator, keep_mean: bool = False) -> Vectors:
    """`count` directions with the power spectrum of each image and random phases, (n, count, c, h, w).

    One field of phases is added to those of every channel, so that spectra across channels stay too, and with them how
    colours vary together (Prichard & Theiler 1994, PRL 73:951). The mean of each channel is removed: in most images it
    is most of the energy, and noise that keeps it is little else than brightness; `keep_mean` shows that variant.
    Images of constant channels have no such direction: 0. Randomness as in `white_noise`.
    """
    _at_least_one("count", count)
    n, _, h, w = checked(images).shape
    spectrum = torch.fft.rfft2(images)
    if not keep_mean:
        spectrum[..., 0, 0] = 0
    # The phases of a real field have the symmetry that makes the inverse transform real.
    field = torch.randn(n, count, 1, h, w, generator=generator, dtype=images.dtype).to(images.device)
    noise = torch.fft.irfft2(spectrum[:, None] * torch.fft.rfft2(field).sgn(), s=(h, w))
    return unit(noise, torch.linalg.vector_norm(images, dim=(1, 2, 3)))[0]


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name}: {value}, expected at least 1")


# --- Data, generative models, the loss -------------------------------------------------------------------------


def local_tangents(
    images: Images,
    labels: Int64[Tensor, "n"],
    train_images: Float[Tensor, "train c h w"],
    train_labels: Int64[Tensor, "train"],
    neighbours: int = 40,
    count: int = 10,
) -> Vectors:
    """Leading principal directions of each image's nearest training images of its class, orthonormal, largest first.

    (n, count, c, h, w); the neighbours are taken about their own mean. 0 where they span fewer directions.

    Raises:
        ValueError: `count` not below `neighbours`, a class with fewer training images than `neighbours`.
    """
    if not 1 <= count < neighbours:
        raise ValueError(f"count: {count}, expected 1 to {neighbours - 1} for {neighbours} neighbours")
    there = torch.stack([(train_labels == label).sum() for label in labels.unique()])
    if there.min() < neighbours:
        label = int(labels.unique()[there.argmin()])
        raise ValueError(f"neighbours: {neighbours}, expected at most {int(there.min())}, all there are of class {label}")
    flat, found = train_images.flatten(1), []
    for some, classes in zip(images.flatten(1).split(CHUNK), labels.split(CHUNK)):
        distance = torch.cdist(some, flat).masked_fill(classes[:, None] != train_labels, math.inf)
        near = flat[distance.topk(neighbours, largest=False).indices]
        found.append(_principal(near - near.mean(1, keepdim=True), count))
    return torch.cat(found).unflatten(2, images.shape[1:])


def _principal(rows: Float[Tensor, "n K D"], count: int) -> Float[Tensor, "n count D"]:
    """Leading right singular vectors, by way of the K x K Gram matrix, which is the smaller one."""
    rows, dtype = double(rows), rows.dtype
    values, turn = torch.linalg.eigh(rows @ rows.mT)
    vectors = F.normalize(turn.flip(-1)[..., :count].mT @ rows, dim=2)
    alive = values.flip(-1)[:, :count] > 1e-10 * values[:, -1:]  # a direction of float32 rows below that is rounding
    return (vectors * alive[..., None]).to(dtype)


def loss_gradient(
    model: nn.Module,
    images: Images,
    labels: Int64[Tensor, "n"] | None = None,
    normalise: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "n 1 c h w"]:
    """The direction in which the cross-entropy rises fastest, (n, 1, c, h, w); 0 where the gradient is.

    Args:
        labels: by default what the network itself says.
        normalise: what is done to the images before the network sees them, a data set's `normalise` say.
    """
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        logits = model(x if normalise is None else normalise(x))
        loss = F.cross_entropy(logits, logits.argmax(1) if labels is None else labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
    return unit(gradient[:, None])[0]


class Shapes(NamedTuple):
    """Images (n, 1, size, size), their derivatives by each factor (n, 5, 1, size, size), and the factors (n, 5)."""

    images: Tensor
    jacobian: Tensor
    factors: Tensor


FACTORS = ("x", "y", "angle", "size", "intensity")  # pixels, pixels, radians, pixels, pixel value


def shapes(n: int, size: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Shapes:
    """Images of an ellipse with a soft edge on black, and how they change with its five factors, in closed form.

    x = intensity / (1 + exp(4 q - 4)), q = (u / size)^2 + (2 v / size)^2, u and v along and across the long axis: a
    generator of images whose Jacobian is known exactly. The ellipses lie well within the image.
    """
    _at_least_one("n", n)
    low = torch.tensor([-size / 8, -size / 8, -math.pi / 2, size / 5, 0.5], dtype=dtype)
    high = torch.tensor([size / 8, size / 8, math.pi / 2, size / 3, 1.0], dtype=dtype)
    factors = low + (high - low) * torch.rand(n, len(FACTORS), generator=generator, dtype=dtype)
    x, y, angle, long, intensity = factors.T[..., None, None]
    grid = torch.arange(size, dtype=dtype) - (size - 1) / 2
    x, y = grid - x, grid[:, None] - y
    cos, sin = angle.cos(), angle.sin()
    u, v = cos * x + sin * y, cos * y - sin * x
    q = (u**2 + 4 * v**2) / long**2
    moved = [-2 * (cos * u - 4 * sin * v), -2 * (sin * u + 4 * cos * v), -6 * u * v]
    dq = [*(each / long**2 for each in moved), -2 * q / long]
    inside = torch.sigmoid(4 - 4 * q)
    slope = -4 * intensity * inside * (1 - inside)
    jacobian = torch.stack([*(slope * each for each in dq), inside], dim=1)
    return Shapes((intensity * inside)[:, None], jacobian[:, :, None], factors)


class Vae(nn.Module):
    """A small variational autoencoder (Kingma & Welling 2014): perceptrons of two hidden layers, Gaussian pixels.

    Args:
        shape: of an image, (c, h, w).
        latent: dimensions of the code.
        hidden: units of each hidden layer.
    """

    def __init__(self, shape: tuple[int, int, int], latent: int = 10, hidden: int = 256):
        super().__init__()
        self.shape, self.latent, pixels = tuple(shape), latent, math.prod(shape)
        self.encoder = _perceptron(pixels, hidden, 2 * latent)
        self.decoder = _perceptron(latent, hidden, pixels)

    def encode(self, images: Images) -> tuple[Float[Tensor, "n z"], Float[Tensor, "n z"]]:
        """Mean and logarithm of the variance of each image's code."""
        return self.encoder(images.flatten(1)).chunk(2, dim=1)

    def decode(self, codes: Float[Tensor, "n z"]) -> Images:
        return self.decoder(codes).unflatten(1, self.shape)

    def forward(self, images: Images) -> Images:
        """What the mean codes are decoded to."""
        return self.decode(self.encode(images)[0])

    @torch.no_grad()
    def jacobian(self, images: Images) -> Vectors:
        """Derivative of the decoded image by each number of the code, at the encoded images, (n, latent, c, h, w)."""
        codes, columns = self.encode(images)[0], []
        for axis in torch.eye(self.latent, dtype=codes.dtype, device=codes.device):
            with warnings.catch_warnings(), forward_ad.dual_level():
                warnings.filterwarnings("ignore", ".*torch.jit.script. is deprecated")  # torch's own, at the first one
                decoded = self.decode(forward_ad.make_dual(codes, axis.expand_as(codes)))
                columns.append(forward_ad.unpack_dual(decoded).tangent)
        return torch.stack(columns, dim=1)

    def directions(self, images: Images, count: int) -> Vectors:
        """Left singular vectors of the decoder's Jacobian at the encoded images, orthonormal, largest first.

        (n, count, c, h, w). ValueError for a `count` beyond the dimensions of the code.
        """
        if not 1 <= count <= self.latent:
            raise ValueError(f"count: {count}, expected 1 to {self.latent}, the dimensions of the code")
        return _principal(self.jacobian(images).flatten(2), count).unflatten(2, self.shape)


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs)
    )


def train_vae(images: Images, seed: int, epochs: int, latent: int = 10, noise: float = 0.1) -> Vae:
    """A `Vae` of the images, in evaluation mode, without gradients; Adam at 1e-3, batches of 128, no cache.

    Minimises |x - decoded|^2 / (2 noise^2) + KL(code | standard normal), one sample a code: Gaussian pixels of
    standard deviation `noise`. The same on every run; random numbers come from the CPU.
    """
    checked(images)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream(seed, "vae initialisation").initial_seed())
        vae = Vae(tuple(images.shape[1:]), latent).to(images)
    optimiser, generator = torch.optim.Adam(vae.parameters(), lr=1e-3), stream(seed, "vae")
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), generator=generator).to(images.device).split(128):
            x = images[chosen]
            mean, log_variance = vae.encode(x)
            drawn = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
            error = (vae.decode(mean + drawn * (log_variance / 2).exp()) - x).square().sum() / (2 * noise**2)
            divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
            optimiser.zero_grad()
            ((error + divergence) / len(x)).backward()
            optimiser.step()
    return vae.eval().requires_grad_(False)
