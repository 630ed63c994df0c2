"""Layers: where to look, searches with known ends, gratings, several starts, and judges that are known."""

import math

import numpy as np
import pytest
import torch
from searches_shared import SHORT, images, scaled  # noqa: F401
from torch import nn

from helpers import depth, networks
from helpers.depth import layers
from helpers.depth.inversion import invert
from helpers.depth.optimisers import Procedure
from helpers.networks.numerics import stream


@pytest.mark.parametrize(("name", "expected"), [
    ("resnet8", ["conv1", "layer1.0", "layer2.0", "layer3.0", "avgpool", "linear"]),
    ("mlp3", ["act1", "act2", "act3", "linear"]),
    ("cnn4", ["conv1", "act1", "act2", "act3", "act4", "avgpool", "linear"]),
])  # fmt: skip
def test_stages_begin_with_the_first_convolution_if_there_is_one(name, expected, images):
    assert layers.stages(networks.build(name, classes=10).eval(), images) == expected


def test_stages_lie_where_their_names_say():
    found = layers.ranges(["conv1", "layer1.0", "layer2.0", "layer3.0", "avgpool", "linear"])
    assert found["all"][:-1] == found["order"] and found["order"][1:] == found["body"]
    assert found["stem"] == ["conv1"] and found["logits"] == ["linear"] and found["last"] == ["layer3.0"]
    assert found["first"] == ["layer1.0"] and found["early"] == ["layer1.0", "layer2.0"] and found["middle"] == ["layer2.0", "layer3.0"]
    assert found["deep"] == ["layer3.0", "avgpool"]
    short = layers.ranges(["act1", "linear"])
    assert short["body"] == short["order"] == short["last"] == ["act1"] and short["middle"] == []


@pytest.mark.parametrize(("name", "expected"), [
    ("resnet8", ["conv", "stage 1", "stage 2", "stage 3", "pooled", "logits"]),
    ("mlp3", ["act1", "act2", "act3", "logits"]),
])  # fmt: skip
def test_stages_have_names_for_an_axis(name, expected, images):
    net = networks.build(name, classes=10).eval()
    points = layers.stages(net, images)
    assert layers.names({name: net}, {name: points}) == dict(zip(points, expected))


def test_points_stand_once_where_the_first_convolution_is_one(images):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3)).eval()
    net.depths = {"input": 0, "0": 1, "2": 2}
    assert layers.stages(net, images) == ["0", "2"]


def test_a_search_begins_at_the_noise_of_its_seed(images):
    found, begin = layers.seek(scaled(), "0", images, SHORT, 3)
    assert torch.equal(begin, depth.start(images, stream(3, "start")))
    expected = invert(scaled(), "0", images, begin, SHORT)
    assert torch.equal(found.images, expected.images)
    length = lambda away: away.flatten(1).norm(dim=1)
    torch.testing.assert_close(found.relative_error, length(found.images - images) / length(begin - images))


def test_a_copy_is_like_the_image_in_every_way(images):
    found, begin = layers.seek(scaled(), "0", images, SHORT, 0)
    values = layers.likeness(scaled(), "0", images, found._replace(images=images, residual=torch.zeros(5)), begin, 0)
    for name, value in {"error": 0, "distance": 0, "ssim": 1, "edges": 1, "collision": 0}.items():
        torch.testing.assert_close(values[name].double(), torch.full((5,), value).double())


def test_a_judge_agrees_on_copies_and_on_what_it_cannot_tell(images):
    bright = lambda x: torch.stack([x.flatten(1).mean(1), 1 - x.flatten(1).mean(1)], dim=1)
    same = layers.agreement(bright, images, images, stream(0, "copies"))
    assert same["agreement"].all() and same["copies"].all()  # copies as far away as nothing
    assert not layers.agreement(bright, 1 - images, images, stream(0, "copies"))["agreement"].any()


def test_code_and_image_approach_together_through_a_scaling(images):
    found, _ = layers.seek(scaled(7.0), "0", images, SHORT, 0)
    assert layers.approach(found) == pytest.approx(1, abs=1e-3)
    still = found._replace(errors=torch.ones_like(found.errors))
    assert layers.approach(still) == pytest.approx(0, abs=1e-9)


def test_the_way_of_a_search_has_its_first_picture_and_every_image_among_collisions(images):
    found, begin = layers.seek(scaled(), "0", images, SHORT, 0)
    way = layers.way(found, layers.likeness(scaled(), "0", images, found, begin, 0))
    assert len(way["codes"]) == len(way["pixels"]) == len(found.steps)
    assert np.shape(way["picture"]) == (1, 8, 8) and len(way["rho_in"]) == len(way["rho_out"]) == 5
    assert way["error"] == pytest.approx(float(found.relative_error[0]), rel=1e-5)


