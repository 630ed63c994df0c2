"""Changes of images in training: planted warps, closed forms, and attacks that stay in their ball."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.networks import augmentation, models, numerics


def drawn(monkeypatch, *values):
    """Every random number of the next change is this one, between -1 and 1."""
    column = torch.tensor(values)[:, None]
    monkeypatch.setattr(augmentation, "_uniform", lambda rows, n, generator, like: column.expand(rows, n).to(like))


def pictures(*shape):
    """Pixels between 0 and 1 in double precision, always the same."""
    return torch.rand(shape, dtype=torch.float64, generator=numerics.stream(0, "pictures"))


def blob(size=33, x=0.0, y=0.0):
    """A Gaussian at a place in pixels from the centre."""
    line = torch.arange(size) - (size - 1) / 2
    return torch.exp(-((line - x) ** 2 + (line[:, None] - y) ** 2) / 18)[None, None]


def moments(image):
    """(x, y) of the centre of mass in pixels, and the root mean square distance from it."""
    line = torch.arange(image.shape[-1]) - (image.shape[-1] - 1) / 2
    weight = image[0, 0] / image.sum()
    x, y = (weight.sum(0) * line).sum(), (weight.sum(1) * line).sum()
    return x.item(), y.item(), (weight * ((line - x) ** 2 + (line[:, None] - y) ** 2)).sum().sqrt().item()


def test_a_warp_by_nothing_is_nothing(monkeypatch):
    drawn(monkeypatch, 0.0, 0.0, 0.0, 0.0, 0.0)
    images = pictures(3, 2, 20, 24)
    assert torch.allclose(augmentation.geometric(images, numerics.stream(0)), images, atol=1e-5)


def test_a_warp_turns_shifts_zooms_and_shears_as_planted(monkeypatch):
    images = pictures(3, 2, 20, 20)
    monkeypatch.setattr(augmentation, "ROTATION", math.pi / 2)
    drawn(monkeypatch, 1.0, 0.0, 0.0, 0.0, 0.0)
    assert torch.allclose(augmentation.geometric(images, numerics.stream(0)), images.rot90(1, (2, 3)), atol=1e-5)
    drawn(monkeypatch, 0.0, 0.0, 0.0, 1.0, -1.0)
    shifted = augmentation.geometric(images, numerics.stream(0))  # a tenth of 20 pixels, in both directions
    assert torch.allclose(shifted[:, :, 2:, :-2], images[:, :, :-2, 2:], atol=1e-5)
    assert not shifted[:, :, :2].any() and not shifted[..., -2:].any()
    for zoom in (-1.0, 1.0):
        drawn(monkeypatch, 0.0, zoom, 0.0, 0.0, 0.0)
        x, y, spread = moments(augmentation.geometric(blob(65, 6, -4), numerics.stream(0)))
        assert (x, y) == pytest.approx((6 * (1 + 0.15 * zoom), -4 * (1 + 0.15 * zoom)), abs=0.02)
        assert spread == pytest.approx(math.sqrt(18) * (1 + 0.15 * zoom), rel=0.02)
    drawn(monkeypatch, 0.0, 0.0, 1.0, 0.0, 0.0)
    assert moments(augmentation.geometric(blob(65, 0, 10), numerics.stream(0)))[:2] == pytest.approx((-2, 10), abs=0.02)


def test_a_wide_image_is_turned_by_the_same_angle(monkeypatch):
    monkeypatch.setattr(augmentation, "ROTATION", math.pi / 2)
    drawn(monkeypatch, 1.0, 0.0, 0.0, 0.0, 0.0)
    image = pictures(1, 1, 12, 20)
    square = image[..., 4:16]
    turned = augmentation.geometric(image, numerics.stream(0))[..., 4:16]
    assert torch.allclose(turned, square.rot90(1, (2, 3)), atol=1e-5)


def test_contrast_and_brightness_have_their_closed_form():
    images = pictures(400, 3, 6, 5)
    changed = augmentation.photometric(images, numerics.stream(0, "test"))
    mean, new_mean = (batch.mean((1, 2, 3), keepdim=True) for batch in (images, changed))
    factor = changed.std((1, 2, 3), keepdim=True) / images.std((1, 2, 3), keepdim=True)
    assert torch.allclose(changed - new_mean, factor * (images - mean))
    for values, low, high in ((factor, 0.5, 1.5), (new_mean - mean, -0.3, 0.3)):
        assert low - 1e-5 <= values.min() < low + 0.03 and high - 0.03 < values.max() <= high + 1e-5
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.05)


def test_noise_has_its_deviation():
    images = pictures(40, 1, 20, 20)
    difference = augmentation.noise(images, 0.25, numerics.stream(0, "test")) - images
    assert difference.std() == pytest.approx(0.25, rel=0.02) and difference.mean().abs() < 0.01


@pytest.mark.parametrize("change", [
    augmentation.geometric, augmentation.photometric, lambda images, generator: augmentation.noise(images, 1, generator)
])  # fmt: skip
def test_changes_follow_from_the_generator_and_differ_between_images(change):
    images = pictures(1, 2, 9, 9).expand(3, 2, 9, 9)
    first, again, other = (change(images, numerics.stream(seed, "test")) for seed in (0, 0, 1))
    assert first.dtype == torch.float64 and torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def network(seed=0):
    return models.build("cnn4-w4", classes=10, size=12, seed=seed).double().eval()


@given(radius=st.floats(0, 10), steps=st.integers(1, 6), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_an_attack_stays_in_its_ball(radius, steps, seed):
    net, generator = network(seed), numerics.stream(seed, "images")
    images = torch.rand(4, 1, 12, 12, dtype=torch.float64, generator=generator)
    labels = net(images).argmax(1)
    attacked = augmentation.attack(net, images, labels, radius, steps, numerics.stream(seed, "attack"))
    length = (attacked - images).flatten(1).norm(dim=1)
    assert (length <= radius + 1e-13).all() and not attacked.requires_grad


def test_an_attack_raises_the_loss_more_than_chance():
    net, images = network(), pictures(20, 1, 12, 12)
    labels = net(images).argmax(1)
    attacked = augmentation.attack(net, images, labels, 2, 5, numerics.stream(0, "attack"))
    chance = images + 2 * augmentation._unit(augmentation._normal(images, numerics.stream(0)))
    losses = [F.cross_entropy(net(batch), labels, reduction="none") for batch in (images, chance, attacked)]
    assert (losses[2] > losses[1]).all() and (losses[2] > losses[0]).all()


def test_an_attack_on_a_linear_network_is_the_known_one():
    """For two classes the worst place in the ball lies along the difference of the two rows of weights."""
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, dtype=torch.float64).requires_grad_(False))
    linear[1].weight.copy_(pictures(2, 16) - 0.5)
    images, labels = pictures(5, 1, 4, 4), torch.tensor([0, 1, 0, 1, 1])
    with torch.no_grad():  # the gradient of the images is taken all the same
        moved = augmentation.attack(linear, images, labels, 0.5, 20, numerics.stream(0, "attack")) - images
    away = F.normalize(linear[1].weight[1] - linear[1].weight[0], dim=0)
    expected = 0.5 * torch.where(labels == 0, 1.0, -1.0)[:, None] * away
    assert torch.allclose(moved.flatten(1).norm(dim=1), torch.full((5,), 0.5).double())
    assert (F.cosine_similarity(moved.flatten(1), expected) > 0.93).all()  # from 90°, 2.5 radii of walking leave 10°


def test_an_attack_on_a_constant_network_is_a_place_in_the_ball():
    """Where there is no gradient: spread evenly over the ball, so that half of its volume holds half of the places."""
    images = torch.zeros(2000, 1, 2, 2)
    attacked = augmentation.attack(lambda x: x.flatten(1) * 0, images, torch.zeros(2000).long(), 3, 2, numerics.stream(0))
    length = attacked.flatten(1).norm(dim=1)
    assert length.max() <= 3.00001 and (length < 3 * 0.5**0.25).float().mean() == pytest.approx(0.5, abs=0.04)
    assert attacked.mean(0).abs().max() < 0.15


@pytest.mark.parametrize("radius, steps", [(-1, 3), (1, 0)])
def test_impossible_attacks_are_refused(radius, steps):
    with pytest.raises(ValueError, match=f"radius={radius}, steps={steps}"):
        augmentation.attack(network(), pictures(1, 1, 12, 12), torch.tensor([0]), radius, steps, numerics.stream(0))
