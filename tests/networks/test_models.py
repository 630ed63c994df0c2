"""Networks: names, the depths that Kaufman's figures show, shapes, initialisation."""

import pytest
import torch
from torch import nn

from helpers.networks import activations, models

# Relative depths read off the paper's figures and code.
DEPTHS = {
    "resnet18": [0, .136, .227, .364, .455, .591, .682, .818, .909, .955, 1],
    "resnet50": [0, .091, .145, .2, .273, .327, .382, .436, .509, .564, .618, .673, .727, .782, .855, .909, .964, .982, 1],
    "vgg13": [0, .167, .333, .5, .667, .833, 1],
    "vgg16": [0, .133, .267, .467, .667, .867, 1],
    "vgg19": [0, .111, .222, .444, .667, .889, 1],
    "mlp3": [0, .25, .5, .75, 1],
    "resnet8": [0, 3 / 9, 5 / 9, 7 / 9, 8 / 9, 1],
    "vgg8": [0, 1 / 7, 3 / 7, 5 / 7, 1],
}  # fmt: skip


@pytest.mark.parametrize("name", DEPTHS)
def test_points_have_the_published_depths(name):
    net = models.build(name + "-w2", classes=10, channels=3, size=32)
    points = models.points(net, torch.zeros(1, 3, 32, 32))
    assert list(points.values()) == pytest.approx(DEPTHS[name], abs=6e-4)
    assert list(points)[0] == "input" and list(points)[-1] == "linear"
    assert all(net.get_submodule(point) is not None for point in points if point != "input")


def test_totals_of_the_published_networks():
    totals = {"resnet18": 22, "resnet50": 55, "resnet101": 106, "vgg13": 12, "vgg16": 15, "vgg19": 18, "resnet20": 21}
    for name, total in totals.items():
        assert models.build(name + "-w1", classes=10).depths["linear"] == total
    assert len(models.build("resnet101-w1", classes=10).depths) == 36


@pytest.mark.parametrize(
    "name", ["resnet14", "plain14", "resnet8-w4-gelu", "vgg8", "vgg11-w2", "cnn4", "mlp2", "resnet18-w2"]
)
@pytest.mark.parametrize("size", [8, 20])
def test_images_in_logits_out(name, size):
    net = models.build(name, classes=7, channels=2, size=size).double().eval()
    images = torch.randn(3, 2, size, size, dtype=torch.float64)
    logits = net(images)
    assert logits.shape == (3, 7) and logits.dtype == torch.float64
    assert torch.allclose(net(images[1:2]), logits[1:2], atol=1e-12)


def test_known_counts_of_parameters():
    def count(name, size=32):
        return sum(p.numel() for p in models.build(name, classes=10, channels=3, size=size).parameters())

    assert count("resnet20") == 269_722  # the 0.27 M of He et al., batch norm included
    assert count("resnet56") == 853_018
    assert count("resnet18") == 11_173_962  # the 3 x 3-stem form
    assert count("plain20") == count("resnet20")


def test_keys_are_those_of_published_state_dicts():
    keys = models.build("resnet20", classes=10, channels=3).state_dict()
    layers = {key.rsplit(".", 1)[0] for key in keys}
    parts = ("conv1", "bn1", "conv2", "bn2")
    expected = {f"layer{stage}.{block}.{part}" for stage in (1, 2, 3) for block in (0, 1, 2) for part in parts}
    assert layers == expected | {"conv1", "bn1", "linear"}


def test_the_shortcut_is_what_makes_a_residual_network():
    """With the convolutions' last batch norm at zero, a block is its shortcut and a plain block is nothing."""
    for name, expected in (("resnet8", True), ("plain8", False)):
        net = models.build(name, classes=10).eval()
        nn.init.zeros_(net.layer1[0].bn2.weight)
        x = torch.rand(2, 16, 8, 8)
        assert torch.equal(net.layer1[0](x), x if expected else torch.zeros_like(x))
    nn.init.zeros_(net.layer2[0].bn2.weight)
    residual = models.build("resnet8", classes=10).eval()
    nn.init.zeros_(residual.layer2[0].bn2.weight)
    y = residual.layer2[0](x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2]) and not y[:, :8].any() and not y[:, 24:].any()


@pytest.mark.parametrize("name", ["resnet14", "vgg8", "mlp2", "resnet18-w4"])
def test_gelu_replaces_every_relu_and_nothing_is_in_place(name):
    for full, kind, other in ((name, nn.ReLU, nn.GELU), (name + "-gelu", nn.GELU, nn.ReLU)):
        modules = list(models.build(full, classes=3).modules())
        assert any(isinstance(m, kind) for m in modules)
        assert not any(isinstance(m, other) for m in modules)
        assert not any(getattr(m, "inplace", False) for m in modules)


def test_initialisation_has_a_stream_of_its_own():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (models.build("mlp2", classes=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.fc1.weight, again.fc1.weight) and not torch.equal(first.fc1.weight, other.fc1.weight)


def test_widths():
    assert models.parse("resnet14-w32") == ("resnet", 14, 32, False)
    usual = {"resnet20": 16, "plain50": 16, "resnet50": 64, "vgg8": 16, "vgg16": 64, "mlp3": 128}
    assert {name: models.parse(name).width for name in usual} == usual
    assert models.build("mlp2-w5-gelu", classes=3).fc2.weight.shape == (5, 5)
    assert models.build("vgg16-w32", classes=3, size=32).linear.in_features == 256


@pytest.mark.parametrize(
    "name, near",
    [("restnet14", "resnet14"), ("resnet15", "resnet"), ("vgg8-w0", "vgg8"), ("cnn5", "cnn4"), ("a:b:c", "mlp4")],
)
def test_unknown_names_are_refused(name, near):
    with pytest.raises(ValueError, match=near):
        models.build(name, classes=10)


def test_the_digits_network():
    net = models.build("cnn4", classes=10, size=20)
    assert sum(p.numel() for p in net.parameters()) == 60_874  # the 61 k of the frames' protocol
    points = models.points(net)
    assert list(points) == ["input", "act1", "act2", "act3", "act4", "avgpool", "linear"]
    shapes = [tuple(a.shape[1:]) for a in activations.record(net, torch.rand(2, 1, 20, 20), list(points)).values()]
    assert shapes == [(1, 20, 20), (16, 20, 20), (32, 10, 10), (64, 5, 5), (64, 5, 5), (64, 1, 1), (10,)]
    assert models.build("cnn4-w4-gelu", classes=3, channels=3).conv4.weight.shape == (16, 16, 3, 3)


@pytest.mark.parametrize(("family", "depth", "width", "name"), [
    ("resnet", 14, 16, "resnet14"), ("resnet", 14, 8, "resnet14-w8"), ("mlp", 2, 128, "mlp2"), ("vgg", 8, 16, "vgg8"),
    ("vgg", 11, 16, "vgg11-w16"), ("resnet", 18, 64, "resnet18"),
])  # fmt: skip
def test_a_name_says_no_width_that_is_the_usual_one(family, depth, width, name):
    assert models.named(family, depth, width) == name
    assert models.parse(name)[:3] == (family, depth, width)


def test_a_network_that_there_is_not_has_no_name():
    with pytest.raises(ValueError, match="resnet15"):
        models.named("resnet", 15, 16)
