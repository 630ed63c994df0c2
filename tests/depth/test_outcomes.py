"""Outcomes: searches through scalings, whose ends are known, readers that see nothing, and points along a network."""

import math

import pandas as pd
import pytest
import torch
from searches_shared import SHORT, images, scaled  # noqa: F401
from torch import nn

from helpers import depth
from helpers.depth import image_similarity, layers, outcomes
from helpers.depth.inversion import shifted
from helpers.depth.optimisers import Procedure
from helpers.networks import models
from helpers.networks.numerics import stream

EXACT = Procedure(loss="relative", step="adam", steps=3, polish=20)
PARTS = {"first": slice(0, 3), "rest": slice(3, None)}


def brightness(x):
    return torch.stack([x.flatten(1).mean(1), 1 - x.flatten(1).mean(1)], dim=1)


def test_a_search_is_told_by_part_of_the_images(images):
    of = (scaled(), "0", images)
    found, begin = layers.seek(*of, SHORT, 3)
    judged = outcomes.Judged(brightness, images.flip(0), PARTS)
    rows, way = outcomes.told(*of, found, begin, 3, judged)
    assert [row["part"] for row in rows] == ["first", "rest"]
    for row, part in zip(rows, PARTS.values()):
        assert row["error"] == pytest.approx(float(found.relative_error[part].median()), rel=1e-5)
        assert row["diverged"] == 0 and {"ssim", "edges", "copies", "agreement", "rho_in", "rho_out"} < set(row)
    off = image_similarity.off_manifold(found.images, images.flip(0), PARTS)
    assert [row["mmd"] for row in rows] == list(off.values())
    assert way == layers.way(found, layers.likeness(*of, found, begin, 3))


def test_a_search_of_results_agrees_where_the_judge_sees_the_targets(images):
    of = (scaled(), "0", images)
    found, begin = layers.seek(*of, SHORT, 0)
    judged = outcomes.Judged(brightness, images, PARTS)
    rows, _ = outcomes.told(*of, found._replace(images=images), begin, 0, judged)
    assert [row["agreement"] for row in rows] == [1, 1]
    rows, _ = outcomes.told(*of, found._replace(images=1 - images), begin, 0, judged)
    assert [row["agreement"] for row in rows] == [0, 0]


def test_searches_are_told_one_after_the_other_and_some_are_looked_at(images):
    asked = [("slow", "0", SHORT), ("quick", "0", EXACT)]
    judged = outcomes.Judged(brightness, images.flip(0), PARTS)
    tables = outcomes.searched(scaled(3.0), images, asked, 3, judged, {"quick": 2})
    assert [(row["search"], row["part"]) for row in tables["rows"]] == [
        ("slow", "first"), ("slow", "rest"), ("quick", "first"), ("quick", "rest"),
    ]  # fmt: skip
    of = (scaled(3.0), "0", images)
    found = layers.seek(*of, EXACT, 3)
    rows, way = outcomes.told(*of, *found, 3, judged)
    where = {"search": "quick", "point": "0"}
    assert tables["rows"][2:] == [where | row for row in rows] and tables["ways"][1] == where | way
    assert tables["spectra"] == [{"point": "0"} | layers.seen(*of, *found, 3, 2)]


def test_errors_of_outcomes_are_over_the_distance_of_the_noise(images):
    noise = depth.start(images, stream(1, "start"))
    still = Procedure(rate=(1e-12, 1e-12), steps=1)
    halfway = (noise + images) / 2
    row = outcomes.outcome(scaled(4.0), "0", images, halfway, still, 0, noise)
    assert row["error"] == pytest.approx(0.5, rel=1e-5)
    away = (halfway - images).flatten(1).norm(dim=1)
    assert row["residual"] == pytest.approx(float(4 * away.median()), rel=1e-5)  # the codes' distance, scaled
    lengths = images.flatten(1).norm(dim=1)
    assert row["relative"] == pytest.approx(float((away / lengths).median()), rel=1e-5)


def test_nothing_collides_through_a_scaling_and_what_is_half_blind_does(images):
    noise = depth.start(images, stream(1, "start"))
    assert outcomes.outcome(scaled(), "0", images, noise, SHORT, 0, noise)["collision"] == 0
    half = nn.Sequential(nn.Conv2d(1, 1, 2, stride=2, bias=False)).eval()  # one pixel of four
    half[0].weight.data = torch.tensor([[[[1.0, 0], [0, 0]]]])
    half.requires_grad_(False)
    assert outcomes.outcome(half, "0", images, noise, EXACT, 0, noise)["collision"] == 1


