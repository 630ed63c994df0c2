"""Decoders: codes from which images can be had back, codes from which they cannot, seeds, and bad input."""

import math

import pytest
import torch

from helpers.depth import decoders
from helpers.networks import datasets
from helpers.networks.numerics import stream


@pytest.fixture(scope="module")
def digits():
    """Training and test images in [0, 1]."""
    images = datasets.load("digits")
    return images.train_images / 255, images.test_images / 255


def rotated(images, seed=0):
    """All pixels mixed by one rotation, (n, d)."""
    d = images[0].numel()
    return images.flatten(1) @ torch.linalg.qr(torch.randn(d, d, generator=stream(seed, "rotation"))).Q


def noise(n, *shape):
    return torch.randn(n, *shape, generator=stream(0, "noise", n))


def error(found, images):
    """|d - a| / |a|, the mean over the images."""
    length = lambda x: x.flatten(1).norm(dim=1)
    return (length(found - images) / length(images)).mean().item()


CODES = {  # and an error at least twice as large as that of any kind of CPU, which agree to a hundredth of it
    "identity": (lambda x: x, 0.05),
    "rotation": (rotated, 0.05),
    "folded": (lambda x: torch.nn.functional.pixel_unshuffle(3 * x - 1, 2), 0.08),  # four channels of half the side
    "halves": (lambda x: torch.cat([x - 0.5, 0.5 - x], dim=1).relu(), 0.06),
    "with dead channels": (lambda x: torch.cat([x, 0 * x, 0 * x + 1e8], dim=1), 0.05),
}


@pytest.mark.parametrize("name", CODES)
def test_images_come_back_from_codes_that_hold_them(digits, name):
    seen, unseen = digits
    encode, most = CODES[name]
    decoder = decoders.train(encode(seen), seen, 0)
    assert error(decoder(encode(unseen)), unseen) < most


@pytest.mark.parametrize("shape", [(16,), (4, 2, 2)])
def test_from_noise_comes_nothing_better_than_the_mean_image(digits, shape):
    seen, unseen = digits
    mean = seen.mean(0).expand_as(unseen)
    found = decoders.train(noise(len(seen), *shape), seen, 0)(noise(len(unseen), *shape))
    assert (found - unseen).square().mean() > 0.98 * (mean - unseen).square().mean()
    assert error(found, unseen) < 1.2 * error(mean, unseen)  # nor much worse


def test_what_a_code_has_lost_stays_lost(digits):
    seen, unseen = digits
    left = seen.clone()
    left[..., 4:] = 0
    decoder = decoders.train(left, seen, 0)
    hidden = unseen.clone()
    hidden[..., 4:] = 0
    found = decoder(hidden)
    assert error(found[..., :4], unseen[..., :4]) < 0.13  # measured: 0.061
    mean = seen.mean(0).expand_as(unseen)
    ratio = error(found[..., 4:], unseen[..., 4:]) / error(mean[..., 4:], unseen[..., 4:])
    assert 0.4 < ratio < 1  # halves of digits go together, but not all the way


def test_the_better_of_two_codes_has_the_smaller_error(digits):
    seen, unseen = digits
    train = lambda k: decoders.train(rotated(seen)[:, :k], seen, 0, steps=150)
    few, more = (error(train(k)(rotated(unseen)[:, :k]), unseen) for k in (4, 16))
    assert few > 1.3 * more


def test_a_constant_image_is_learned_from_anything():
    image = torch.rand(1, 3, 8, 8, generator=stream(0, "image"))
    decoder = decoders.train(noise(50, 5), image.expand(50, 3, 8, 8), 0, steps=2)
    torch.testing.assert_close(decoder(noise(7, 5)), image.expand(7, 3, 8, 8))


