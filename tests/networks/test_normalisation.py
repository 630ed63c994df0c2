"""A network that carries its normalisation: the same bits as when it is given normalised images, however it is run."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacfwd, jvp, vmap

from helpers.depth import inversion, jacobians
from helpers.frames import directions, push_forward
from helpers.networks import activations, datasets, evaluation, models, normalisation, numerics, pretrained, training
from helpers.networks.normalisation import bare, normalised
from helpers.networks.training import Spec, calibrate, trained

DIGITS = datasets.load("digits", device="cpu")
QUICK = Spec("mlp2", epochs=1)


def built(name="resnet8-w4"):
    return models.build(name, classes=10).eval().requires_grad_(False)


@pytest.fixture
def pair():
    """A network of normalised images, and the same of pixels."""
    return built(), normalised(built(), DIGITS.mean, DIGITS.std)


def pixels(kind):
    images = DIGITS.test_images[:8]
    return images if kind == torch.uint8 else images.to(kind) / 255


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64])
def test_the_bits_are_those_of_normalised_images(pair, kind):
    plain, carrying = pair
    if kind == torch.float64:
        plain, carrying = plain.double(), numerics.double(carrying)
    seen = DIGITS.normalise(pixels(kind))
    assert torch.equal(carrying(pixels(kind)), plain(seen)) and not torch.equal(plain(seen), plain(pixels(seen.dtype)))


def test_precision_can_change_and_come_back(pair):
    """Constants that were rounded on the way to half precision would not be those of the data set again."""
    plain, carrying = (net.half().double() for net in pair)
    assert torch.equal(carrying(pixels(torch.float64)), plain(DIGITS.normalise(pixels(torch.float64))))


def test_colours_have_constants_of_their_own():
    images, mean, std = torch.rand(2, 3, 4, 4), (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    net = normalised(nn.Flatten().eval(), mean, std)
    theirs = torch.stack([(images[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    assert torch.equal(net(images), theirs.flatten(1))


def test_it_is_the_same_network_with_the_same_names(pair):
    plain, carrying = pair
    net = built()
    assert normalised(net, DIGITS.mean, DIGITS.std) is net
    assert list(carrying.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in carrying.named_modules()] == [name for name, _ in plain.named_modules()]
    assert [name for name, _ in carrying.named_buffers()] == [name for name, _ in plain.named_buffers()]
    x = pixels(torch.float32)
    assert activations.order(carrying, x) == activations.order(plain, DIGITS.normalise(x))
    assert models.points(carrying) == models.points(plain)
    foreign = [normalised(nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU()), DIGITS.mean, DIGITS.std)]
    foreign.append(bare(foreign[0]))
    assert models.points(foreign[0], x) == models.points(foreign[1], x) and len(models.points(foreign[0], x)) > 1


def test_copies_carry_it_too(pair):
    plain, carrying = pair
    expected = plain(DIGITS.normalise(pixels(torch.uint8)))
    for other in (copy.deepcopy(carrying), pickle.loads(pickle.dumps(carrying)), carrying.to("cpu"), copy.copy(carrying)):
        assert torch.equal(other(pixels(torch.uint8)), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_it_goes_along_to_a_device(pair):
    plain, carrying = (net.to("cuda") for net in pair)
    assert torch.equal(carrying(pixels(torch.uint8).cuda()), plain(DIGITS.normalise(pixels(torch.uint8)).cuda()))


def test_activations_are_those_of_normalised_images(pair):
    plain, carrying = pair
    x, points = pixels(torch.float32), ["input", "conv1:in", "layer2.0.conv1:in", "layer2.0", "linear"]
    ours, theirs = activations.record(carrying, x, points), activations.record(plain, DIGITS.normalise(x), points)
    assert list(ours) == points and all(torch.equal(ours[point], theirs[point]) for point in points)
    assert torch.equal(activations.record(carrying, x, ["input"])["input"], DIGITS.normalise(x))
    assert torch.equal(activations.collect(carrying, pixels(torch.uint8), ["input"], batch=3)["input"], DIGITS.normalise(x))


def test_derivatives_are_those_of_the_composition(pair):
    plain, carrying = pair
    x, composed = pixels(torch.float32), lambda x: plain(DIGITS.normalise(x))
    v = torch.randn(3, *x.shape, generator=numerics.stream(0, "v"))
    with evaluation.differentiable():
        along = [vmap(lambda v: jvp(net, (x,), (v,))[1])(v) for net in (carrying, composed)]
        whole = [jacfwd(net)(x[:1]) for net in (carrying, composed)]
        each = [vmap(lambda one: net(one[None])[0])(x) for net in (carrying, composed)]
    for ours, theirs in (along, whole, each):
        assert torch.equal(ours, theirs)
    weights = dict(carrying.named_parameters()) | dict(carrying.named_buffers())
    assert torch.equal(functional_call(carrying, weights, (x,)), composed(x))


def test_bare_is_without_it_and_leaves_the_network_as_it_is(pair):
    plain, carrying = pair
    x, without = pixels(torch.float32), bare(carrying)
    assert torch.equal(without(x), plain(x)) and torch.equal(carrying(x), plain(DIGITS.normalise(x)))
    assert without is not carrying and without.conv1.weight.data_ptr() != carrying.conv1.weight.data_ptr()
    assert torch.equal(bare(plain)(x), plain(x)) and bare(plain) is not plain
    assert torch.equal(normalised(without, DIGITS.mean, DIGITS.std)(x), carrying(x))


def test_bare_keeps_other_hooks():
    net = normalised(nn.Flatten(), (0.5,), (2.0,))
    net.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    assert bare(net)(torch.ones(1, 1, 1, 1)).item() == 2 and net(torch.ones(1, 1, 1, 1)).item() == 1.25


def test_twice_and_bad_constants_are_refused(pair):
    with pytest.raises(ValueError, match="model: it normalises its images already"):
        normalised(pair[1], DIGITS.mean, DIGITS.std)
    for mean, std in (((0.5,), (0.0,)), ((0.5,), (1.0, 1.0)), ((), ()), ((float("nan"),), (1.0,)), ((0.5,), (float("nan"),))):
        with pytest.raises(ValueError, match="mean=.*std="):
            normalised(nn.Flatten(), mean, std)


# --- What instruments measure


def test_instruments_measure_the_network_with_its_normalisation(pair):
    """As though the normalisation were a first layer."""
    plain, carrying = (net.double() for net in pair)
    first = nn.Conv2d(1, 1, 1).double()
    with torch.no_grad():
        first.weight.fill_(1 / DIGITS.std[0]), first.bias.fill_(-DIGITS.mean[0] / DIGITS.std[0])
    layered, x = nn.Sequential(first, plain).eval(), pixels(torch.float64)
    begun, stream = inversion.start(x, numerics.stream(0, "start")), lambda: numerics.stream(0, "noise")
    v, labels = directions.white_noise(x, 3, stream()), DIGITS.test_labels[:8]
    measured = [
        (
            inversion.invert(net, point, x, begun, inversion.Procedure(steps=5)).images,
            inversion.shifted(net, point, x, stream()).embedding,
            inversion.equivalent_noise(net, point, x, torch.ones(8).double(), stream(), draws=1),
            jacobians.spectrum(net, point, x[:2]).values,
            jacobians.input_gradient(net, point, x, begun),
            push_forward.push(net, x, v, [point])[point],
            push_forward.gram(net, x, v, [point])[point].gram,
            push_forward.noise_gain_at_output(net, x, point),
            push_forward.validity(net, x, x[:, None] + v, v, [point])[point].cosine,
            directions.loss_gradient(net, x, labels),
        )
        for net, point in ((carrying, "linear"), (layered, "1.linear"))
    ]
    for ours, theirs in zip(*measured):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)
    inside = jacobians.spectrum(carrying, "input", x[:2]).values
    torch.testing.assert_close(inside, torch.full_like(inside, 1 / DIGITS.std[0]))


# --- Networks from training


def test_trained_networks_carry_that_of_their_images():
    net = trained(QUICK, "cpu", progress=False)
    assert torch.equal(net.model(DIGITS.test_images), bare(net.model)(DIGITS.normalise(DIGITS.test_images)))
    assert net.images.checksum == DIGITS.checksum and net.images.mean == DIGITS.mean
    right = (net.model(DIGITS.test_images).argmax(1) == DIGITS.test_labels).float().mean().item()
    assert right == pytest.approx(net.accuracy["test"]) and right > 0.3
    few = trained(Spec("mlp2", classes=3, epochs=1), "cpu", progress=False)
    assert len(few.images.classes) == 3 and few.images.test_images.shape[0] < 300
    early, late = training.checkpoints(QUICK, steps=[0], device="cpu", progress=False)
    for each in (early, late, trained(Spec("mlp2", weights="none"), "cpu")):
        with pytest.raises(ValueError, match="already"):
            normalised(each.model, DIGITS.mean, DIGITS.std)


def test_calibration_sees_normalised_images():
    net = trained(Spec("resnet8-w4", epochs=0), "cpu", progress=False)
    plain = bare(net.model)
    calibrate(net, 1)
    chosen = torch.randint(len(DIGITS.train_images), (128,), generator=numerics.stream(100, "calibration", 0))
    before = plain.conv1(DIGITS.normalise(DIGITS.train_images[chosen]))
    torch.testing.assert_close(net.model.bn1.running_mean, before.mean((0, 2, 3)))


def test_weights_from_elsewhere_have_the_constants_they_want(tmp_path, monkeypatch):
    """A file for a network of torchvision's wants ImageNet's, whatever the images' own are."""
    generator = numerics.stream(0, "photographs")
    part = lambda n: (torch.randint(256, (n, 3, 32, 32), generator=generator).to(torch.uint8), None)
    photographs = datasets._placed("cpu", name="folder:x", title="x", train=part(4), test=part(4), classes=())
    monkeypatch.setattr(training, "_loaded", lambda *_: photographs)
    name, path = "torchvision:resnet18", str(tmp_path / "weights.pth")
    torch.save(models.build(name, classes=5, channels=3, size=32).state_dict(), path)
    net = trained(Spec(name, "folder:x", size=32, weights=path), "cpu")
    assert (net.images.mean, net.images.std) == pretrained.IMAGENET != (photographs.mean, photographs.std)
    x = photographs.test_images / 255
    theirs = normalisation.Normalisation(*pretrained.IMAGENET).of(x)
    assert torch.equal(activations.record(net.model, x, ["input"])["input"], theirs)
    assert torch.equal(net.model(x), bare(net.model)(theirs))
