"""Frames: exact derivatives of real architectures, networks whose frames we know, and what statistics do not change by."""

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group
from torch import nn
from torchvision import models as zoo  # after helpers, which makes it importable without CUDA

from helpers.frames import directions, push_forward
from helpers.frames.push_forward import Gram, gram, push
from helpers.networks import activations, datasets
from helpers.networks.numerics import stream

SEEDS = st.integers(0, 2**31 - 1)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "normal", *shape), dtype=torch.float64)


def seeded(build, seed=0):
    torch.manual_seed(seed)
    return build().double().eval()


def cnn(activation=nn.ReLU, bias=True, pool=nn.MaxPool2d):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=bias), activation(), pool(2), nn.Conv2d(8, 12, 3, bias=bias),
        activation(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5, bias=bias),
    )  # fmt: skip


POINTS = ["input", "1", "2", "4", "5", "7"]


@pytest.fixture(scope="module")
def small():
    """A network, images, and a frame of 6 unit vectors of each."""
    return seeded(cnn), normal(5, 1, 10, 10), directions.unit(normal(5, 6, 1, 10, 10))[0]


def of(vectors, activation=None):
    """The Gram of pushed vectors (n, k, D)."""
    h = torch.ones_like(vectors[:, 0]) if activation is None else activation
    return Gram(vectors @ vectors.mT, (vectors @ h[..., None])[..., 0], h.norm(dim=1))


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


# --- Exact derivatives


def central(model, images, vectors, points, step):
    """Central differences, (n, k, D) a point."""
    ends = [activations.record(model, (images[:, None] + s * vectors).flatten(0, 1), points) for s in (step, -step)]
    return {p: ((ends[0][p] - ends[1][p]) / (2 * step)).reshape(*vectors.shape[:2], -1) for p in points}


