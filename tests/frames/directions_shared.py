"""What the tests of directions share."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.frames import directions
from helpers.frames.directions import AUGMENTATIONS, FAMILIES, GEOMETRIC, apply, generators
from helpers.networks import datasets
from helpers.networks.numerics import stream

SEEDS = st.integers(0, 2**31 - 1)
FLOWS = sorted(AUGMENTATIONS)


def coloured(n=3, h=12, w=9, seed=0):
    return torch.rand(n, 3, h, w, generator=stream(seed, "coloured"), dtype=torch.float64)


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits20")


@pytest.fixture(scope="module")
def vae(digits):
    return directions.train_vae(digits.train_images / 255, seed=0, epochs=15)


def flat(vectors):
    return vectors.flatten(2)


def raw(named):
    return named.vectors * named.norm[..., None, None, None]
