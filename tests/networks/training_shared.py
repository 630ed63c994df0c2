"""What the tests of training share."""

import dataclasses
import math
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.networks import augmentation, cache, fitting, models, numerics, processes, training
from helpers.networks.normalisation import Normalisation
from helpers.networks.training import Spec, trained

QUICK = Spec("mlp2", epochs=2, lr=0.1, fraction=0.3)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path))
    return tmp_path


def same(a, b):
    return all(torch.equal(a.model.state_dict()[name], tensor) for name, tensor in b.model.state_dict().items())


def files(cache):
    return sorted(cache.glob("networks/*.safetensors"))


def train_in_a_process(queue):
    net = trained(QUICK, "cpu")
    queue.put(float(sum(p.double().sum() for p in net.model.parameters())))


FRAMES = Spec("cnn4", "digits20", epochs=15, optimiser="adam", lr=6e-3, weight_decay=1e-4)


@pytest.fixture
def elsewhere(tmp_path):
    """A network trained on three classes of digits, as a file."""
    net = trained(dataclasses.replace(QUICK, classes=3), "cpu", progress=False)
    torch.save(net.model.state_dict(), tmp_path / "net.pth")
    return net, str(tmp_path / "net.pth")