NETWORKS = {
    "resnet18": (lambda: zoo.resnet18(num_classes=10), 48, ["relu", "maxpool", "layer1.1", "layer3.0", "layer4.1", "fc"]),
    "vit_b_16": (
        lambda: zoo.vit_b_16(image_size=32, num_classes=10), 32,
        ["conv_proj", "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_11", "encoder.ln"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_derivatives_are_those_of_central_differences(name):
    build, size, points = NETWORKS[name]
    model = seeded(build)
    images, vectors = normal(2, 3, size, size), directions.unit(normal(2, 2, 3, size, size))[0]
    exact, differences = push(model, images, vectors, points), central(model, images, vectors, points, 1e-5)
    for point in points:
        error = (exact[point] - differences[point]).norm(dim=2) / differences[point].norm(dim=2)
        assert error.max() < 1e-7, point


ARCHITECTURES = {
    "resnet18": (32, ["input", "relu", "maxpool", "layer1.0", "layer4.1", "avgpool", "fc"]),
    "resnet50": (32, ["relu", "layer1.0", "layer4.2", "fc"]),
    "convnext_tiny": (32, ["features.0", "features.1.0", "features.7.2", "avgpool", "classifier"]),
    "swin_t": (32, ["features.0", "features.1.1", "features.7.1", "norm", "avgpool", "head"]),
    "vit_b_16": (32, ["conv_proj", "encoder.layers.encoder_layer_5", "encoder.ln", "heads"]),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_torchvisions_networks_run(name):
    size, points = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = getattr(zoo, name)(num_classes=7, **({"image_size": 32} if name == "vit_b_16" else {})).eval()
    images = torch.rand(2, 3, size, size, generator=stream(0))
    vectors = directions.white_noise(images, 3, stream(1))
    settings = lambda: (torch.backends.mha.get_fastpath_enabled(), torch.backends.cudnn.allow_tf32, torch.is_grad_enabled())
    before = settings()
    pushed, grams = push(model, images, vectors, points), gram(model, images, vectors, points)
    reached = activations.record(model, images, points)
    for point, found in grams.items():
        assert pushed[point].shape == (2, 3, reached[point][0].numel())
        close(found.gram.float(), pushed[point] @ pushed[point].mT, 1e-4)
        close(found.norm.float(), reached[point].flatten(1).norm(dim=1), 1e-4)
        assert found.gram.isfinite().all()
    assert settings() == before  # left as they were


def test_in_place_networks_are_seen_before_they_overwrite():
    tidy, hasty = seeded(cnn), seeded(lambda: cnn(lambda: nn.ReLU(inplace=True)))
    points = ["0", "1", "3", "7"]
    for n, k in ((3, 4), (1, 4), (3, 1)):
        images, vectors = normal(n, 1, 10, 10), normal(n, k, 1, 10, 10)
        ours, theirs = (push(model, images, vectors, points) for model in (tidy, hasty))
        assert all(torch.equal(ours[point], theirs[point]) for point in points)


def test_input_and_chain_rule(small):
    """Pushing in two stages is pushing in one; at the input a frame is itself."""
    model, images, vectors = small
    whole = push(model, images, vectors, POINTS)
    assert torch.equal(whole["input"], vectors.flatten(2))
    middle = activations.record(model, images, ["2"])["2"]
    tail = model[3:].eval()
    again = push(tail, middle, whole["2"].unflatten(2, middle.shape[1:]), ["5", "7"])
    close(again["5"], whole["5"], 1e-15)
    close(again["7"], whole["7"], 1e-15)


def test_gram_is_that_of_push(small):
    model, images, vectors = small
    pushed, grams = push(model, images, vectors, POINTS), gram(model, images, vectors, POINTS)
    found = activations.record(model, images, POINTS)
    for point in POINTS:
        expected = of(pushed[point], found[point].flatten(1))
        for ours, theirs in zip(grams[point], expected):
            assert ours.dtype == torch.float64
            close(ours, theirs)
        chosen = grams[point].part([4, 0])
        close(chosen.gram, expected.gram[:, [4, 0]][:, :, [4, 0]])
        close(chosen.cross, expected.cross[:, [4, 0]])


@pytest.mark.parametrize("chunk", [1, 2, 5, 9])
def test_chunks_make_no_difference(small, chunk):
    model, images, vectors = small
    for point, whole in gram(model, images, vectors, POINTS, 5).items():
        for ours, theirs in zip(gram(model, images, vectors, POINTS, chunk)[point], whole):
            close(ours, theirs, 1e-14)


def test_together_is_one_image_and_vector_at_a_time(small):
    model, images, vectors = small
    together = push(model, images, vectors, POINTS)
    for i in range(len(images)):
        for k in range(vectors.shape[1]):
            alone = push(model, images[i : i + 1], vectors[i : i + 1, k : k + 1], POINTS)
            for point in POINTS:
                close(alone[point][0, 0], together[point][i, k], 1e-14)


def test_views_stand_in_for_activations(small):
    model, images, vectors = small
    seen = push(model, images, vectors, ["4", "5", "7"], view=push_forward.pooled)
    close(seen["4"], seen["5"])  # the mean over positions is what the network pools next
    close(seen["7"], push(model, images, vectors, ["7"])["7"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, x, v: (m, x[:4], v, ["7"]), r"vectors: \(5, 6, 1, 10, 10\)"),
        (lambda m, x, v: (m, x, v.float(), ["7"]), "vectors: .*float32, expected"),
        (lambda m, x, v: (m, x, v[:, :0], ["7"]), "k at least 1"),
        (lambda m, x, v: (m, x, v, ["9"]), "points: '9' is no point of this network"),
        (lambda m, x, v: (m, x, v, ["7"], 0), "chunk: 0"),
        (lambda m, x, v: (cnn().double(), x, v, ["7"]), "model: it is in training mode"),
    ],
)
def test_bad_input_says_what_was_expected(small, change, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(gram)(*change(*small))  # without the tests' own check of shapes


# --- Networks whose frames we know


def test_deep_linear_network():
    """Singular values of the product of the matrices, at every image the same."""
    widths = [36, 50, 40, 12]
    linear = [nn.Linear(a, b, bias=False) for a, b in zip(widths, widths[1:])]
    model = seeded(lambda: nn.Sequential(nn.Flatten(), *linear))
    vectors = directions.unit(normal(1, 5, 1, 6, 6))[0].expand(3, -1, -1, -1, -1)
    pushed = push(model, normal(3, 1, 6, 6), vectors, ["3"])["3"]
    product = model[3].weight @ model[2].weight @ model[1].weight
    expected = torch.linalg.svdvals(product @ vectors[0].flatten(1).T).expand(3, -1)
    close(push_forward.singular_values(pushed) / expected, torch.ones(3, 5, dtype=torch.float64), 1e-14)
    close(push_forward.singular_values(of(pushed)), expected, 1e-10)


@pytest.mark.parametrize(("n", "k", "draws", "pilot"), [(400, 9, 200, 7.27), (3072, 10, 100, 9.35), (150528, 10, 4, 9.87)])
def test_stable_rank_of_random_frames(n, k, draws, pilot):
    """k / (1 + sqrt(k / n))^2, the edge of the Marchenko-Pastur law, which lies a little low at finite k."""
    frame = directions.unit(normal(draws, k, 1, 1, n))[0].flatten(2)
    found = float(push_forward.stable_rank(of(frame)).mean())
    law = k / (1 + math.sqrt(k / n)) ** 2
    assert law < found < 1.08 * law
    assert found == pytest.approx(pilot, abs=0.2)


def test_euler_in_networks_without_biases():
    """f(cx) = c f(x), so that J x = f(x): the image itself is radial with s(x) = 1 in every layer."""
    model, images = seeded(lambda: cnn(bias=False)), normal(4, 1, 10, 10)
    for found in gram(model, images, images[:, None], POINTS).values():
        one = torch.ones(4, 1, dtype=torch.float64)
        close(push_forward.sensitivity(found), one, 1e-14)
        close(push_forward.radial(found), one, 1e-14)
        assert push_forward.angular_gain(found).max() < 1e-6 * push_forward.gain(found).max()


class WithoutMean(nn.Module):
    def forward(self, x):
        return x - x.mean((1, 2, 3), keepdim=True)


def test_subtracting_the_mean_wipes_out_brightness():
    model, images = nn.Sequential(WithoutMean(), seeded(cnn)).eval(), torch.rand(3, 1, 8, 8, dtype=torch.float64)
    brightness = directions.generators(images, ["brightness"]).vectors
    for found in gram(model, images, brightness, ["0", "1.1", "1.7"]).values():
        assert push_forward.gain(found).max() < 1e-15


class Polynomial(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, x):
        return x**self.power


def shift_over_noise(activation, band, amplitude=1.0, n=16):
    """Gain of the exact horizontal shift over that of noise, through circular convolution, activation, and pooling."""
    conv = lambda: nn.Conv2d(1, 6, 3, padding=1, padding_mode="circular", bias=False)
    model = seeded(lambda: nn.Sequential(conv(), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    frequency = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
    inside = (frequency.abs() <= band)[:, None] & (frequency.abs() <= band)
    spectrum = torch.fft.fft2(normal(4, 1, n, n)) * inside
    images, shift = (torch.fft.ifft2(each).real for each in (spectrum, spectrum * 2j * math.pi / n * frequency))
    scale = amplitude / images.flatten(1).std(dim=1)[:, None, None, None]
    images, shift = images * scale, directions.unit((shift * scale)[:, None])[0]
    found = gram(model, images, shift, ["3"])["3"]
    return float(push_forward.relative_gain(found, push_forward.noise_gain_at_output(model, images, "3")).max())


@pytest.mark.parametrize(
    ("power", "band", "low", "high"),
    [(1, 7, 0, 1e-13), (2, 7, 0, 1e-13), (3, 5, 0, 1e-13), (3, 7, 0.05, 1)],
)
def test_band_limited_polynomial_networks_are_shift_invariant(power, band, low, high):
    """Zero if and only if power x band < 16: beyond that, frequencies fold back into the mean."""
    assert low <= shift_over_noise(Polynomial(power), band) <= high


def test_rectified_networks_are_not_shift_invariant():
    assert 0.02 < shift_over_noise(nn.ReLU(), 7) < 1
    smooth = [shift_over_noise(nn.GELU(), band, amplitude=0.1) for band in (2, 7)]
    assert smooth[0] < 1e-8 and smooth[0] < 1e-4 * smooth[1] < 1e-4 * 0.02


def disc(n):
    """Coordinates in [-1, 1] of the pixels of an n x n image, and their radius."""
    x = (torch.arange(n, dtype=torch.float64) + 0.5) * 2 / n - 1
    return x.expand(n, n), x[:, None].expand(n, n), (x**2 + x[:, None] ** 2).sqrt()


def rings(n, readout=8):
    """A network of four radial features, exactly rotation invariant but for the grid it lives on."""
    _, _, r = disc(n)
    filters = torch.stack([torch.exp(-((r - c) ** 2) / (2 * 0.1**2)) for c in (0, 0.2, 0.4, 0.6)])
    model = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(n * n, 4, bias=False), nn.Linear(4, readout), nn.Tanh()))
    with torch.no_grad():
        model[1].weight.copy_(filters.flatten(1) / filters.flatten(1).norm(dim=1, keepdim=True))
    return model


def blobs(n, width=0.13):
    """Three Gaussians inside the disc, and the derivative of their picture by a turn, in closed form."""
    x, y, _ = disc(n)
    image, turn = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)
    for a, b in ((0.4, 0.1), (-0.2, 0.35), (-0.15, -0.45)):
        one = torch.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * width**2))
        image, turn = image + one, turn + one * (b * x - a * y) / width**2
    return image[None, None], turn[None, None, None]


def rotation_over_noise(n, analytic=True):
    image, turn = blobs(n)
    turn = turn if analytic else directions.generators(image, ["rotation"]).vectors
    model = rings(n)
    found = gram(model, image, directions.unit(turn)[0], ["3"])["3"]
    return float(push_forward.relative_gain(found, push_forward.noise_gain_at_output(model, image, "3")))


def test_a_rotation_invariant_network_is_one_in_the_limit_of_fine_grids():
    for n, pilot in ((16, 2.9e-3), (20, 7.5e-4), (32, 8.2e-5), (64, 3e-7)):
        assert rotation_over_noise(n) < pilot


def test_what_central_differences_leave_is_theirs_not_the_networks():
    coarse, fine = rotation_over_noise(16, analytic=False), rotation_over_noise(64, analytic=False)
    assert fine < coarse / 2 and 0.05 < coarse < 0.5
    assert fine > 100 * rotation_over_noise(64)


class FourTurns(nn.Module):
    """The mean of a network's answers to an image turned by 0, 90, 180 and 270 degrees."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return sum(self.model(x.rot90(turns, (2, 3))) for turns in range(4)) / 4


def test_invariance_to_quarter_turns_is_not_a_vanishing_tangent():
    model, images = FourTurns(seeded(lambda: cnn(nn.GELU))).eval(), torch.rand(4, 1, 12, 12, dtype=torch.float64)
    close(model(images), model(images.rot90(1, (2, 3))))
    rotation = directions.generators(images, ["rotation"]).vectors
    exact = push_forward.noise_gain_at_output(model, images, "model.7#4")
    assert push_forward.relative_gain(gram(Whole(model).eval(), images, rotation, ["model"])["model"], exact).min() > 0.01


class Whole(nn.Module):
    """A network whose output is a point."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


def test_probabilities_change_by_zero_in_sum(small):
    model, images, vectors = small
    pushed = push(nn.Sequential(model, nn.Softmax(1)).eval(), images, vectors, ["1"])["1"]
    assert pushed.abs().max() > 1e-4 and pushed.sum(2).abs().max() < 1e-12 * pushed.abs().max()


def test_orthogonal_layers_leave_the_gram(small):
    _, images, vectors = small
    turn = torch.from_numpy(ortho_group.rvs(100, random_state=0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(100, 100, bias=False), Permuted()).double().eval()
    with torch.no_grad():
        model[1].weight.copy_(turn)
    found = gram(model, images, vectors, ["input", "1", "2"])
    for point in ("1", "2"):
        for ours, theirs in zip((found[point].gram, found[point].norm), (found["input"].gram, found["input"].norm)):
            close(ours, theirs, 6e-14)


class Permuted(nn.Module):
    def forward(self, x):
        return x.flip(1).roll(7, 1)


def jacobian(model, images, point):
    """(n, D, pixels), one vector of the standard basis at a time."""
    basis = torch.eye(images[0].numel(), dtype=images.dtype).unflatten(1, images.shape[1:])
    return push(model, images, basis.expand(len(images), *basis.shape), [point])[point].mT


def test_sum_rule_and_bound():
    """mean |J u|^2 = |J|_F^2 / pixels; no gain above the largest singular value, nor random vectors anywhere near it."""
    model = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.Tanh(), nn.Linear(64, 10)))
    images = normal(2, 1, 16, 16)
    full = jacobian(model, images, "3")
    exact = push_forward.noise_gain_at_output(model, images, "3")
    close(exact, full.square().sum((1, 2)).div(256).sqrt(), 1e-14)
    close(exact, push_forward.noise_gain_at_output(model, images, "3", chunk=1), 1e-14)
    noise = gram(model, images, directions.white_noise(images, 1024, stream(0)), ["3"])["3"]
    close(push_forward.noise_gain(noise) / exact, torch.ones(2).double(), 0.03)
    largest = torch.linalg.svdvals(full)[:, :1]
    assert (push_forward.gain(noise) <= largest).all()
    assert (push_forward.gain(noise).max(1, keepdim=True).values < 0.6 * largest).all()


