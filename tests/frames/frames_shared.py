"""What the tests of push forward share."""

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group
from torch import nn
from torchvision import models as zoo  # after helpers, which makes it importable without CUDA

from helpers.frames import directions, push_forward
from helpers.frames.push_forward import Gram, gram, push
from helpers.networks import activations, datasets
from helpers.networks.numerics import stream

SEEDS = st.integers(0, 2**31 - 1)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "normal", *shape), dtype=torch.float64)


def seeded(build, seed=0):
    torch.manual_seed(seed)
    return build().double().eval()


def cnn(activation=nn.ReLU, bias=True, pool=nn.MaxPool2d):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=bias), activation(), pool(2), nn.Conv2d(8, 12, 3, bias=bias),
        activation(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5, bias=bias),
    )  # fmt: skip


POINTS = ["input", "1", "2", "4", "5", "7"]


@pytest.fixture(scope="module")
def small():
    """A network, images, and a frame of 6 unit vectors of each."""
    return seeded(cnn), normal(5, 1, 10, 10), directions.unit(normal(5, 6, 1, 10, 10))[0]


def of(vectors, activation=None):
    """The Gram of pushed vectors (n, k, D)."""
    h = torch.ones_like(vectors[:, 0]) if activation is None else activation
    return Gram(vectors @ vectors.mT, (vectors @ h[..., None])[..., 0], h.norm(dim=1))


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


# --- Exact derivatives


def central(model, images, vectors, points, step):
    """Central differences, (n, k, D) a point."""
    ends = [activations.record(model, (images[:, None] + s * vectors).flatten(0, 1), points) for s in (step, -step)]
    return {p: ((ends[0][p] - ends[1][p]) / (2 * step)).reshape(*vectors.shape[:2], -1) for p in points}


NETWORKS = {
    "resnet18": (lambda: zoo.resnet18(num_classes=10), 48, ["relu", "maxpool", "layer1.1", "layer3.0", "layer4.1", "fc"]),
    "vit_b_16": (
        lambda: zoo.vit_b_16(image_size=32, num_classes=10), 32,
        ["conv_proj", "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_11", "encoder.ln"],
    ),
}  # fmt: skip


ARCHITECTURES = {
    "resnet18": (32, ["input", "relu", "maxpool", "layer1.0", "layer4.1", "avgpool", "fc"]),
    "resnet50": (32, ["relu", "layer1.0", "layer4.2", "fc"]),
    "convnext_tiny": (32, ["features.0", "features.1.0", "features.7.2", "avgpool", "classifier"]),
    "swin_t": (32, ["features.0", "features.1.1", "features.7.1", "norm", "avgpool", "head"]),
    "vit_b_16": (32, ["conv_proj", "encoder.layers.encoder_layer_5", "encoder.ln", "heads"]),
}


class WithoutMean(nn.Module):
    def forward(self, x):
        return x - x.mean((1, 2, 3), keepdim=True)


class Polynomial(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, x):
        return x**self.power


def shift_over_noise(activation, band, amplitude=1.0, n=16):
    """Gain of the exact horizontal shift over that of noise, through circular convolution, activation, and pooling."""
    conv = lambda: nn.Conv2d(1, 6, 3, padding=1, padding_mode="circular", bias=False)
    model = seeded(lambda: nn.Sequential(conv(), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    frequency = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    inside = (frequency.abs() <= band)[:, None] & (frequency.abs() <= band)
    spectrum = torch.fft.fft2(normal(4, 1, n, n)) * inside
    images, shift = (torch.fft.ifft2(each).real for each in (spectrum, spectrum * 2j * math.pi / n * frequency))
    scale = amplitude / images.flatten(1).std(dim=1)[:, None, None, None]
    images, shift = images * scale, directions.unit((shift * scale)[:, None])[0]
    found = gram(model, images, shift, ["3"])["3"]
    return float(push_forward.relative_gain(found, push_forward.noise_gain_at_output(model, images, "3")).max())


def disc(n):
    """Coordinates in [-1, 1] of the pixels of an n x n image, and their radius."""
    x = (torch.arange(n, dtype=torch.float64) + 0.5) * 2 / n - 1
    return x.expand(n, n), x[:, None].expand(n, n), (x**2 + x[:, None] ** 2).sqrt()


def rings(n, readout=8):
    """A network of four radial features, exactly rotation invariant but for the grid it lives on."""
    _, _, r = disc(n)
    filters = torch.stack([torch.exp(-((r - c) ** 2) / (2 * 0.1**2)) for c in (0, 0.2, 0.4, 0.6)])
    model = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(n * n, 4, bias=False), nn.Linear(4, readout), nn.Tanh()))
    with torch.no_grad():
        model[1].weight.copy_(filters.flatten(1) / filters.flatten(1).norm(dim=1, keepdim=True))
    return model


def blobs(n, width=0.13):
    """Three Gaussians inside the disc, and the derivative of their picture by a turn, in closed form."""
    x, y, _ = disc(n)
    image, turn = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)
    for a, b in ((0.4, 0.1), (-0.2, 0.35), (-0.15, -0.45)):
        one = torch.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * width**2))
        image, turn = image + one, turn + one * (b * x - a * y) / width**2
    return image[None, None], turn[None, None, None]


def rotation_over_noise(n, analytic=True):
    image, turn = blobs(n)
    turn = turn if analytic else directions.generators(image, ["rotation"]).vectors
    model = rings(n)
    found = gram(model, image, directions.unit(turn)[0], ["3"])["3"]
    return float(push_forward.relative_gain(found, push_forward.noise_gain_at_output(model, image, "3")))


class FourTurns(nn.Module):
    """The mean of a network's answers to an image turned by 0, 90, 180 and 270 degrees."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return sum(self.model(x.rot90(turns, (2, 3))) for turns in range(4)) / 4


class Whole(nn.Module):
    """A network whose output is a point."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


class Permuted(nn.Module):
    def forward(self, x):
        return x.flip(1).roll(7, 1)


def jacobian(model, images, point):
    """(n, D, pixels), one vector of the standard basis at a time."""
    basis = torch.eye(images[0].numel(), dtype=images.dtype).unflatten(1, images.shape[1:])
    return push(model, images, basis.expand(len(images), *basis.shape), [point])[point].mT


# --- Planted effects


class Contracting(nn.Module):
    """Multiplies the part of an image in the span of a family (k, pixels) by a factor."""

    def __init__(self, family, factor):
        super().__init__()
        self.basis, self.factor = torch.linalg.qr(family.T).Q, factor

    def forward(self, x):
        x = x.flatten(1)
        return x + (self.factor - 1) * (x @ self.basis) @ self.basis.T


RANKS = (push_forward.stable_rank, push_forward.participation_ratio, push_forward.effective_rank)
