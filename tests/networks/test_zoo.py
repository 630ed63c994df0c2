"""Zoos: networks by model, condition and seed are those of their specifications."""

import dataclasses

import pytest
import torch

from helpers.networks import Spec, Zoo, models, training

SHARED = {"dataset": "digits", "epochs": 2, "fraction": 0.3, "lr": 0.1}
CONDITIONS = {
    "trained": {}, "untrained": {"epochs": 0}, "early": {"epoch": 0.5}, "begun": {"epoch": 0},
    "noise": {"label_noise": 0.4}, "calibrated": {"epochs": 0, "calibrated": True},
}  # fmt: skip
ZOO = Zoo(SHARED, CONDITIONS, "cpu")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path))
    return tmp_path


def same(a, b):
    return all(torch.equal(a.model.state_dict()[name], tensor) for name, tensor in b.model.state_dict().items())


def test_a_condition_changes_what_is_shared():
    assert ZOO.spec("mlp2", "trained", 7) == Spec("mlp2", seed=7, **SHARED)
    assert ZOO.spec("mlp2", "noise", 7) == Spec("mlp2", seed=7, **SHARED, label_noise=0.4)
    assert ZOO.spec("mlp2", "untrained", 7) == dataclasses.replace(ZOO.spec("mlp2", "trained", 7), epochs=0)
    assert ZOO.spec("mlp2", "early", 7) == ZOO.spec("mlp2", "trained", 7)
    assert ZOO.spec("mlp2", "calibrated", 7) == ZOO.spec("mlp2", "untrained", 7)


def test_two_conditions_are_there_by_default():
    zoo = Zoo({"epochs": 2})
    assert list(zoo.conditions) == ["trained", "untrained"]
    assert (zoo.spec("mlp1", "trained", 0).epochs, zoo.spec("mlp1", "untrained", 0).epochs) == (2, 0)


def test_a_family_has_its_own_length_of_training_and_a_condition_takes_a_share_of_it():
    zoo = Zoo({"epochs": 8, "lr": 0.1}, {"trained": {}, "short": {"share": 0.4}}, own={"mlp": {"epochs": 3, "lr": 0.2}})
    assert zoo.spec("mlp1", "trained", 5) == Spec("mlp1", seed=5, epochs=3, lr=0.2)
    assert zoo.spec("vgg8", "trained", 5) == Spec("vgg8", seed=5, epochs=8, lr=0.1)
    assert [zoo.spec(model, "short", 5).epochs for model in ("mlp1", "vgg8")] == [1, 3]
    assert Zoo({}, {"none": {"share": 0.01}}).spec("vgg8", "none", 5).epochs == 1


def test_the_untrained_network_is_untrained_whatever_weights_the_others_have():
    zoo = Zoo({"weights": "DEFAULT"})
    assert zoo.spec("torchvision:resnet18", "trained", 0).weights == "DEFAULT"
    assert zoo.spec("torchvision:resnet18", "untrained", 0).weights == "none"
    own = Zoo({"weights": "DEFAULT", "epochs": 0}, {"theirs": {}, "ours": {"epochs": 0, "weights": "net.pth"}})
    assert [own.spec("torchvision:resnet18", name, 0).weights for name in own.conditions] == ["DEFAULT", "net.pth"]


@pytest.mark.parametrize(
    ("shared", "conditions", "message"),
    [
        ({"epoch_count": 2}, {}, r"shared: \['epoch_count'\], expected fields of Spec but model and seed, "),
        ({}, {"early": {"steps": 2}}, r"early: \['steps'\]"),
        ({"seed": 1}, {}, r"shared: \['seed'\]"),
        ({}, {"small": {"model": "mlp1"}}, r"small: \['model'\]"),
        ({"odd": 1}, {"shared": {}}, r"shared: \['odd'\]"),
    ],
)
def test_what_no_specification_has_is_refused(shared, conditions, message):
    with pytest.raises(ValueError, match=message):
        Zoo(shared, conditions)


def test_a_condition_that_there_is_not_is_refused():
    for ask in (ZOO.spec, ZOO.network):
        with pytest.raises(ValueError, match="condition='late': expected one of trained, untrained, early"):
            ask("mlp2", "late", 0)
    with pytest.raises(ValueError, match="condition='late'"):
        ZOO.prefetch([{"model": "mlp2", "condition": "late", "seed": 0}])


def test_networks_are_those_of_their_specifications():
    spec = ZOO.spec("mlp2", "trained", 7)
    first, early, last = training.checkpoints(spec, epochs=[0, 0.5], device="cpu", progress=False)
    assert same(ZOO.network("mlp2", "trained", 7), last) and same(ZOO.network("mlp2", "begun", 7), first)
    assert same(ZOO.network("mlp2", "early", 7), early) and not same(early, last)
    assert same(ZOO.network("mlp2", "untrained", 7), first)


def test_a_calibrated_network_has_statistics_of_its_images():
    plain, calibrated = (ZOO.network("resnet8-w4", name, 0).model.bn1 for name in ("untrained", "calibrated"))
    assert not plain.running_mean.any() and calibrated.running_mean.any()
    shared = Zoo(SHARED | {"calibrated": True, "epoch": 0}, {"a": {}, "b": {"calibrated": False}}, "cpu")
    assert torch.equal(shared.network("resnet8-w4", "a", 0).model.bn1.running_mean, calibrated.running_mean)
    assert not shared.network("resnet8-w4", "b", 0).model.bn1.running_mean.any()


WANTED = [{"model": "mlp2", "condition": name, "seed": 3, "layer": "fc"} for name in ("trained", "early", "noise")]


def test_prefetch_trains_what_is_wanted_once(empty_cache):
    ZOO.prefetch(WANTED)
    files = sorted(empty_cache.glob("networks/*.safetensors"))
    assert len(files) == 3
    for each in WANTED:
        ZOO.network(each["model"], each["condition"], each["seed"])
    assert sorted(empty_cache.glob("networks/*.safetensors")) == files


def test_accuracies_have_a_row_for_each_network():
    table = ZOO.accuracy(WANTED)
    assert [{name: row[name] for name in WANTED[0]} for row in table] == WANTED
    assert [row["test"] for row in table] == [ZOO.network("mlp2", w["condition"], 3).accuracy["test"] for w in WANTED]
    assert table[0]["test"] > table[1]["test"]


@pytest.mark.parametrize("model", ["mlp2", "torchvision:squeezenet1_1"])
def test_the_points_of_a_network(model):
    zoo = Zoo({"dataset": "noise32", "weights": "none"}, {"untrained": {}}, "cpu")
    net = zoo.network(model, "untrained", 0)
    found = zoo.points(model, 0)
    assert found == zoo.points(model, 0, "untrained") and list(found)[0] == "input" and list(found.values())[-1] == 1
    images = training.dataset(net.spec, "cpu")
    assert found == models.points(net.model, images.normalise(images.test_images[:2]))
