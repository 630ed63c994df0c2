"""torchvision's networks and their points; weights from elsewhere, whole and fitting, without running any code."""

import os
import re
import urllib.error

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from helpers.networks import activations, cache, models, pretrained

BLOCKS = {  # the points between the first and the last few, and how many blocks
    "resnet18": (64, ["relu", "maxpool"], r"layer\d.\d", 8, ["avgpool", "fc"]),
    "convnext_tiny": (64, ["features.0"], r"features.[1357].\d", 18, ["avgpool", "classifier"]),
    "swin_t": (64, ["features.0"], r"features.[1357].\d", 12, ["norm", "avgpool", "head"]),
    "vit_b_16": (32, ["conv_proj"], r"encoder.layers.encoder_layer_\d+", 12, ["encoder.ln", "heads"]),
}


def loaded(model, weights):
    return pretrained.load(model, pretrained.read(weights, model.name), weights)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_points_of_torchvision_are_reached_in_order(name):
    size, first, block, count, last = BLOCKS[name]
    net = models.build(f"torchvision:{name}", classes=7, channels=3, size=size)
    images = torch.rand(2, 3, size, size)
    statistics = {key: tensor.clone() for key, tensor in net.state_dict().items() if "running" in key}
    points = models.points(net, images)
    assert net.training and all(torch.equal(net.state_dict()[key], tensor) for key, tensor in statistics.items())
    names, depths = list(points), list(points.values())
    assert names[: 1 + len(first)] == ["input", *first] and names[-len(last) :] == last
    assert sum(re.fullmatch(block, point) is not None for point in names) == count
    assert depths[0] == 0 and depths[-1] == 1 and all(a < b for a, b in zip(depths, depths[1:]))
    found = activations.record(net.eval(), images, names)
    with torch.no_grad():  # as `record` does: with gradients other kernels may be chosen
        assert torch.equal(found[names[-1]], net(images))
    assert found[names[-1]].shape == (2, 7)
    assert not any(getattr(module, "inplace", False) for module in net.modules())


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "regnet_y_400mf", "shufflenet_v2_x0_5"])
def test_other_networks_of_torchvision_have_points_too(name):
    net, images = models.build(f"torchvision:{name}", classes=5, channels=3).eval(), torch.rand(1, 3, 64, 64)
    points = models.points(net, images)
    found = activations.record(net, images, list(points))
    with torch.no_grad():  # as `record` does: with gradients other kernels may be chosen
        assert len(points) > 6 and torch.equal(found[list(points)[-1]].flatten(1), net(images))


