"""Directions: generators against the augmentations themselves, groups, spectra of noise, planes of data, Jacobians."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.frames import directions
from helpers.frames.directions import AUGMENTATIONS, FAMILIES, GEOMETRIC, apply, generators
from helpers.networks import datasets
from helpers.networks.numerics import stream

SEEDS = st.integers(0, 2**31 - 1)
FLOWS = sorted(AUGMENTATIONS)


def coloured(n=3, h=12, w=9, seed=0):
    return torch.rand(n, 3, h, w, generator=stream(seed, "coloured"), dtype=torch.float64)


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits20")


@pytest.fixture(scope="module")
def vae(digits):
    return directions.train_vae(digits.train_images / 255, seed=0, epochs=15)


def flat(vectors):
    return vectors.flatten(2)


def raw(named):
    return named.vectors * named.norm[..., None, None, None]


# --- Augmentations and their generators


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("images", [coloured(), coloured(2, 10, 10)])
def test_a_generator_is_the_derivative_of_its_augmentation(name, images):
    exact = raw(generators(images, [name]))[:, 0]
    for side in (1, -1):  # from both sides: no kink at the identity
        errors = []
        for strength in (1e-4, 1e-5):
            moved = (apply(images, name, side * strength) - images) / (side * strength)
            errors.append(float((moved - exact).norm() / exact.norm()))
        assert errors[0] < 4e-3 and errors[1] < 0.12 * errors[0] + 1e-10


@pytest.mark.parametrize("name", FLOWS)
def test_no_strength_no_change(name):
    assert torch.equal(apply(coloured(), name, 0), coloured())


@pytest.mark.parametrize("name", sorted(set(FLOWS) - set(GEOMETRIC)))
@settings(max_examples=10, deadline=None)
@given(s=st.floats(-0.5, 0.5), t=st.floats(0, 0.5))
def test_two_strengths_one_after_the_other_add(name, s, t):
    images = coloured()
    torch.testing.assert_close(apply(apply(images, name, s), name, t), apply(images, name, s + t), rtol=0, atol=1e-10)


def test_geometry_moves_what_it_should():
    images = torch.zeros(1, 1, 9, 9)
    images[0, 0, 4, 6] = 1  # two right of the centre
    assert apply(images, "shift x", 1)[0, 0, 4, 5] == 1  # what is looked up lies to the right
    assert apply(images, "shift y", 2)[0, 0, 2, 6] == 1
    turned = apply(images, "rotation", math.pi / 2)
    torch.testing.assert_close(turned, images.rot90(1, (2, 3)))
    assert apply(images, "zoom", math.log(2))[0, 0, 4, 5] == pytest.approx(1)
    assert apply(images, "shear", 1)[0, 0, 4, 6] == 1  # the centre row stays


def test_whole_pixels_are_exact_and_the_outside_is_black():
    images = coloured()
    moved = apply(images, "shift x", 2)
    torch.testing.assert_close(moved[..., :-2], images[..., 2:], rtol=0, atol=1e-15)
    assert moved[..., -2:].abs().max() == 0


def test_interpolation_is_exact_on_parabolas():
    """Keys' kernel with a = -1/2 reproduces polynomials up to degree 2: slopes on ramps are 1, not 1.5."""
    ramp = torch.arange(12, dtype=torch.float64).expand(1, 1, 12, 12)
    for images, moved in ((ramp, ramp + 0.3), (ramp**2, (ramp + 0.3) ** 2)):
        torch.testing.assert_close(apply(images, "shift x", 0.3)[..., 2:-3], moved[..., 2:-3])


def test_generators_of_known_images():
    images = torch.arange(6.0).expand(1, 1, 6, 6) / 10
    named = generators(images)
    vectors = dict(zip(named.names, raw(named)[0]))
    torch.testing.assert_close(vectors["shift x"][0, :, 1:-1], torch.full((6, 4), 0.1))
    torch.testing.assert_close(vectors["brightness"], torch.ones(1, 6, 6))
    torch.testing.assert_close(vectors["contrast"], images[0] - 0.25)
    torch.testing.assert_close(vectors["gamma"][0, 0, 1], torch.tensor(-0.1 * math.log(0.1)))
    assert vectors["gamma"][0, 0, 0] == 0  # 0 log 0
    assert vectors["blur"][0, 1:-1, 1:-1].abs().max() < 1e-6