@pytest.mark.parametrize(("sides", "slope"), [((1, 0), 1), ((1, -1), 2)])
def test_finite_differences_converge_at_their_order(sides, slope):
    model, images = seeded(lambda: cnn(nn.GELU, pool=nn.AvgPool2d)), normal(2, 1, 10, 10)
    vectors = directions.unit(normal(2, 1, 1, 10, 10))[0]
    exact, errors = push(model, images, vectors, ["7"])["7"][:, 0], []
    model.requires_grad_(False)
    for step in (1e-1, 1e-2, 1e-3):
        high, low = (model(images + side * step * vectors[:, 0]) for side in sides)
        errors.append(float(((high - low) / ((sides[0] - sides[1]) * step) - exact).norm().log10()))
    assert errors[0] - errors[1] == pytest.approx(slope, abs=0.15)
    assert errors[1] - errors[2] == pytest.approx(slope, abs=0.15)


# --- Planted effects


class Contracting(nn.Module):
    """Multiplies the part of an image in the span of a family (k, pixels) by a factor."""

    def __init__(self, family, factor):
        super().__init__()
        self.basis, self.factor = torch.linalg.qr(family.T).Q, factor

    def forward(self, x):
        x = x.flatten(1)
        return x + (self.factor - 1) * (x @ self.basis) @ self.basis.T