def test_a_reading_is_where_the_search_goes_on_from(images):
    seen = torch.rand(64, 1, 8, 8, generator=stream(1, "images"))
    noise = depth.start(images, stream(1, "start"))
    of = (scaled(), "0", images, seen, noise, 2)
    still = Procedure(rate=(1e-12, 1e-12), steps=1)
    row, read = outcomes.reading(*of, still, steps=5)
    assert torch.equal(read, depth.decoders.read(*of[:4], 2, steps=5))
    distance = lambda x: (x - images).flatten(1).norm(dim=1)
    assert row["error"] == pytest.approx(float((distance(read) / distance(noise)).median()), rel=1e-5)
    assert row["then"] == pytest.approx(row["error"], rel=1e-5)
    assert torch.equal(torch.tensor(row["read"]), read[0])
    row, _ = outcomes.reading(*of, EXACT, steps=5)
    assert row["then"] < 1e-3 < row["error"]
    torch.testing.assert_close(torch.tensor(row["sought"]), images[0], atol=1e-3, rtol=0)


def test_readings_are_a_reading_at_each_point(images):
    seen = torch.rand(64, 1, 8, 8, generator=stream(1, "images"))
    noise = depth.start(images, stream(1, "start"))
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()).eval().requires_grad_(False)
    of = (images, seen, noise, 2, SHORT)
    rows, read = outcomes.readings(net, ["1", "0"], *of, steps=5)
    row, alone = outcomes.reading(net, "0", *of, steps=5)
    assert rows[1] == {"point": "0"} | row and torch.equal(read["0"], alone) and list(read) == ["1", "0"]
    assert outcomes.readings(net, [], *of) == ([], {})


def test_the_blind_know_the_mean_or_the_nearest_image():
    images = torch.zeros(3, 1, 2, 2)
    seen = torch.stack([torch.full((1, 2, 2), level) for level in (0.25, 0.75)])
    noise = torch.stack([images + 1, images + 3])  # as far as twice the side, in the mean
    found = outcomes.blind(images, seen, noise)
    assert found == pytest.approx({"mean training image": 0.25, "nearest training image": 0.125})


def test_operations_are_inverted_one_after_the_other(images):
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.MaxPool2d(8), nn.Flatten()).eval()
    nn.init.ones_(net[0].weight)
    rows = outcomes.one_by_one(net.requires_grad_(False), images, "MaxPool2d", EXACT, 0)
    assert [row["operation"] for row in rows] == ["Conv2d", "ReLU", "MaxPool2d"]
    assert max(rows[0]["error"], rows[1]["error"]) < 1e-3 and rows[2]["error"] > 0.9
    end, _ = layers.seek(net, "2", images, EXACT, 0)
    assert rows[2]["error"] == float(end.relative_error.median())


def test_what_operations_add_is_told_by_network():
    table = pd.DataFrame({
        "condition": ["a"] * 4 + ["b"] * 4, "seed": [1] * 8,
        "operation": ["Conv2d", "ReLU", "Conv2d", "MaxPool2d"] * 2,
        "error": [0.0, 0.25, 0.5, 1.0, 0.5, 0.75, 0.0, 0.25],
    })  # fmt: skip
    found = outcomes.added(table)
    assert found.loc[("a", 1)].to_dict() == {"all": 1, "last": 0.25}
    assert found.loc[("b", 1)].to_dict() == {"all": -0.25, "last": 0}
    alone = outcomes.added(table[table["operation"].isin(["ReLU", "MaxPool2d"])])
    assert alone.loc[("a", 1)].to_dict() == {"all": 0.75, "last": 0.75}  # there is no other


def test_points_are_sampled_from_the_first_to_the_last(images):
    net = models.build("resnet8", classes=10).eval().requires_grad_(False)
    points = list(models.points(net, images[:1]))[1:]
    begin = depth.start(images, stream(0, "photographs"))
    few = Procedure(steps=2)
    rows = outcomes.sampled(net, images, few, 3)
    assert [row["point"] for row in rows] == [points[0], points[round((len(points) - 1) / 2)], points[-1]]
    end = depth.invert(net, points[0], images, begin, few)
    expected = depth.measures(end, images, begin, shifted(net, points[0], images, stream(0, "shift")))
    assert rows[0] == {"point": points[0]} | layers.summary(expected)
    assert all(math.isfinite(row["error"]) for row in rows)


def test_what_differs_in_detail_alone_is_on_the_manifold():
    manifold = torch.rand(60, 1, 12, 12, generator=stream(0, "manifold"))
    manifold = image_similarity.low_pass(manifold, 2.0)
    checks = 0.2 * (-1.0) ** (torch.arange(12)[:, None] + torch.arange(12))
    images = torch.cat([manifold[:30] + checks, manifold[30:] + 0.3])
    found = image_similarity.off_manifold(images, manifold, {"detail": slice(0, 30), "bright": slice(30, None)})
    assert abs(found["detail"]) < 0.05 < 0.2 < found["bright"]
    sharp = image_similarity.off_manifold(images, manifold, {"detail": slice(0, 30)}, sigma=0.0)
    assert sharp["detail"] > 0.2
