"""What the tests of user models share."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.book import records
from helpers.frames import push_forward
from helpers.networks.fingerprints import fingerprint
from helpers.networks import activations, models, tracing, training, user_code, user_models
from helpers.networks.training import Spec, trained

HERE = Path(__file__).parents[2]
ROW = """
    from torch import nn

    def net(classes, channels, size):
        first = [nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        return nn.Sequential(*first, nn.Flatten(), nn.Linear(size**2, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, classes))
    """


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes a module of the reader's into a folder where Python finds it."""
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def written(text, name="mynets"):
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    forget()
    yield written
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    forget()


def forget():
    """What a new process would not know."""
    sys.modules.pop("mynets", None)
    user_code.imported.cache_clear()


# Its points


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()

    def forward(self, x):
        return x + self.act(self.norm(self.conv(x)))


class Shared(nn.Module):
    """One activation for all."""

    def __init__(self):
        super().__init__()
        self.relu, self.one, self.two, self.fc = nn.ReLU(), nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3), nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(self.relu(self.two(self.relu(self.one(x)))).mean((2, 3)))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.fc = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3), nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(self.two(self.one(x).relu()).relu().mean((2, 3)))


class Wrapped(nn.Module):
    """Everything in one module, and a part that gives no single tensor."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.attention = inner, nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x):
        y = self.inner(x)[:, None]
        return (y + self.attention(y, y, y)[0])[:, 0]


class ResNet(nn.Module):
    """By the name of one of torchvision's, but not it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.layer1, self.linear = nn.Conv2d(1, 4, 3), nn.Sequential(Block(4), Block(4), Block(4)), nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(self.layer1(self.conv1(x).relu()).mean((2, 3)))


def row():
    first = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*first, nn.Linear(36, 9), nn.Dropout(), nn.LayerNorm(9), nn.GELU(), nn.Linear(9, 4))


# Trained and kept

QUICK = {"epochs": 1, "fraction": 0.2, "batch": 64}


def same(a, b):
    return all(torch.equal(a.model.state_dict()[name], tensor) for name, tensor in b.model.state_dict().items())


def files(folder):
    return sorted((folder / "cache" / "networks").glob("*.safetensors"))