@pytest.mark.parametrize(
    "code, image",
    [((10,), (1, 8, 8)), ((7, 1, 1), (3, 20, 20)), ((2, 5, 5), (1, 20, 20)), ((3, 2, 2), (1, 20, 20)),
     ((3, 5, 3), (3, 12, 7)), ((2, 12, 12), (1, 8, 8)), ((4,), (3, 1, 5)), ((6,), (1, 64, 64))],
)  # fmt: skip
def test_codes_of_any_shape_become_images(code, image):
    images = torch.rand(20, *image, generator=stream(0, "images"))
    decoder = decoders.train(noise(20, *code), images, 0, steps=2, batch=4, width=3)
    found = decoder(1000 * noise(6, *code).double())
    assert found.shape == (6, *image) and found.dtype == torch.float32 and not found.requires_grad
    assert found.min() == 0 and found.max() == 1
    assert not decoder.training and not any(each.requires_grad for each in decoder.parameters())


def test_scales_of_features_do_not_matter(digits):
    seen = digits[0][:200]
    scale = 2.0 ** torch.arange(-8, 8).repeat(4)  # powers of two, which round nothing: the same bits on every CPU
    codes = rotated(seen)
    plain, scaled = (decoders.train(each, seen, 0, steps=20) for each in (codes, codes * scale))
    assert torch.equal(plain(codes), scaled(codes * scale))


def test_offsets_of_features_do_not_matter(digits):
    seen = digits[0][:200]
    codes = rotated(seen)
    plain, moved = (error(decoders.train(each, seen, 0, steps=20)(each), seen) for each in (codes, codes + 8))
    # An offset rounds, and training makes of last bits 0.005 of a pixel, which one way or the other is 1e-4 of the error.
    assert moved == pytest.approx(plain, rel=0.01) and plain < 0.6 * error(seen.mean(0).expand_as(seen), seen)


def test_the_seed_decides_and_the_global_generator_does_not(digits, monkeypatch):
    seen = digits[0][:200]

    def trained(seed):
        with torch.no_grad():  # which training has to set aside
            weights = decoders.train(seen, seen, seed, steps=5).state_dict()
        return torch.cat([value.flatten() for value in weights.values()])

    torch.manual_seed(1)
    first, state = trained(0), torch.get_rng_state()
    torch.manual_seed(2)
    again = trained(0)
    torch.manual_seed(1)
    assert torch.equal(first, again) and torch.equal(torch.get_rng_state(), state)
    for purpose in ("decoder", "decoder batches"):  # weights and batches, each by the seed
        monkeypatch.setattr(decoders, "stream", lambda seed, name: stream(seed if name == purpose else 0, name))
        assert not torch.equal(first, trained(1))


def test_bad_input_is_named():
    codes, images = noise(10, 4), torch.rand(10, 1, 8, 8, generator=stream(0, "images"))
    for wrong in (noise(10, 4, 3), noise(10, 0), noise(0, 4), codes * math.nan):
        with pytest.raises(ValueError, match="codes: shape"):
            decoders.train(wrong, images, 0)
    with pytest.raises(ValueError, match="images: 9"):
        decoders.train(codes, images[:9], 0)
    for wrong in (images + 1, images - 1, images * math.nan):
        with pytest.raises(ValueError, match="images: from"):
            decoders.train(codes, wrong, 0)
    for name, value in (("steps", 0), ("batch", 0), ("lr", 0.0), ("width", -1)):
        with pytest.raises(ValueError, match=f"{name}: "):
            decoders.train(codes, images, 0, **{name: value})


def test_what_is_read_at_a_point_comes_from_its_codes(digits):
    seen, unseen = digits
    tokens = torch.nn.Sequential(torch.nn.Unflatten(2, (2, 4)), torch.nn.Flatten(1, 2), torch.nn.Flatten(2)).eval()
    for model in (torch.nn.Sequential(torch.nn.Identity()).eval(), tokens):
        point = list(dict(model.named_modules()))[-1]
        read = decoders.read(model, point, unseen[:50], seen, 0, steps=200)
        assert read.shape == unseen[:50].shape and error(read, unseen[:50]) < 0.15
