"""A portrait: what each of the lenses says of every point of one small network, and of closed forms."""

import math

import pytest
import torch
from torch import nn

from helpers import depth, frames, networks, paths
from helpers.networks import models
from helpers.networks.numerics import stream


class Identity(nn.Module):
    """A network whose layers change nothing."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Identity(), nn.Identity()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.out(self.first(x).flatten(1))


def pictures(n=12):
    return torch.rand(n, 1, 8, 8, generator=stream(0, "pictures"))


def test_a_layer_that_changes_nothing_gives_the_image_back():
    found = depth.profile(Identity().eval(), pictures(3), ["input", "first", "out"], 0, depth.Procedure(steps=100))
    assert found["input"] == {"error": 0.0, "nonuniqueness": 0.0}
    assert found["first"]["error"] < 0.05 and abs(found["first"]["nonuniqueness"]) < 0.3


def test_a_layer_that_changes_nothing_treats_directions_as_noise():
    found = frames.profile(Identity().eval(), pictures(4), ["input", "out"], 64, stream(0, "noise"))
    assert found["input"] == found["out"]
    assert abs(found["out"]["gain"]) < 0.35 and found["out"]["rank"] > 1


def test_a_path_that_goes_nowhere_has_steps_of_length_zero():
    images, labels = pictures(40), torch.arange(40) % 4
    target = nn.functional.one_hot(labels).float()
    found = paths.profile(Identity().eval(), images, target, ["input", "first", "out"], paths.AngularCKA("low-bias"))
    assert math.isnan(found["input"]["step"]) and found["out"]["step"] == pytest.approx(0, abs=1e-6)
    assert found["input"]["target"] == pytest.approx(found["out"]["target"])
    alone = paths.profile(Identity().eval(), images, torch.ones(40, 1), ["input", "out"], paths.AngularCKA("low-bias"))
    assert math.isnan(alone["out"]["target"])  # all images have one answer: there is no target


def test_a_network_has_a_value_at_every_point():
    net, images = models.build("cnn4-w4", classes=10).eval().requires_grad_(False), pictures(40)
    names = list(networks.points(net))
    lenses = [
        depth.profile(net, images[:2], names, 0, depth.Procedure(steps=3)),
        frames.profile(net, images[:2], names, 4, stream(0)),
        paths.profile(net, images, nn.functional.one_hot(torch.arange(40) % 4).float(), names, paths.AngularCKA()),
    ]
    for found in lenses:
        assert list(found) == names
        assert all(math.isfinite(v) for p in names[1:] for v in found[p].values())
