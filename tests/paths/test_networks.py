"""Paths of networks: all that is said of them against the slow way, other points and read-outs, and many in one space."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from planted_paths import gauss

from helpers.networks.activations import flat, order, record
from helpers.networks.models import build
from helpers.paths import known, networks, points
from helpers.paths.comparison import against_chance, between_kinds, matched_distance, on_diagonal
from helpers.paths.metrics import AngularCKA, AngularShape, EuclideanShape, Stress, by_name, gram
from helpers.paths.path import evenly, measure, summary, walk_distance

IMAGES = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TARGET = torch.eye(3, dtype=torch.float64)[torch.arange(12) % 3]


def net(name="mlp2-w8", seed=0):
    return build(name, classes=3, seed=seed).eval().requires_grad_(False)


def test_a_network_is_described_as_by_one_point_at_a_time():
    model = net("mlp4-w8")
    rows, whole = networks.described(model, IMAGES, TARGET, 3)
    names = points.stops(model, IMAGES)
    assert [row["point"] for row in rows] == names and [row["depth"] for row in rows] == [k / 5 for k in range(6)]
    for estimator in ("plug-in", "low-bias", "unbiased"):
        metric = AngularCKA(estimator)
        stack = torch.stack([metric.embed(flat(a)) for a in record(model, IMAGES, names).values()])
        path = measure(metric, stack, metric.embed(TARGET))
        assert {name: whole[f"{name}_{estimator}"] for name in summary(path)} == pytest.approx(summary(path), abs=1e-9)
        for row, to_target, step in zip(rows, path.to_target, [*path.step, torch.tensor(math.nan)]):
            assert row[f"to_target_{estimator}"] == pytest.approx(float(to_target), abs=1e-6)
            assert row[f"step_{estimator}"] == pytest.approx(float(step), abs=1e-6, nan_ok=True)
        few = [0, evenly(6, 3)[1], 5]
        direct = sum(float(metric.distance(stack[a], stack[b])) for a, b in zip(few, few[1:]))
        assert whole[f"matched_net_slack_{estimator}"] == pytest.approx(direct / float(path.net_distance))


def test_a_varied_path_agrees_with_the_whole_description():
    model = net("mlp4-w8")
    _, whole = networks.described(model, IMAGES, TARGET, 3, estimators=["unbiased"])
    found = networks.varied(model, IMAGES, TARGET, AngularCKA("unbiased"))
    assert found == pytest.approx({name: whole[f"{name}_unbiased"] for name in found}, abs=1e-9)


def test_only_metrics_on_the_sphere_are_compared_with_a_walk_on_it():
    model = net()
    metric = Stress()
    stack = torch.stack([metric.embed(a) for a in record(model, IMAGES, points.stops(model, IMAGES)).values()])
    step, reached = metric.distance(stack[:-1], stack[1:]), metric.distance(stack[0], stack[-1])
    straight = networks.varied(model, IMAGES, TARGET, metric)["straightness"]
    assert straight == pytest.approx(float((reached / step.norm()).log()))


def test_the_points_of_each_family():
    assert points.stops(net("mlp2-w8"), IMAGES) == ["input", "act1", "act2", "linear"]
    blocks = ["layer1.0", "layer2.0", "layer3.0"]
    assert points.stops(net("resnet8-w2"), IMAGES) == ["input", "act1", *blocks, "avgpool", "linear"]
    before = points.before_activation(net("resnet8-w2"), IMAGES)
    assert before == ["input", "act1", *(f"{block}.act2:in" for block in blocks), "avgpool", "linear"]
    vgg = net("vgg8-w2")
    kinds = {type(vgg.get_submodule(point)).__name__ for point in points.stops(vgg, IMAGES)[1:-1]}
    assert kinds == {"ReLU", "MaxPool2d"}
    assert points.hidden(vgg, IMAGES) == points.stops(vgg, IMAGES)[1:]


def test_every_operation_counts_sums_before_and_after_their_activation():
    model = net("resnet8-w2")
    found = points.operations(model, IMAGES)
    called = [point for point in order(model, IMAGES) if "shortcut" not in point and "flatten" not in point]
    assert found[0] == "input" and [point for point in found[1:] if not point.endswith(":in")] == called
    sums = [point for point in found if point.endswith(":in")]
    assert sums == ["layer1.0.act2:in", "layer2.0.act2:in", "layer3.0.act2:in"]
    assert len(record(model, IMAGES, found)) == len(found)


def test_another_network_goes_through_all_its_points():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)).eval()
    assert points.stops(model, IMAGES)[0] == "input" and points.stops(model, IMAGES)[-1] == "3"


def test_read_outs():
    maps = gauss(4, 3, 2, 2)
    assert torch.equal(points.pooled("layer1.0", maps), maps.mean((2, 3)))
    assert points.pooled("input", maps) is maps
    assert torch.equal(points.probabilities("linear", gauss(4, 3)), gauss(4, 3).softmax(1))
    assert points.probabilities("act1", maps) is maps
    assert torch.equal(points.projected("act1", maps, 12), maps.flatten(1))  # no more features than directions
    wide = gauss(6, 40)
    drawn = points.projected("act1", wide, 10)
    assert drawn.shape == (6, 10) and torch.equal(drawn, points.projected("act2", wide, 10))
    assert torch.allclose(points.projected("", 2 * wide, 10), 2 * drawn)


def test_the_right_axis_keeps_the_one_large_feature_and_the_wrong_one_does_not():
    rows = 0.1 * gauss(200, 10)
    rows[:, 3] += 10 * gauss(200, seed=1)
    right, wrong = (points.share(rows, points.principal("", rows, 1, side)) for side in (True, False))
    assert right > 0.99 > 0.5 > wrong
    assert points.share(rows, points.principal("", rows, 10, False)) == pytest.approx(1)  # all: a rotation


def test_a_reduced_path_is_that_of_the_components():
    model = net("mlp4-w8")
    found = networks.reduced(model, IMAGES, TARGET, 8, True)
    usual = networks.varied(model, IMAGES, TARGET, AngularShape(8), points.hidden)
    assert found["variance"] == pytest.approx(1) and found["slack"] == pytest.approx(usual["slack"])


def test_halving_compares_first_blocks_of_later_stages_with_the_others():
    names = ["input", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "linear"]
    rows = pd.DataFrame({"point": names, "gain": [9, 1, 2, 5, 3, 7, 9], "model": "resnet14", "seed": 3})
    assert points.halving(rows, "gain").to_dict() == {("resnet14", 3): 4.0}
    assert not len(points.halving(rows.assign(point="act1"), "gain"))


def test_nothing_is_lost_where_transport_is_parallel_and_something_where_it_is_not():
    model = net("mlp4-w8")

    class Flat(EuclideanShape):
        def transport(self, v, p, q):
            return self.horizontal(q, v) * (v.norm(dim=(-2, -1), keepdim=True)
                                            / self.horizontal(q, v).norm(dim=(-2, -1), keepdim=True))  # fmt: skip

    assert networks.lost(model, IMAGES, Flat(8)) == pytest.approx(0, abs=1e-12)
    assert networks.lost(model, IMAGES, AngularShape(8)) > 1e-4


@pytest.fixture(scope="module")
def atlas():
    layers = {seed: networks.grams(net(seed=seed), IMAGES) for seed in (0, 1)}
    return networks.together(AngularCKA("unbiased"), layers, TARGET)


def test_many_networks_in_one_space_are_as_far_apart_as_two_at_a_time(atlas):
    metric = AngularCKA("unbiased")
    here, there = (list(networks.grams(net(seed=seed), IMAGES).values()) for seed in (0, 1))
    cross = [[float(metric.distance(metric.from_gram(a), metric.from_gram(b))) for b in there] for a in here]
    assert torch.allclose(atlas.cross(0, 1), torch.tensor(cross, dtype=torch.float64), atol=1e-9)
    assert atlas.where([1]) == [4, 5, 6, 7, 8]
    assert atlas.among([1])[0, -1] == pytest.approx(float(metric.distance(metric.from_gram(there[0]), metric.embed(TARGET))))
    assert torch.equal(atlas.among([0, 1]), atlas.distances)


def test_between_two_networks_of_an_atlas(atlas):
    found = atlas.beside(0, 1)
    assert found["gap"] == atlas.cross(0, 1).diagonal().tolist() and found["depth"] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert found["step"][:3] == atlas.cross(0, 0).diagonal(1).tolist() and math.isnan(found["step"][3])
    assert atlas.cosines(0, 0).shape == (1, 1) and float(atlas.cosines(0, 0)) == pytest.approx(1)
    by_hand = matched_distance(atlas.cross(0, 1), 4) - matched_distance(atlas.cross(0, 0), 4)
    assert by_hand == pytest.approx(float(np.mean(found["gap"])))
    same = atlas.apart([0, 1], [0, 1], "matched", 4)
    assert same == pytest.approx([0, 0])
    with pytest.raises(ValueError, match="way='hausdorff': expected one of matched, frechet, dtw"):
        atlas.apart([0], [1], "hausdorff", 4)


def test_paths_of_other_lengths_are_not_set_beside_each_other():
    layers = {name: networks.grams(net(name), IMAGES) for name in ("mlp2-w8", "mlp4-w8")}
    with pytest.raises(ValueError, match="other: 6 points, expected as many as one has, 4"):
        networks.together(AngularCKA(), layers, TARGET).beside("mlp2-w8", "mlp4-w8")


def test_on_and_off_the_diagonal():
    cosines = torch.tensor([[1.0, 0.2], [0.4, math.nan]], dtype=torch.float64)
    assert on_diagonal(cosines) == pytest.approx((1, 0.3))


def test_known_answers_are_met():
    *exact, single = known.answers()
    for what, angle, measured in exact:
        assert measured == pytest.approx(angle, abs=1e-9), what
    assert single.known == 0 and single.measured > 1e-5  # what an arc cosine in single precision sees of nothing


def test_angles_add_up_and_one_minus_cka_does_not():
    whole, coarse, fine = (known.in_pieces(pieces) for pieces in (1, 8, 64))
    assert coarse["angle"] >= whole["angle"] - 1e-9 and fine["angle"] >= coarse["angle"] - 1e-9
    assert fine["angle"] < 1.1 * whole["angle"] and fine["one minus CKA"] < 0.1 * whole["one minus CKA"]


def test_every_metric_by_name_embeds_layers():
    assert all(torch.isfinite(metric.embed(IMAGES)).all() for metric in by_name(5).values())
    assert gram(IMAGES).shape == (12, 12)


# Against chance, and kinds of network


def test_a_path_against_chance():
    distances = torch.cdist(gauss(5, 3), gauss(5, 3)) / 10
    found, step = against_chance(distances, 500_000, 3), distances.diagonal(1)
    assert found["observed"] == pytest.approx(float(step.sum() / distances[0, -1]))
    assert found["same steps"] == pytest.approx(float(step.sum() / walk_distance(step)))
    assert found["simulated"] == pytest.approx(found["same steps"], rel=1e-2)
    every = [[0, *inner, 4] for inner in itertools.permutations([1, 2, 3])]
    lengths = [sum(float(distances[a, b]) for a, b in itertools.pairwise(order)) for order in every]
    assert found["shuffled"] == pytest.approx(sum(lengths) / 6 / float(distances[0, -1]), rel=0.05)
    assert found == against_chance(distances, 500_000, 3) != against_chance(distances, 500_000, 4)


def test_kinds_are_compared_without_networks_of_one_seed():
    pairs = []

    def distance(one, other):
        pairs.append((one[1], other[1]))
        return 1.0 if one[0] == other[0] else 3.0 + one[1]

    found = between_kinds(distance, [("a", s) for s in (0, 1, 2)], [("b", s) for s in (0, 1, 2)])
    assert found.tolist() == [2.0, 3.0, 4.0]
    assert set(pairs) == {(0, 1), (1, 2), (2, 0)}


def test_kinds_of_other_numbers_are_refused():
    with pytest.raises(ValueError, match="second: 1 networks, expected as many as first, 2"):
        between_kinds(lambda one, other: 0.0, [1, 2], [3])
