"""Likeness: closed forms, the formulas by scipy, fields of known spectra, samples of one or two distributions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist, pdist

from helpers.depth import image_similarity
from helpers.networks.numerics import stream

SEEDS = st.integers(0, 2**31 - 1)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=stream(seed, "uniform", *shape), dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "normal", *shape), dtype=torch.float64)


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, torch.as_tensor(b), rtol=tolerance, atol=tolerance, check_dtype=False)


def within(values, expected, errors=4):
    """The mean is as expected, within so many of its standard errors."""
    assert abs(values.mean() - expected) < errors * values.std() / len(values) ** 0.5


# --- Structural similarity


def ssim_by_scipy(a, b):
    """Of one channel; weighted moments under a window that scipy moves."""
    taps = [min(11, side) for side in a.shape]
    windows = [np.exp(-((np.arange(k) - (k - 1) / 2) ** 2) / 4.5) for k in taps]
    window = np.multiply.outer(*windows) / np.multiply.outer(*windows).sum()
    places = [slice(k // 2, k // 2 + side - k + 1) for k, side in zip(taps, a.shape)]
    mean = lambda x: ndimage.correlate(x, window, mode="constant")[tuple(places)]
    u, v = mean(a), mean(b)
    top = (2 * u * v + 1e-4) * (2 * (mean(a * b) - u * v) + 9e-4)
    bottom = (u**2 + v**2 + 1e-4) * (mean(a * a) - u**2 + mean(b * b) - v**2 + 9e-4)
    return (top / bottom).mean()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (2, 11, 20), (1, 9, 14), (1, 1, 5)])
def test_ssim_is_the_formula(shape):
    a, b = uniform(4, *shape), uniform(4, *shape, seed=1)
    b[:2] = (a[:2] + 0.1 * b[:2]).clamp(0, 1)
    expected = [np.mean([ssim_by_scipy(p, q) for p, q in zip(x, y)]) for x, y in zip(a.numpy(), b.numpy())]
    close(image_similarity.ssim(a, b), expected)


def test_ssim_has_its_closed_forms():
    a = uniform(3, 2, 16, 16)
    close(image_similarity.ssim(a, a), torch.ones(3))
    dark, bright = torch.full((1, 1, 8, 8), 0.2), torch.full((1, 1, 8, 8), 0.6)
    close(image_similarity.ssim(dark, bright), [(2 * 0.12 + 1e-4) / (0.4 + 1e-4)], 1e-6)
    close(image_similarity.ssim(dark, dark), [1.0])
    close(image_similarity.ssim(0 * dark, 0 * dark), [1.0])
    # Where the mean is as good as 1/2 under every window, only structure is left: inverted, it is the opposite.
    fine = torch.where((torch.arange(16)[:, None] + torch.arange(16)) % 2 > 0, 1.0, 0.0).expand(1, 1, 16, 16)
    assert image_similarity.ssim(fine, 1 - fine).item() == pytest.approx(-(0.5 - 9e-4) / (0.5 + 9e-4), abs=1e-3)


@given(seed=SEEDS, noise=st.floats(0.01, 1))
@settings(max_examples=20, deadline=None)
def test_ssim_is_symmetric_below_one_and_sees_neither_mirrors_nor_order(seed, noise):
    a = uniform(3, 2, 12, 10, seed=seed)
    b = (a + noise * uniform(3, 2, 12, 10, seed=seed + 1)).clamp(0, 1)
    found = image_similarity.ssim(a, b)
    close(found, image_similarity.ssim(b, a))
    close(found, image_similarity.ssim(a.flip(3), b.flip(3)))
    close(found, image_similarity.ssim(a.mT, b.mT))
    close(found.flip(0), image_similarity.ssim(a.flip(0), b.flip(0)))
    assert (found < 1).all() and (found > -1).all()
    assert (image_similarity.ssim(a, (a + b) / 2) > found).all()


# --- Edges


def test_edge_correlation_is_that_of_scipys_sobel_filters():
    a, b = uniform(5, 2, 9, 7), uniform(5, 2, 9, 7, seed=1)
    edge = lambda channel: np.hypot(ndimage.sobel(channel, 0), ndimage.sobel(channel, 1))[1:-1, 1:-1]
    edges = lambda image: np.stack([edge(channel) for channel in image]).ravel()
    expected = [np.corrcoef(edges(x), edges(y))[0, 1] for x, y in zip(a.numpy(), b.numpy())]
    close(image_similarity.edge_correlation(a, b), expected)


@given(seed=SEEDS, contrast=st.floats(-10, 10).filter(lambda c: abs(c) > 1e-3), brightness=st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_edges_know_neither_contrast_nor_brightness(seed, contrast, brightness):
    a, b = uniform(3, 1, 8, 8, seed=seed), uniform(3, 1, 8, 8, seed=seed + 1)
    close(image_similarity.edge_correlation(a, contrast * a + brightness), torch.ones(3), 1e-8)
    close(image_similarity.edge_correlation(a, contrast * b + brightness), image_similarity.edge_correlation(a, b), 1e-8)


def test_edges_that_are_the_same_all_over_correlate_with_nothing():
    a = uniform(2, 1, 8, 8).float()
    assert image_similarity.edge_correlation(torch.full_like(a, 0.3), a).tolist() == [0, 0]
    assert image_similarity.edge_correlation(a, torch.zeros_like(a)).tolist() == [0, 0]
    ramp = torch.linspace(0, 1, 8, dtype=torch.float64).expand(2, 1, 8, 8)  # but for rounding
    assert image_similarity.edge_correlation(ramp, ramp).tolist() == [0, 0]
    within(image_similarity.edge_correlation(uniform(2000, 1, 8, 8), uniform(2000, 1, 8, 8, seed=1)), 0)


# --- Low pass


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 7.0])
def test_low_pass_is_scipys(sigma):
    images = uniform(2, 3, 8, 11)
    reach = math.ceil(4 * sigma)
    expected = ndimage.gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode="mirror", radius=(0, 0, reach, reach))
    close(image_similarity.low_pass(images, sigma), expected)


def test_low_pass_keeps_constants_precision_and_what_it_is_not_to_touch():
    images = uniform(2, 3, 8, 11)
    assert torch.equal(image_similarity.low_pass(images, 0.0), images)
    assert image_similarity.low_pass(images.float(), 1.0).dtype == torch.float32
    close(image_similarity.low_pass(torch.full((1, 1, 5, 1), 0.3), 3.0), torch.full((1, 1, 5, 1), 0.3), 1e-6)
    # A wave in the middle of a large image is weakened by exp(-(sigma k)^2 / 2).
    wave = torch.sin(torch.arange(64, dtype=torch.float64) * 0.5).expand(1, 1, 64, 64)
    middle = (slice(None), slice(None), slice(None), slice(20, 44))
    close(image_similarity.low_pass(wave, 2.0)[middle], wave[middle] * math.exp(-0.5), 1e-3)


# --- Spectra


def field(n, side, slope, seed=0):
    """Periodic Gaussian fields whose expected power goes as frequency to the slope."""
    frequency = torch.hypot(*torch.meshgrid(torch.fft.fftfreq(side), torch.fft.fftfreq(side), indexing="ij")).double()
    frequency[0, 0] = 1
    return torch.fft.ifft2(torch.fft.fft2(normal(n, 1, side, side, seed=seed)) * frequency ** (slope / 2)).real


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 8), (1, 5, 16), (1, 32, 32)])
def test_white_noise_has_slope_zero(shape):
    within(image_similarity.spectral_slope(normal(3000, *shape)), 0)


@pytest.mark.parametrize("slope", [-3.0, -2.0, -1.0, 1.0])
def test_fields_have_the_slope_they_were_made_with(slope):
    found = image_similarity.spectral_slope(field(500, 32, slope))
    assert abs(found.mean() - slope) < 0.03 and found.std() < 0.2
    assert abs(image_similarity.spectral_slope(field(2000, 8, slope)).mean() - slope) < 0.15  # its few rings are coarse


@given(seed=SEEDS, scale=st.floats(1e-3, 1e3), shift=st.floats(-3, 3))
@settings(max_examples=20, deadline=None)
def test_a_slope_knows_neither_contrast_brightness_nor_place(seed, scale, shift):
    images = field(3, 16, -2.0, seed=seed)
    found = image_similarity.spectral_slope(images)
    close(found, image_similarity.spectral_slope(scale * images + scale * shift), 1e-7)
    close(found, image_similarity.spectral_slope(images.roll((3, 5), (2, 3))), 1e-7)
    close(found, image_similarity.spectral_slope(images.mT), 1e-7)


def test_channels_are_averaged_and_a_constant_one_has_no_slope():
    images = field(4, 16, -2.0).view(1, 4, 16, 16)
    close(image_similarity.spectral_slope(images)[0], image_similarity.spectral_slope(images[0, :, None]).mean())
    assert image_similarity.spectral_slope(torch.full((2, 1, 8, 8), 0.3)).isnan().all()
    assert image_similarity.spectral_slope(torch.zeros(1, 1, 8, 8)).isnan().all()
    images[0, 1] = 0.7
    assert image_similarity.spectral_slope(images).isnan().all()
    smooth = torch.sin(torch.arange(16) / 16 * math.tau).expand(1, 1, 16, 16)
    assert image_similarity.spectral_slope(smooth).item() < -10  # rings without power: steep, but finite


# --- Sets


def mmd_by_scipy(x, y):
    scale = 2 * np.median(pdist(np.concatenate([x, y]))) ** 2
    kernel = lambda a, b: np.exp(-cdist(a, b, "sqeuclidean") / scale)
    within = [(kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1)) for a in (x, y)]
    return sum(within) - 2 * kernel(x, y).mean()


@pytest.mark.parametrize("n, m", [(2, 4), (6, 5), (30, 40)])  # an odd number of pairs: one median
def test_mmd_is_the_formula(n, m):
    x, y = normal(n, 7), 1 + normal(m, 7, seed=1)
    close(image_similarity.mmd(x, y), mmd_by_scipy(x.numpy(), y.numpy()), 1e-9 if (n + m) * (n + m - 1) % 4 else 1e-3)


def test_mmd_is_zero_in_expectation_for_one_distribution_and_positive_for_two():
    draws = lambda shift: torch.stack(
        [image_similarity.mmd(normal(15, 3, seed=k), normal(20, 3, seed=1000 + k) + shift) for k in range(400)]
    )
    same, other = draws(0.0), draws(1.0)
    within(same, 0)
    assert (same < 0).any()  # unbiased, so it must fall on both sides
    assert (other > same.quantile(0.95)).double().mean() > 0.95


@given(seed=SEEDS, scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
@settings(max_examples=20, deadline=None)
def test_mmd_is_symmetric_and_has_no_scale(seed, scale, shift):
    x, y = normal(8, 2, 3, 3, seed=seed), normal(6, 2, 3, 3, seed=seed + 1)
    found = image_similarity.mmd(x, y)
    close(found, image_similarity.mmd(y, x))
    close(found, image_similarity.mmd(scale * (x + shift), scale * (y + shift)), 1e-7)
    close(found, image_similarity.mmd(x.flatten(1).flip(1), y.flatten(1).flip(1)))


def test_nearest_is_the_least_distance(monkeypatch):
    x, y = normal(20, 6), normal(30, 6, seed=1)
    distance = cdist(x.numpy(), y.numpy())
    close(image_similarity.nearest(x, y), distance.min(1))
    skip = torch.from_numpy(distance.argmin(1))
    expected = np.sort(distance, 1)[:, 1]
    close(image_similarity.nearest(x, y, skip), expected)
    monkeypatch.setattr(image_similarity, "ROWS", 7)
    close(image_similarity.nearest(x, y, skip), expected)


def test_copies_are_at_distance_zero_far_from_the_origin():
    x = uniform(40, 3, 8, 8) + 1000
    assert image_similarity.nearest(x, x).tolist() == [0] * 40
    assert image_similarity.nearest(x, x, torch.arange(40)).min() > 1
    near = x + 1e-5 / math.sqrt(192)
    close(image_similarity.nearest(x, near), torch.full((40,), 1e-5), 1e-8)


# --- Bad input


def test_bad_images_are_named():
    a = uniform(2, 1, 8, 8)
    for pair in (image_similarity.ssim, image_similarity.edge_correlation):
        with pytest.raises(ValueError, match="b: shape"):
            pair(a, a[:1])
        with pytest.raises(ValueError, match="a: shape"):
            pair(a * math.nan, a)
    with pytest.raises(ValueError, match="3 x 3"):
        image_similarity.edge_correlation(a[..., :2], a[..., :2])
    for sigma in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="sigma"):
            image_similarity.low_pass(a, sigma)
    with pytest.raises(ValueError, match="5 x 5"):
        image_similarity.spectral_slope(a[..., :4])
    for single in (image_similarity.spectral_slope, lambda x: image_similarity.low_pass(x, 1.0)):
        with pytest.raises(ValueError, match="images: shape"):
            single(a * math.inf)


def test_bad_samples_are_named():
    x, y = normal(4, 3), normal(5, 3, seed=1)
    for wrong in (x[:1], x * math.nan):
        with pytest.raises(ValueError, match="x: shape"):
            image_similarity.mmd(wrong, y)
    for wrong in (y[:1], y[:, :2], y * math.nan):
        with pytest.raises(ValueError, match="y: shape"):
            image_similarity.mmd(x, wrong)
    with pytest.raises(ValueError, match="coincide"):
        image_similarity.mmd(torch.full((4, 3), 0.1), torch.full((4, 3), 0.1))
    for wrong in (y[:0], y[:, :2], y * math.inf):
        with pytest.raises(ValueError, match="y: shape"):
            image_similarity.nearest(x, wrong)
    with pytest.raises(ValueError, match="y: shape"):
        image_similarity.nearest(x, y[:1], torch.zeros(4, dtype=torch.long))
    for wrong in ([0, 0, 0], [0, 0, 0, 5], [0, 0, 0, -1]):
        with pytest.raises(ValueError, match="exclude"):
            image_similarity.nearest(x, y, torch.tensor(wrong))
