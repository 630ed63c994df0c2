"""Activations: the same as by hand, reduced in the hook, in any order, and no hook left behind."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.networks import activations, models, numerics


class Twice(nn.Module):
    """One module called twice, one never."""

    def __init__(self):
        super().__init__()
        self.scale, self.idle = Scale(2.0), Scale(0.0)

    def forward(self, x):
        return self.scale(self.scale(x) + 1)


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_every_point_is_what_a_pass_by_hand_gives():
    net = models.build("mlp2", classes=4, size=4).eval().requires_grad_(False)  # gradients may choose other kernels
    x = torch.randn(3, 1, 4, 4)
    found = activations.record(net, x, ["act1", "fc2:in", "linear", "input"])
    act1 = net.act1(net.fc1(x.flatten(1)))
    assert list(found) == ["act1", "fc2:in", "linear", "input"]
    assert torch.equal(found["act1"], act1) and torch.equal(found["fc2:in"], act1)
    assert torch.equal(found["linear"], net(x)) and torch.equal(found["input"], x)


def test_calls_are_counted_from_one():
    x = torch.ones(1, 3)
    found = activations.record(Twice(), x, ["scale", "scale#1", "scale#2", "scale:in#2"])
    assert [int(value[0, 0]) for value in found.values()] == [2, 2, 6, 3]


def test_the_order_of_the_pass():
    assert activations.order(Twice(), torch.ones(1, 3)) == ["scale", "scale#2"]
    net = models.build("resnet8-w2", classes=3).eval()
    order = activations.order(net, torch.rand(2, 1, 8, 8))
    block = [f"layer2.0.{name}" for name in ("conv1", "bn1", "act1", "conv2", "bn2", "shortcut", "act2")]
    assert order[:3] == ["conv1", "bn1", "act1"] and order[-2:] == ["avgpool", "linear"]
    assert order[order.index(block[0]) :][: len(block)] == block and not hooks(net)


@given(st.permutations(["input", "layer1.0", "layer1.0.act1:in", "layer3.0", "avgpool", "linear"]), st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_any_subset_in_any_order(points, count):
    net = models.build("resnet8-w2", classes=3).eval()
    x = torch.rand(2, 1, 8, 8)
    everything = activations.record(net, x, points)
    some = activations.record(net, x, points[:count])
    assert list(some) == points[:count] and hooks(net) == 0
    assert all(torch.equal(some[point], everything[point]) for point in some)


def test_reduce_is_called_in_the_hook_and_may_carry_gradients():
    net = models.build("resnet8-w2", classes=3).double().eval()
    x = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    shapes = []

    def mean(point, activation):
        shapes.append((point, activation.ndim))
        return activation.mean()

    found = activations.record(net, x, ["linear", "layer1.0"], mean)
    assert shapes == [("layer1.0", 4), ("linear", 2)] and list(found) == ["linear", "layer1.0"]
    found["linear"].backward()
    assert x.grad.abs().sum() > 0
    assert not activations.record(net, x, ["linear"])["linear"].requires_grad


def test_the_pass_stops_at_the_last_point():
    net = models.build("mlp3", classes=3).eval()
    seen = []
    handle = net.linear.register_forward_hook(lambda *_: seen.append(1))
    activations.record(net, torch.rand(2, 1, 8, 8), ["input", "act1"])
    assert not seen
    activations.record(net, torch.rand(2, 1, 8, 8), ["act1", "linear"])
    assert seen
    handle.remove()


def test_hooks_are_removed_when_something_fails():
    net = models.build("mlp2", classes=3).eval()

    def fail(point, activation):
        raise KeyError(point)

    with pytest.raises(KeyError):
        activations.record(net, torch.rand(2, 1, 8, 8), ["act1"], fail)
    with pytest.raises(RuntimeError):
        activations.record(net, torch.rand(2, 3, 9, 9), ["act1"])
    assert hooks(net) == 0


@pytest.mark.parametrize(
    "point, near",
    [("layer1.9", "layer1.0"), ("act9", "act1"), ("linear#0", "linear"), ("inputs", "input"), ("", "expected MODULE")],
)
def test_unknown_points_are_refused_with_a_hint(point, near):
    with pytest.raises(ValueError, match=near):
        activations.record(models.build("resnet8", classes=3), torch.rand(1, 1, 8, 8), [point])


def test_points_that_are_not_reached_are_refused():
    for point in ("idle", "scale#3"):
        with pytest.raises(ValueError, match="does not reach"):
            activations.record(Twice(), torch.ones(1, 2), [point])


def test_collect_is_record_over_batches():
    net = models.build("vgg8", classes=3).double().eval()
    x = torch.rand(7, 1, 8, 8, dtype=torch.float64)
    whole, parts = activations.record(net, x, ["stage1", "linear"]), activations.collect(net, x, ["stage1", "linear"], batch=3)
    assert all(torch.allclose(whole[point], parts[point], atol=1e-12) for point in whole)
    norms = activations.collect(net, x, ["stage1"], lambda point, a: activations.flat(a).norm(dim=1), batch=3)
    assert torch.allclose(norms["stage1"], activations.flat(whole["stage1"]).norm(dim=1))


def test_flat_and_double():
    assert activations.flat(torch.zeros(4, 2, 3, 3)).shape == (4, 18)
    assert numerics.double(torch.ones(2)).dtype == torch.float64


def test_points_where_all_images_are_the_same_are_left_out():
    net = nn.Sequential(nn.Linear(3, 4), Scale(0.0), nn.Linear(4, 2))
    assert activations.varying(net, torch.randn(5, 3), ["input", "0", "1", "2"]) == ["input", "0"]