def test_names_families_and_channels():
    grey, colour = coloured()[:, :1], coloured()
    assert generators(colour).names == tuple(AUGMENTATIONS)
    assert generators(grey).names == tuple(name for name in AUGMENTATIONS if name not in ("saturation", "hue"))
    assert generators(grey, ["photometric"]).names == ("brightness", "contrast", "gamma")
    assert generators(colour, ["photometric"]).names == FAMILIES["photometric"]
    assert generators(colour, ["hue", "geometric"]).names == (*GEOMETRIC, "hue")
    assert set().union(*FAMILIES.values()) == set(AUGMENTATIONS)
    named = generators(colour)
    assert named.vectors.shape == (3, 11, 3, 12, 9) and named.norm.shape == (3, 11)
    torch.testing.assert_close(flat(named.vectors).norm(dim=2), torch.ones(3, 11, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_direction_that_an_image_lacks_is_exactly_zero(dtype):
    grey = torch.rand(2, 1, 8, 8, generator=stream(0, "grey"), dtype=dtype).expand(-1, 3, -1, -1)
    constant = torch.full((2, 3, 8, 8), 0.3, dtype=dtype)
    for images, absent in ((grey, {"saturation", "hue"}), (constant, {"saturation", "hue", "contrast"})):
        named = generators(images)
        lengths = flat(named.vectors).norm(dim=2)
        for k, name in enumerate(named.names):
            expected = 0.0 if name in absent else 1.0
            assert lengths[:, k].tolist() == pytest.approx([expected] * 2), name
            assert (named.norm[:, k] == 0).all() == (name in absent)


def test_colour_turns_keep_grey_and_length():
    images = coloured()
    turned = apply(images, "hue", 0.7)
    torch.testing.assert_close(turned.mean(1), images.mean(1))
    torch.testing.assert_close(turned.norm(dim=1), images.norm(dim=1))
    torch.testing.assert_close(apply(images, "hue", math.tau), images)


def test_blur_spreads_a_point_to_a_gaussian_of_its_variance():
    point = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    point[0, 0, 20, 20] = 1
    spread = apply(point, "blur", 2.0)[0, 0]
    x = torch.arange(41, dtype=torch.float64) - 20
    assert float(spread.sum()) == pytest.approx(1)
    assert float((spread.sum(0) * x**2).sum()) == pytest.approx(4)  # 2 s


def test_pilot_facts_about_digits(digits):
    images = digits.test_images[:60].double() / 255
    named = generators(images)
    cosine = (flat(named.vectors) @ flat(named.vectors).mT).mean(0)
    at = named.names.index
    assert float(cosine[at("rotation"), at("shear")]) == pytest.approx(-0.87, abs=0.02)
    assert float(cosine[at("brightness"), at("gamma")]) == pytest.approx(0.56, abs=0.02)
    assert float(cosine[at("blur"), at("contrast")]) == pytest.approx(-0.60, abs=0.02)
    tangent = raw(named)[:, at("rotation")]
    for degrees, expected in ((0.5, 0.999), (5, 0.95)):
        step = apply(images, "rotation", degrees * math.pi / 180) - images
        found = torch.cosine_similarity(step.flatten(1), tangent.flatten(1)).median()
        assert float(found) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: apply(x, "rotate", 1), "name: 'rotate'"),
        (lambda x: apply(x[:, :1], "hue", 1), "name: 'hue' for images of 1 channels"),
        (lambda x: apply(x, "hue", math.inf), "strength: inf"),
        (lambda x: generators(x, ["geometry"]), "families: geometry"),
        (lambda x: generators(x, []), "families: none"),
        (lambda x: generators(x[:, :1], ["hue"]), "name: 'hue'"),
        (lambda x: generators(x * math.nan), "images: torch.float64"),
        (lambda x: directions.white_noise(x, 0, stream(0)), "count: 0"),
        (lambda x: directions.matched_noise(x, 0, stream(0)), "count: 0"),
        (lambda x: directions.shapes(0, 8, stream(0)), "n: 0"),
        (lambda x: directions.Vae((3, 12, 9), 2).directions(x.float(), 3), "count: 3"),
    ],
)
def test_bad_input_says_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call(coloured())


# --- Noise


