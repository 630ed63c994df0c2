"""What the tests of jacobians share."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from torch import nn
from torchvision import models as zoo  # after helpers, which makes it importable without CUDA

from helpers.depth import jacobians
from helpers.depth.jacobians import Spectrum, spectrum, split
from helpers.networks import activations, datasets, models
from helpers.networks.normalisation import normalised
from helpers.networks.numerics import stream

SHAPE, PIXELS = (2, 3, 4), 24


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "normal", *shape), dtype=torch.float64)


def rotation(size, seed=0):
    return torch.from_numpy(ortho_group.rvs(size, random_state=seed))


def linear(*matrices):
    """A network of linear layers 1, 2, ..., float64."""
    maps = [nn.Linear(matrix.shape[1], matrix.shape[0], dtype=torch.float64) for matrix in matrices]
    for layer, matrix in zip(maps, matrices):
        layer.weight = nn.Parameter(matrix)
    return nn.Sequential(nn.Flatten(), *maps).eval()


def known(values, outputs, seed=0):
    """A matrix (outputs, PIXELS) of these singular values, and its right singular vectors in rows."""
    right = rotation(PIXELS, seed)[: len(values)]
    return rotation(outputs, seed + 1)[:, : len(values)] * values @ right, right


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, check_dtype=False)


def network(build, seed=0):
    torch.manual_seed(seed)
    return build().eval()


def cnn(activation=nn.ReLU, wide=6):
    return nn.Sequential(
        nn.Conv2d(2, wide, 3, padding=1), nn.BatchNorm2d(wide), activation(), nn.MaxPool2d(2),
        nn.Conv2d(wide, 5, (1, 2)), activation(), nn.Flatten(), nn.Linear(5, 4),
    )  # fmt: skip


# --- What a layer sees of an error


def planted():
    """Values strong, weak, dead, none: 8, 6, 3 directions and 7 without a singular value."""
    values = torch.cat([torch.full((8,), 1.0), torch.full((6,), 0.01), torch.full((3,), 1e-9)]).double()
    matrix, right = known(values, 17)
    return spectrum(linear(matrix), "1", normal(2, *SHAPE)), rotation(PIXELS)[17:], right