@pytest.mark.parametrize("factor", [0.0, 0.25, 3.0])
def test_a_family_contracted_by_a_known_factor(factor):
    images, d = normal(3, 1, 10, 10), 100
    family, others = normal(4, d, seed=1), normal(3, d, seed=2)
    contracting = Contracting(family, factor)
    others = others - others @ contracting.basis @ contracting.basis.T
    turn = nn.Linear(d, d).double()
    with torch.no_grad():
        turn.weight.copy_(torch.from_numpy(ortho_group.rvs(d, random_state=1)))
    model = nn.Sequential(contracting, turn).double().eval()
    vectors = torch.cat([family, others]).reshape(1, 7, 1, 10, 10).expand(3, -1, -1, -1, -1)
    found = gram(model, images, directions.unit(vectors)[0], ["1"])["1"]
    noise = push_forward.noise_gain_at_output(model, images, "1")
    planted = torch.tensor([factor] * 4 + [1.0] * 3, dtype=torch.float64).expand(3, -1)
    close(push_forward.gain(found), planted, 1e-6)
    expected = math.sqrt((d - 4 + 4 * factor**2) / d)
    close(noise, torch.full((3,), expected, dtype=torch.float64), 1e-12)
    close(push_forward.relative_gain(found, noise), planted / expected, 1e-6)