def test_torchvision_is_initialised_from_the_seed():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    nets = [models.build("torchvision:shufflenet_v2_x0_5", classes=5, channels=3, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (cache.checksum(*net.state_dict().values()) for net in nets)
    assert first == again != other and torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "name, near", [("resnet19", "torchvision:resnet18"), ("Swin_T", "torchvision:swin_t"), ("", "example")]
)
def test_networks_that_torchvision_has_not_are_refused(name, near):
    with pytest.raises(ValueError, match=near):
        models.check(f"torchvision:{name}")


def test_what_torchvision_cannot_take_is_refused():
    with pytest.raises(ValueError, match="channels=1"):
        models.build("torchvision:resnet18", classes=5)
    with pytest.raises(ValueError, match="size=33.*16"):
        models.build("torchvision:vit_b_16", classes=5, channels=3, size=33)
    with pytest.raises(ValueError, match="images=None.*Linear"):
        models.points(nn.Linear(2, 2))


@pytest.fixture
def small():
    return models.build("resnet8-w4", classes=5, channels=3, seed=1)


@pytest.mark.parametrize("suffix, wrapped", [(".safetensors", False), (".pth", False), (".pth", True)])
def test_weights_come_from_a_file(small, tmp_path, monkeypatch, suffix, wrapped):
    tensors, path = small.state_dict(), tmp_path / f"net{suffix}"
    if wrapped:  # as training scripts leave them
        tensors = {"epoch": 3, "state_dict": {f"module.{key}": tensor for key, tensor in tensors.items()}}
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    other = models.build("resnet8-w4", classes=5, channels=3, seed=2)
    assert not torch.equal(other.conv1.weight, small.conv1.weight)
    assert torch.equal(loaded(other, str(path)).conv1.weight, small.conv1.weight)
    monkeypatch.setenv("LAYERS_DATA", str(tmp_path))
    assert torch.equal(loaded(other, path.name).linear.bias, small.linear.bias)


def test_weights_without_the_counts_of_old_torch_fit(small, tmp_path):
    tensors = {key: tensor for key, tensor in small.state_dict().items() if "num_batches" not in key}
    save_file(tensors, tmp_path / "old.safetensors")
    other = models.build("resnet8-w4", classes=5, channels=3, seed=2)
    assert torch.equal(loaded(other, str(tmp_path / "old.safetensors")).conv1.weight, small.conv1.weight)


@pytest.mark.parametrize("name, what", [("resnet14-w4", "missing"), ("resnet8-w8", "shape"), ("plain8-w4", None)])
def test_weights_that_do_not_fit_are_refused(small, tmp_path, name, what):
    torch.save(small.state_dict(), tmp_path / "net.pth")
    other = models.build(name, classes=5, channels=3)
    if what is None:  # the same tensors by the same names
        assert torch.equal(loaded(other, str(tmp_path / "net.pth")).conv1.weight, small.conv1.weight)
        return
    with pytest.raises(ValueError, match=f"net.pth.*ResNet.*{what}"):
        loaded(other, str(tmp_path / "net.pth"))
    with pytest.raises(ValueError, match="not of this network"):
        loaded(models.build("mlp1", classes=5), str(tmp_path / "net.pth"))


class Code:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def test_pickled_code_is_never_run(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in (Code(), {"weight": torch.zeros(2), "code": Code()}, small):
        torch.save(content, "net.pth")
        with pytest.raises(ValueError, match="net.pth holds more than tensors"):
            loaded(small, "net.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("file, content", [("a.safetensors", b"no tensors"), ("a.pth", b"no tensors"), ("a.pth", b"")])
def test_damaged_files_are_named(small, tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=file):
        loaded(small, str(tmp_path / file))


def test_a_file_of_other_things_is_named(small, tmp_path):
    for content in ({"epoch": 3}, {}, [torch.zeros(2)], torch.zeros(2)):
        torch.save(content, tmp_path / "net.pth")
        with pytest.raises(ValueError, match="net.pth: expected a state dict"):
            loaded(small, str(tmp_path / "net.pth"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Torch hub's cache, empty, and a network for it that is small."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("LAYERS_DATA", "LAYERS_DOWNLOAD"):
        monkeypatch.delenv(name, raising=False)
    net = models.build("torchvision:shufflenet_v2_x0_5", classes=1000, channels=3, seed=3)
    return tmp_path / "hub" / "checkpoints" / "shufflenetv2_x0.5-f707e7126e.pth", net


def test_torchvisions_weights_come_from_its_cache(hub):
    path, net = hub
    with pytest.raises(FileNotFoundError, match=rf"shufflenet.*LAYERS_DOWNLOAD=1.*{path.name}"):
        loaded(net, "IMAGENET1K_V1")
    path.parent.mkdir(parents=True)
    torch.save(net.state_dict(), path)
    other = models.build("torchvision:shufflenet_v2_x0_5", classes=1000, channels=3)
    assert torch.equal(loaded(other, "IMAGENET1K_V1").fc.weight, net.fc.weight)
    with pytest.raises(ValueError, match="shape.*fc.weight"):
        loaded(models.build("torchvision:shufflenet_v2_x0_5", classes=10, channels=3), "DEFAULT")


def test_nothing_is_downloaded_unasked(hub, monkeypatch):
    path, net = hub
    asked = []

    def download(url, folder, **options):
        asked.append((url, options["check_hash"], options["weights_only"]))
        folder.mkdir(parents=True)
        torch.save(net.state_dict(), path)

    def unreachable(*arguments, **options):
        raise urllib.error.URLError("no internet")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    with pytest.raises(FileNotFoundError):
        loaded(net, "IMAGENET1K_V1")
    monkeypatch.setenv("LAYERS_DOWNLOAD", "1")
    with pytest.raises(FileNotFoundError, match="With internet"):
        loaded(net, "IMAGENET1K_V1")
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    for _ in range(2):
        loaded(net, "IMAGENET1K_V1")
    assert asked == [(f"https://download.pytorch.org/models/{path.name}", True, True)]


def test_unknown_weights_are_refused(small, hub, tmp_path):
    with pytest.raises(ValueError, match="did you mean IMAGENET1K_V1"):
        loaded(hub[1], "IMAGENET1K_V11")
    with pytest.raises(ValueError, match="resnet8-w4 is not torchvision's"):
        loaded(small, "IMAGENET1K_V1")
    with pytest.raises(FileNotFoundError, match="nowhere.pth"):
        loaded(small, str(tmp_path / "nowhere.pth"))


def test_the_constants_that_weights_want():
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert models.normalisation("torchvision:resnet18", "IMAGENET1K_V1") == imagenet
    assert models.normalisation("torchvision:squeezenet1_1", "squeezenet.pth") == imagenet
    assert models.normalisation("torchvision:efficientnet_v2_l", "IMAGENET1K_V1") == ((0.5,) * 3, (0.5,) * 3)
    for name, weights in (("torchvision:resnet18", "train"), ("torchvision:resnet18", "none"), ("resnet8", "a.pth")):
        assert models.normalisation(name, weights) is None