def test_medians_of_measures_and_means_of_shares():
    values = {"error": torch.tensor([1.0, 2.0, 9.0, math.nan]), "collision": torch.tensor([0.0, 0.0, 1.0, 1.0])}
    assert layers.summary(values) == {"error": 2, "collision": 0.5}
    assert layers.summary(values, slice(0, 2)) == {"error": 1, "collision": 0}


def test_what_a_scaling_sees(images):
    found, begin = layers.seek(scaled(3.0), "0", images, SHORT, 0)
    seen = layers.seen(scaled(3.0), "0", images, found, begin, 0, 2)
    assert seen["rank"] == seen["participation"] == pytest.approx([64, 64])
    assert seen["dimension"] == [64, 64] and seen["spectrum"] == [1] * 64
    assert (seen["null"], seen["weak"], seen["strong"]) == pytest.approx((0, 0, 1))
    assert seen["gradient"] == pytest.approx(3)
    sizes = images[:2].double().abs().flatten(1).sum(1)
    assert seen["relative gradient"] == pytest.approx(float((1 / sizes).median()), rel=1e-5)


def test_the_best_constant_is_the_one_with_the_nearest_codes(images):
    plain = Procedure(step="plain", rate=(0.01, 0.01), steps=30)
    assert layers.best_constant(scaled(), "0", images, plain, [1e-6, 1.0, 90.0], 0) == 1.0


def test_operations_end_with_the_first_of_a_kind(images):
    parts = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3), nn.MaxPool2d(1)
    found = layers.operations(nn.Sequential(*parts).eval(), images, "MaxPool2d")
    assert found == {"0": "Conv2d", "1": "ReLU", "2": "MaxPool2d"}
    with pytest.raises(ValueError, match="last='GELU': expected one of Conv2d, ReLU, MaxPool2d"):
        layers.operations(nn.Sequential(*parts).eval(), images, "GELU")


# --- Gratings and starts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (1, 3, 32, 32), (1, 3, 16, 24)])
def test_gratings_are_grey_pictures_of_the_images_shape(shape):
    found = depth.gratings(20, torch.zeros(shape), stream(0, "gratings"))
    assert found.shape == (20, *shape[1:]) and found.min() >= 0 and found.max() <= 1
    assert torch.equal(found, found[:, :1].expand_as(found))
    assert len(found.flatten(1).unique(dim=0)) == 20  # each another
    assert (found.flatten(1).std(1) > 0.02).all()  # and none of them flat


def test_gratings_fade_outside_their_disc():
    found = depth.gratings(50, torch.zeros(1, 1, 32, 32), stream(0, "gratings"))[:, 0]
    corners = torch.stack([found[:, i, j] for i in (0, -1) for j in (0, -1)])
    assert corners.max() < 0.5 and found.flatten(1).max(1).values.mean() > 0.6  # the nearest disc ends there


def test_starts_are_five_and_known(images):
    starts = depth.starts.starts(images, 1)
    assert list(starts) == ["noise", "noise again", "wide noise", "another image", "grey"]
    assert torch.equal(starts["another image"][1], images[0]) and (starts["grey"] == 0.5).all()
    assert starts["noise"].std() == pytest.approx(0.05, rel=0.15)
    assert starts["wide noise"].std() == pytest.approx(0.25, rel=0.15)
    assert not torch.equal(starts["noise"], starts["noise again"])


def test_searches_through_an_identity_end_at_the_image_wherever_they_begin(images):
    procedures = {"one": SHORT, "two": Procedure(loss="relative", step="adam", steps=3, polish=20)}
    rows, ends = depth.starts.from_starts(scaled(), "0", images, procedures, 0)
    assert len(rows) == 2 * 5 * 5 and rows[1]["start"] == "noise again"
    assert max(row["pixels"] for row in rows if row["how"] == "two") < 1e-3
    torch.testing.assert_close(ends["two"], images[:, None].expand_as(ends["two"]), atol=1e-3, rtol=0)
    apart = depth.starts.apart(images, 0, ends["two"])
    assert apart.shape == (11, 11) and apart[0, 6:].max() < 1e-3  # the ends are the target
    grey = (images - 0.5).flatten(1).square().mean(1).sqrt().mean()
    assert apart[0, 5] == pytest.approx(float(grey), rel=1e-5)
    told = depth.starts.told(scaled(), "0", images, procedures, 0, "two")
    assert [row["name"] for row in told["apart"]][::5] == ["target", "grey", "from grey"]
    assert told["searches"] == rows and [row["distances"] for row in told["apart"]] == apart.tolist()