def test_a_network_without_a_direction_gives_it_no_gain(small):
    """Whatever follows: a vector killed in one layer stays killed."""
    model, images, vectors = small
    blind = nn.Sequential(Contracting(vectors[0, :2].flatten(1), 0.0), nn.Unflatten(1, (1, 10, 10)), model).eval()
    for found in gram(blind, images[:1], vectors[:1], ["0", "2.2", "2.7"]).values():
        assert push_forward.gain(found)[:, :2].max() < 1e-14 and push_forward.gain(found)[:, 2:].min() > 1e-4


@pytest.mark.parametrize("weight", [0.0, math.inf])
def test_a_dead_network_is_not_a_number(small, weight):
    _, images, vectors = small
    model = seeded(cnn)
    with torch.no_grad():
        model[3].weight.fill_(weight), model[3].bias.fill_(0.0)
    found = gram(model, images, vectors, ["input", "7"])
    dead, alive = found["7"], found["input"]
    with torch.no_grad():
        exact = push_forward.noise_gain_at_output(model, images, "7")
    per_image = [
        push_forward.stable_rank(dead), push_forward.participation_ratio(dead), push_forward.effective_rank(dead),
        push_forward.log_volume(dead, alive), push_forward.log_volume(alive, dead), push_forward.principal_angles(dead, [0, 1], [2]),
        push_forward.relative_gain(dead, exact), push_forward.relative_gain(dead, dead), push_forward.radial(dead), push_forward.cosines(dead),
        push_forward.angular_gain(dead), push_forward.rate(dead, dead, dead, dead), push_forward.unit_columns(dead).gram,
        push_forward.stable_rank(push_forward.unit_columns(dead)), push_forward.stable_rank(push_forward.orthonormalised(dead, alive)),
        push_forward.stable_rank(push_forward.orthonormalised(dead, dead)),
    ]  # fmt: skip
    for value in per_image:
        assert len(value) == 5 and value.isnan().all()
    for image in (0, 3):  # one dead image leaves the others as they are
        chosen = torch.arange(5) == image
        mixed = Gram(*(torch.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), d, a) for a, d in zip(alive, dead)))
        ranks = push_forward.stable_rank(mixed)
        assert ranks.isnan().tolist() == [i == image for i in range(5)]
        assert torch.equal(ranks[ranks.isfinite()], push_forward.stable_rank(alive)[ranks.isfinite()])


