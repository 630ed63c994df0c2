"""What the tests of searches at layers share: short ones, images, and networks that multiply."""

import pytest
import torch
from torch import nn

from helpers.depth.optimisers import Procedure
from helpers.networks.numerics import stream

SHORT = Procedure(steps=20)


@pytest.fixture(scope="module")
def images():
    return torch.rand(5, 1, 8, 8, generator=stream(0, "images"))


def scaled(factor=1.0):
    """A network that multiplies."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False)).eval()
    nn.init.constant_(net[0].weight, factor)
    return net.requires_grad_(False)