@pytest.mark.parametrize("draw", [directions.white_noise, directions.matched_noise])
def test_noise_has_unit_length_and_a_stream(draw):
    images = coloured()
    noise = draw(images, 5, stream(0, "noise"))
    assert noise.shape == (3, 5, 3, 12, 9)
    torch.testing.assert_close(flat(noise).norm(dim=2), torch.ones(3, 5, dtype=torch.float64))
    assert torch.equal(noise, draw(images, 5, stream(0, "noise")))
    assert not torch.equal(noise, draw(images, 5, stream(1, "noise")))
    assert (flat(noise) @ flat(noise).mT - torch.eye(5)).abs().max() < 0.5


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, h=st.integers(2, 13), w=st.integers(2, 13), channels=st.sampled_from([1, 3]), keep=st.booleans())
def test_matched_noise_has_the_spectra_of_the_image(seed, h, w, channels, keep):
    images = torch.rand(2, channels, h, w, generator=stream(seed, "images"), dtype=torch.float64)
    noise = directions.matched_noise(images, 3, stream(seed, "noise"), keep_mean=keep)
    wanted = torch.fft.fft2(images)
    if not keep:
        wanted[..., 0, 0] = 0
        assert noise.mean((3, 4)).abs().max() < 1e-14
    wanted = wanted / wanted.flatten(1).norm(dim=1)[:, None, None, None] * math.sqrt(h * w)
    found = torch.fft.fft2(noise)
    torch.testing.assert_close(found.abs(), wanted.abs()[:, None].expand_as(found), rtol=0, atol=1e-10)
    # One phase field for all channels: how they vary together is kept.
    cross = found[:, :, :1] * found.conj()
    torch.testing.assert_close(cross, (wanted[:, :1] * wanted.conj())[:, None].expand_as(cross), rtol=0, atol=1e-10)


def test_the_mean_makes_noise_into_brightness():
    images = coloured() / 10 + 0.5
    brightness = generators(images, ["brightness"]).vectors
    for keep, low, high in ((True, 0.9, 1), (False, 0, 1e-12)):
        noise = directions.matched_noise(images, 4, stream(0), keep_mean=keep)
        share = (flat(noise) @ flat(brightness).mT).abs()
        assert low <= share.min() and share.max() <= high + 1e-12


def test_constant_images_have_no_matched_noise():
    assert directions.matched_noise(torch.full((2, 1, 6, 6), 0.7), 2, stream(0)).abs().max() == 0


# --- Neighbours, the loss, shapes


def test_local_tangents_find_the_plane_of_their_class():
    """Two classes on planes of their own: each image's directions span that of its class."""
    planes = torch.linalg.qr(torch.randn(2, 36, 3, generator=stream(0, "planes"))).Q.mT
    coordinates = torch.randn(2, 100, 3, generator=stream(0, "coordinates")) * torch.tensor([3.0, 2.0, 1.0])
    images = (coordinates @ planes).reshape(200, 1, 6, 6)
    labels = torch.arange(2).repeat_interleave(100)
    chosen = torch.randperm(200, generator=stream(0))[:70]
    found = directions.local_tangents(images[chosen], labels[chosen], images, labels, neighbours=99, count=4)
    assert found.shape == (70, 4, 1, 6, 6)
    inside = flat(found) @ planes[labels[chosen]].mT
    torch.testing.assert_close(inside[:, :3].norm(dim=2), torch.ones(70, 3))
    assert found[:, 3].abs().max() == 0  # a plane of 3 dimensions has no fourth


def test_local_tangents_are_those_of_one_image_at_a_time(digits):
    images, train = digits.test_images[:8].double() / 255, digits.train_images.double() / 255
    labels = digits.test_labels[:8]
    found = flat(directions.local_tangents(images, labels, train, digits.train_labels, 30, 5))
    for x, label, ours in zip(images, labels, found):
        same = train[digits.train_labels == label].flatten(1)
        near = same[(same - x.flatten()).norm(dim=1).argsort()[:30]]
        theirs = torch.linalg.svd(near - near.mean(0), full_matrices=False).Vh[:5]
        torch.testing.assert_close((ours @ theirs.T).abs(), torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-9)


def test_too_few_neighbours_of_a_class(digits):
    train, labels = digits.train_images[:200] / 255, digits.train_labels[:200]
    with pytest.raises(ValueError, match="neighbours: 90, expected at most .* class"):
        directions.local_tangents(train[:3], labels[:3], train, labels, neighbours=90)
    with pytest.raises(ValueError, match="count: 10, expected 1 to 4"):
        directions.local_tangents(train[:3], labels[:3], train, labels, neighbours=5)