# --- Statistics


def test_statistics_of_a_known_frame():
    vectors = torch.tensor([[[3.0, 0, 0], [0, 4.0, 0], [0, 1.0, 1.0]]], dtype=torch.float64)
    h = torch.tensor([[0, 2.0, 0]], dtype=torch.float64)
    g = of(vectors, h)
    root = math.sqrt(2)
    close(push_forward.gain(g), torch.tensor([[3, 4, root]], dtype=torch.float64))
    close(push_forward.gain(g, of(2 * vectors)), torch.full((1, 3), 0.5).double())
    close(push_forward.sensitivity(g), torch.tensor([[1.5, 2, root / 2]], dtype=torch.float64))
    close(push_forward.radial(g), torch.tensor([[0, 1, 1 / root]], dtype=torch.float64))
    close(push_forward.angular_gain(g), torch.tensor([[3.0, 0, 1]]).double())
    close(push_forward.cosines(g)[0, 1], torch.tensor([0, 1, 1 / root], dtype=torch.float64))
    close(push_forward.noise_gain(g), torch.tensor([math.sqrt(27 / 3)], dtype=torch.float64))
    close(push_forward.relative_gain(g, of(2 * vectors)), push_forward.gain(g) / 6)
    assert float(push_forward.log_volume(g, of(torch.eye(3).double()[None]))) == pytest.approx(math.log(12) / 3)
    assert float(push_forward.stable_rank(g.part([0, 1]))) == pytest.approx(25 / 16)
    assert float(push_forward.participation_ratio(g.part([0, 1]))) == pytest.approx(25**2 / (81 + 256))
    shares = torch.tensor([3 / 7, 4 / 7])
    assert float(push_forward.effective_rank(g.part([0, 1]))) == pytest.approx(float(torch.special.entr(shares).sum().exp()))


def test_rates_add_up_and_are_free_of_a_layers_scale():
    a, b, c = (normal(4, 3, 9, seed=s) for s in range(3))
    noise = [normal(4, 6, 9, seed=s) for s in range(3, 6)]
    g, n = [of(each) for each in (a, b, c)], [of(each) for each in noise]
    close(push_forward.rate(g[0], g[1], n[0], n[1]) + push_forward.rate(g[1], g[2], n[1], n[2]), push_forward.rate(g[0], g[2], n[0], n[2]))
    close(push_forward.rate(g[0], of(7 * b), n[0], of(7 * noise[1])), push_forward.rate(g[0], g[1], n[0], n[1]))


RANKS = (push_forward.stable_rank, push_forward.participation_ratio, push_forward.effective_rank)


def test_pilot_facts_about_frames_of_digits():
    images = datasets.load("digits20").test_images[:100].double() / 255
    vectors = directions.generators(images).vectors.flatten(2)
    for rank, pilot in zip(RANKS, (4.22, 6.05, 8.19)):
        assert float(rank(of(vectors)).mean()) == pytest.approx(pilot, abs=0.1)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, k=st.integers(1, 6), d=st.integers(7, 12), scale=st.floats(0.01, 100))
def test_what_statistics_do_not_change_by(seed, k, d, scale):
    """Scale and rotation of a layer: neither ratio to noise, cosines, ranks, nor angles change. Linear maps: all do."""
    frame, noise, h = normal(3, k, d, seed=seed), normal(3, 8, d, seed=seed + 1), normal(3, d, seed=seed + 2)
    turn = torch.linalg.qr(normal(d, d, seed=seed)).Q
    statistics = [
        lambda f, n, h: push_forward.relative_gain(of(f, h), of(n)), lambda f, n, h: push_forward.cosines(of(f)),
        lambda f, n, h: push_forward.sensitivity(of(f, h)), lambda f, n, h: push_forward.radial(of(f, h)),
        lambda f, n, h: push_forward.log_volume(of(f), of(n)), lambda f, n, h: push_forward.principal_angles(of(n), [0, 1], [2, 3, 4]),
        *(lambda f, n, h, rank=rank: rank(of(f)) for rank in RANKS),
    ]  # fmt: skip
    for statistic in statistics:
        before, after = statistic(frame, noise, h), statistic(*(scale * each @ turn for each in (frame, noise, h)))
        close(before, after, 1e-6)
    skew = torch.diag(torch.logspace(0, 1, d).double())
    changed = [statistic(*(each @ skew for each in (frame, noise, h))) for statistic in statistics[:1]]
    assert (changed[0] - statistics[0](frame, noise, h)).abs().max() > 1e-6
    for rank in RANKS:
        assert (1 - 1e-9 <= rank(of(frame))).all() and (rank(of(frame)) <= k + 1e-9).all()
        close(rank(of(frame)), rank(frame), 1e-6)