def test_the_loss_gradient_is_the_steepest_direction():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(108 * 3, 16), nn.Tanh(), nn.Linear(16, 4)).double().eval()
    images, labels = coloured(), torch.tensor([0, 1, 2])
    loss = lambda x, y: torch.nn.functional.cross_entropy(model(x), y, reduction="none")
    steepest = directions.loss_gradient(model, images, labels)
    assert steepest.shape == (3, 1, 3, 12, 9)
    noise = directions.white_noise(images, 20, stream(0))
    rise = lambda v: (loss(images + 1e-6 * v, labels) - loss(images - 1e-6 * v, labels)) / 2e-6
    assert all((rise(steepest[:, 0]) > rise(noise[:, k])).all() for k in range(20))
    own = directions.loss_gradient(model, images)
    torch.testing.assert_close(own, directions.loss_gradient(model, images, model(images).argmax(1)))
    assert all(p.grad is None for p in model.parameters())


def test_a_dead_network_has_no_loss_gradient():
    model = nn.Sequential(nn.Flatten(), nn.Linear(324, 4)).double()
    nn.init.zeros_(model[1].weight)
    assert directions.loss_gradient(model, coloured()).abs().max() == 0


def test_shapes_have_their_exact_jacobian():
    found = directions.shapes(4, 17, stream(0, "shapes"), torch.float64)
    assert found.images.shape == (4, 1, 17, 17) and found.jacobian.shape == (4, 5, 1, 17, 17)
    assert 0 <= found.images.min() and found.images.max() <= 1
    edge = torch.ones(17, 17, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert found.images[:, 0, edge].max() < 0.1  # well within

    grid = torch.arange(17, dtype=torch.float64) - 8

    def ellipse(factors):
        x, y, angle, size, intensity = factors
        u = angle.cos() * (grid - x) + angle.sin() * (grid[:, None] - y)
        v = angle.cos() * (grid[:, None] - y) - angle.sin() * (grid - x)
        return intensity * torch.sigmoid(4 - 4 * ((u / size) ** 2 + (2 * v / size) ** 2))

    torch.testing.assert_close(found.images[:, 0], torch.stack([ellipse(f) for f in found.factors]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's, at the first vmap
        theirs = torch.stack([torch.func.jacfwd(ellipse)(f) for f in found.factors])  # (n, h, w, 5)
    torch.testing.assert_close(found.jacobian[:, :, 0], theirs.permute(0, 3, 1, 2))
    assert torch.equal(found.images, directions.shapes(4, 17, stream(0, "shapes"), torch.float64).images)


# --- The variational autoencoder


def test_the_vae_learns_digits_and_is_the_same_again(digits, vae):
    images = digits.test_images / 255
    assert float((vae(images) - images).norm() / images.norm()) < 0.4
    again = directions.train_vae(digits.train_images[:200] / 255, seed=3, epochs=2)
    same = directions.train_vae(digits.train_images[:200] / 255, seed=3, epochs=2)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), same.parameters()))
    assert not vae.training and not any(p.requires_grad for p in vae.parameters())


def test_vae_directions_are_singular_vectors_of_its_jacobian(digits, vae):
    images, vae = digits.test_images[:6].double() / 255, vae.double()
    codes = vae.encode(images)[0]
    steps = 1e-6 * torch.eye(10, dtype=torch.float64)
    theirs = torch.stack([(vae.decode(codes + step) - vae.decode(codes - step)) / 2e-6 for step in steps], dim=1)
    torch.testing.assert_close(vae.jacobian(images), theirs, rtol=0, atol=1e-7)
    found = flat(vae.directions(images, 4))
    left = torch.linalg.svd(flat(theirs).mT, full_matrices=False).U[..., :4].mT
    torch.testing.assert_close((found @ left.mT).abs(), torch.eye(4).double().expand(6, 4, 4), rtol=0, atol=1e-6)
    vae.float()


def test_data_and_vae_capture_augmentations_better_than_chance(digits, vae):
    """Of a random 10-dimensional span an augmentation has 10/400 = .025; of shift x these have .7 and .4."""
    images, labels = digits.test_images[:60] / 255, digits.test_labels[:60]
    named = generators(images)
    local = directions.local_tangents(images, labels, digits.train_images / 255, digits.train_labels)
    for span, of_shift in ((local, 0.6), (vae.directions(images, 10), 0.3)):
        share = (flat(named.vectors) @ flat(span).mT).square().sum(2).mean(0)
        assert share.min() > 0.1 and share[named.names.index("shift x")] > of_shift