def test_orthonormalised_frames_depend_on_their_span_alone(small):
    model, images, vectors = small
    mixed = torch.einsum("jk,nkchw->njchw", normal(6, 6), vectors)
    redundant = torch.cat([mixed, vectors[:, :2]], dim=1)
    spectra = []
    for frame in (vectors, mixed, redundant):
        found = gram(model, images, frame, ["input", "4"])
        spectra.append(push_forward.singular_values(push_forward.orthonormalised(found["4"], found["input"])))
    close(spectra[0], spectra[1], 1e-9)
    close(spectra[0], spectra[2][:, :6], 1e-6)
    assert spectra[2][:, 6:].max() < 1e-6
    basis = torch.linalg.qr(vectors.flatten(2).mT).Q.mT.reshape(vectors.shape)
    close(spectra[0], push_forward.singular_values(push(model, images, basis, ["4"])["4"]), 1e-9)


def test_principal_angles_are_scipys():
    vectors = normal(4, 5, 9)
    found = push_forward.principal_angles(of(vectors), [0, 1], [2, 3, 4])
    for one, ours in zip(vectors, found):
        close(ours, torch.from_numpy(subspace_angles(one[:2].T.numpy(), one[2:].T.numpy())[::-1].copy()), 1e-9)
    same = push_forward.principal_angles(of(torch.cat([vectors, vectors[:, :1] + vectors[:, 1:2]], 1)), [0, 1], [5])
    assert same.max() < 1e-7
    flat = torch.cat([vectors, 2 * vectors[:, :1]], dim=1)
    assert push_forward.principal_angles(of(flat), [0, 5], [1, 2]).isnan().tolist() == [[False, True]] * 4
    with pytest.raises(ValueError, match="at least one vector"):
        push_forward.principal_angles(of(vectors), [], [1])


def test_log_volume_is_of_as_many_noise_vectors():
    frame, noise = normal(3, 4, 9), normal(3, 7, 9, seed=1)
    expected = torch.linalg.svdvals(frame).log().mean(1) - torch.linalg.svdvals(noise[:, :4]).log().mean(1)
    close(push_forward.log_volume(of(frame), of(noise)), expected)
    assert push_forward.log_volume(of(frame @ normal(9, 3)), of(noise)).isnan().all()  # fewer dimensions than vectors
    with pytest.raises(ValueError, match="noise: 2 vectors, expected at least 4"):
        push_forward.log_volume(of(frame), of(noise[:, :2]))


# --- Where a tangent stops being one


def test_validity_of_small_and_of_large_changes():
    model, images = seeded(lambda: cnn(nn.GELU)), directions.shapes(6, 16, stream(0), torch.float64).images
    strengths = [1e-3, 1e-2, 0.5]
    named = directions.generators(images, ["rotation"])
    tangent = (named.vectors * named.norm[..., None, None, None])[:, 0]
    moved = torch.stack([directions.apply(images, "rotation", s) for s in strengths], dim=1)
    tangents = torch.stack([s * tangent for s in strengths], dim=1)
    for found in (push_forward.validity(model, images, moved, tangents, ["input", "1", "7"], chunk=c) for c in (None, 4)):
        for point in ("input", "1", "7"):
            cosine, departure = found[point]
            assert cosine.shape == (6, 3) and (cosine[:, 0] > 0.998).all() and (cosine.median(0).values[2] < 0.95)
            assert (departure[:, 1] > 2 * departure[:, 0]).all()  # it grows with the strength
    plane = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 5)))
    moved = directions.apply(images, "brightness", 0.7)[:, None]
    found = push_forward.validity(plane, images, moved, torch.full_like(moved, 0.7), ["1"])["1"]
    close(found.cosine, torch.ones(6, 1).double()), close(found.departure, torch.zeros(6, 1).double())
    with pytest.raises(ValueError, match="moved: shape"):
        inspect.unwrap(push_forward.validity)(plane, images, moved[:, :, :, :5], moved, ["1"])


def test_a_relu_network_is_its_tangent_within_a_region():
    model, images = seeded(cnn), normal(3, 1, 10, 10)
    step = 1e-6 * normal(3, 1, 1, 10, 10)
    # The answers' rounding, 1e-16, over a step of 1e-6; a tangent that is wrong departs by about 1.
    assert push_forward.validity(model, images, images[:, None] + step, step, ["7"])["7"].departure.max() < 1e-7
    assert F.relu(images).min() == 0
