"""Spectra: linear maps of singular values that we chose, derivatives by other means, errors in known directions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from torch import nn
from torchvision import models as zoo  # after helpers, which makes it importable without CUDA

from helpers.depth import jacobians
from helpers.depth.jacobians import Spectrum, spectrum, split
from helpers.networks import activations, datasets, models
from helpers.networks.normalisation import normalised
from helpers.networks.numerics import stream

SHAPE, PIXELS = (2, 3, 4), 24


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "normal", *shape), dtype=torch.float64)


def rotation(size, seed=0):
    return torch.from_numpy(ortho_group.rvs(size, random_state=seed))


def linear(*matrices):
    """A network of linear layers 1, 2, ..., float64."""
    maps = [nn.Linear(matrix.shape[1], matrix.shape[0], dtype=torch.float64) for matrix in matrices]
    for layer, matrix in zip(maps, matrices):
        layer.weight = nn.Parameter(matrix)
    return nn.Sequential(nn.Flatten(), *maps).eval()


def known(values, outputs, seed=0):
    """A matrix (outputs, PIXELS) of these singular values, and its right singular vectors in rows."""
    right = rotation(PIXELS, seed)[: len(values)]
    return rotation(outputs, seed + 1)[:, : len(values)] * values @ right, right


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, check_dtype=False)


def network(build, seed=0):
    torch.manual_seed(seed)
    return build().eval()


def cnn(activation=nn.ReLU, wide=6):
    return nn.Sequential(
        nn.Conv2d(2, wide, 3, padding=1), nn.BatchNorm2d(wide), activation(), nn.MaxPool2d(2),
        nn.Conv2d(wide, 5, (1, 2)), activation(), nn.Flatten(), nn.Linear(5, 4),
    )  # fmt: skip


# --- Jacobians of maps that we know


@pytest.mark.parametrize("outputs", [5, 24, 60])
def test_a_linear_map_gives_the_singular_values_it_was_made_of(outputs):
    values = torch.logspace(2, -4, min(outputs, PIXELS), dtype=torch.float64)
    matrix, right = known(values, outputs)
    found = spectrum(linear(matrix), "1", normal(3, *(SHAPE if outputs == 60 else (PIXELS,))))  # images, or vectors
    assert found.values.shape == (3, len(values)) and found.directions.shape == (3, len(values), PIXELS)
    close(found.values, values.expand(3, -1))
    cosine = (found.directions * right).sum(2).abs()
    close(cosine, torch.ones_like(cosine), 1e-9)
    assert found.pixels == PIXELS


def test_small_singular_values_are_known_to_rounding_of_the_largest():
    values = torch.logspace(0, -12, PIXELS, dtype=torch.float64)
    found = spectrum(linear(known(values, 60)[0]), "1", normal(1, *SHAPE)).values[0]
    assert (found - values).abs().max() < 1e-14  # from a Gram matrix they would be off by 1e-8


def test_an_orthogonal_map_and_the_images_themselves_keep_every_length():
    model = linear(rotation(PIXELS))
    for point in ("input", "1"):
        found = spectrum(model, point, normal(2, *SHAPE))
        close(found.values, torch.ones(2, PIXELS))
        close(jacobians.noise_gain(found), torch.ones(2))
        close(jacobians.condition(found.values), torch.ones(2))
        close(jacobians.participation_ratio(found.values), torch.full((2,), 24.0))
        assert jacobians.rank(found.values).tolist() == [24, 24] == jacobians.dimension(found.values, 1.0).tolist()


def test_a_rank_deficient_map_has_zeros():
    matrix = known(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64), 30)[0]
    found = spectrum(linear(matrix), "1", normal(2, *SHAPE)).values
    close(found[:, :3], torch.tensor([3.0, 2, 1]).expand(2, 3))
    assert found[:, 3:].max() < 1e-14 and jacobians.rank(found).tolist() == [3, 3]
    assert jacobians.condition(found).tolist() == [math.inf, math.inf]


def test_composed_maps_multiply():
    first, second = known(torch.full((24,), 2.0, dtype=torch.float64), 24, 3)[0], normal(7, 24)
    model = linear(first, second)
    close(spectrum(model, "1", normal(1, *SHAPE)).values, torch.full((1, 24), 2.0))
    close(spectrum(model, "2", normal(1, *SHAPE)).values[0], 2 * torch.linalg.svdvals(second))


def test_relus_leave_the_directions_of_the_units_that_are_on():
    model = nn.Sequential(nn.Flatten(), nn.ReLU()).eval()
    images = normal(4, *SHAPE)
    found = spectrum(model, "1", images)
    on = images.flatten(1) > 0
    assert jacobians.rank(found.values).tolist() == on.sum(1).tolist()
    close(found.values, on.double().sort(1, descending=True).values)
    seen = split(found, torch.where(on.view_as(images), 0, images))
    close(seen.null, torch.ones(4))


# --- Derivatives by other means


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
@pytest.mark.parametrize("point", ["0", "2", "3", "5", "7"])
def test_jacobians_are_those_of_autograd_and_of_differences(activation, point):
    model, images = network(lambda: cnn(activation)).double(), normal(3, *SHAPE)
    found = spectrum(model, point, images)
    code = lambda x: activations.record(model, x, [point], lambda point, activation: activation.flatten(1))[point]
    for image, values, directions in zip(images, found.values, found.directions):
        jacobian = torch.autograd.functional.jacobian(lambda x: code(x[None])[0], image).flatten(1)
        close(values, torch.linalg.svdvals(jacobian))
        # J^T J, for it does not depend on signs and on the order of equal values.
        close(directions.T * values**2 @ directions, jacobian.T @ jacobian)
        step = 1e-6 * torch.eye(PIXELS, dtype=torch.float64).view(-1, *SHAPE)
        with torch.no_grad():
            differences = (code(image + step) - code(image - step)).T / 2e-6
        assert (differences - jacobian).norm() < 1e-8 * jacobian.norm()


@pytest.mark.parametrize("name", ["resnet8", "vgg8", "cnn4", "mlp2-gelu"])
def test_every_point_of_our_networks_has_a_spectrum(name):
    digits = datasets.load("digits")
    model = normalised(models.build(name, classes=10).eval(), digits.mean, digits.std)
    images = digits.test_images[:2] / 255
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for point in models.points(model):
        found = spectrum(model, point, images)
        code = lambda x: activations.record(model, x, [point], lambda point, activation: activation.flatten(1))[point]
        assert found.values.dtype == found.directions.dtype == torch.float64
        # The exact derivative along the strongest direction, in float32, by the network as it is.
        along = torch.autograd.functional.jvp(code, images, found.directions[:, 0].view(2, 1, 8, 8).float())[1]
        close(along.norm(dim=1), found.values[:, 0], 1e-4)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_transformer_and_relus_in_place():
    transformer = network(lambda: zoo.VisionTransformer(8, 4, 1, 2, 8, 16, num_classes=3))
    nn.init.normal_(transformer.heads.head.weight, generator=stream(0, "head"))
    for model, point in ((transformer, "encoder.ln"), (transformer, "heads"), (zoo.resnet18(), "layer1.0")):
        model = model.eval()
        image = torch.rand(1, 3, 8, 8, generator=stream(0, "image"))
        found = spectrum(model, point, image)
        code = lambda x: activations.record(model.double(), x, [point], lambda point, a: a.flatten(1))[point]
        jacobian = torch.autograd.functional.jacobian(code, image.double()).view(-1, 192)
        close(found.values[0], torch.linalg.svdvals(jacobian), 1e-10)


@given(chunk=st.integers(1, 6), rows=st.integers(1, 80), point=st.sampled_from(["2", "7"]))
@settings(max_examples=5, deadline=None)
def test_chunks_change_nothing(chunk, rows, point):
    model, images = network(cnn), normal(5, *SHAPE)
    whole = spectrum(model, point, images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jacobians, "SIZES", {"cpu": (rows, 1)})
        for some in (spectrum(model, point, images, chunk=chunk), spectrum(model, point, images)):
            close(some.values, whole.values)


def test_it_works_whether_gradients_are_on_or_off():
    model, images = network(cnn), normal(2, *SHAPE)
    with torch.no_grad():
        off = [spectrum(model, point, images) for point in ("2", "7")]
    for point, each in zip(("2", "7"), off):
        found = spectrum(model, point, images.clone().requires_grad_())
        assert torch.equal(found.values, each.values) and not found.values.requires_grad


# --- Measures of spectra


def test_measures_have_their_closed_forms():
    values = torch.tensor([[2.0, 1, 1, 0], [1, 1e-3, 1e-5, 1e-7], [0, 0, 0, 0]], dtype=torch.float64)
    assert jacobians.rank(values).tolist() == [3, 3, 0] and jacobians.rank(values, 1e-4).tolist() == [3, 2, 0]
    ratio = jacobians.participation_ratio(values)
    assert ratio[0].item() == pytest.approx(36 / 18) and ratio[1].item() == pytest.approx(1, abs=1e-5)
    assert ratio[2].isnan()
    assert jacobians.dimension(values).tolist() == [3, 1, 0]
    assert jacobians.dimension(values, 0.6).tolist() == [1, 1, 0]  # 4 of 6 parts
    assert jacobians.dimension(values, 0.7).tolist() == [2, 1, 0]
    assert jacobians.dimension(values, 1.0).tolist() == [3, 4, 0]
    assert jacobians.condition(values).tolist() == [math.inf, pytest.approx(1e7), math.inf]
    gain = jacobians.noise_gain(Spectrum(values, torch.zeros(3, 4, 6, dtype=torch.float64), 6))
    close(gain[[0, 2]], torch.tensor([1.0, 0]))


def test_the_noise_gain_is_that_of_noise():
    model, images = network(cnn).double(), normal(1, *SHAPE)
    found = spectrum(model, "2", images)
    units = nn.functional.normalize(normal(40_000, 24), dim=1)
    lengths = ((units @ found.directions[0].T) * found.values[0]).square().sum(1)
    error = lengths.std() / len(lengths) ** 0.5
    assert abs(lengths.mean() - jacobians.noise_gain(found)[0] ** 2) < 4 * error


@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_measures_do_not_depend_on_the_scale(scale, seed):
    values = normal(3, 6, seed=seed).abs().sort(1, descending=True).values
    for measure in (jacobians.rank, jacobians.participation_ratio, jacobians.dimension, jacobians.condition):
        close(measure(values), measure(scale * values), 1e-9)
    assert (jacobians.participation_ratio(values) <= 6 + 1e-9).all() and (jacobians.dimension(values) >= 1).all()


# --- What a layer sees of an error


def planted():
    """Values strong, weak, dead, none: 8, 6, 3 directions and 7 without a singular value."""
    values = torch.cat([torch.full((8,), 1.0), torch.full((6,), 0.01), torch.full((3,), 1e-9)]).double()
    matrix, right = known(values, 17)
    return spectrum(linear(matrix), "1", normal(2, *SHAPE)), rotation(PIXELS)[17:], right


def test_planted_errors_fall_where_they_belong():
    found, missing, right = planted()
    weights = torch.tensor([[3.0, 2, 1, 1], [0, 1, 0, 2]], dtype=torch.float64)
    parts = torch.stack([right[2], right[9], right[15], missing[4]])
    seen = split(found, (weights @ parts).view(2, *SHAPE))
    expected = torch.tensor([[2, 4, 9], [12, 3, 0]], dtype=torch.float64) / 15
    close(torch.stack(seen, dim=1), expected, 1e-9)


def test_the_two_thresholds_move_the_borders():
    found, _, right = planted()
    difference = (right[2] + right[9] + right[15]).expand(2, -1)
    shares = lambda **options: [round(3 * share[0].item(), 6) for share in split(found, difference, **options)]
    assert shares() == [1, 1, 1]
    assert shares(tolerance=1e-12) == [0, 2, 1]
    assert shares(tolerance=0.1) == [2, 0, 1]
    assert shares(weak=1e-3) == [1, 0, 2] and shares(weak=10.0) == [1, 2, 0]


@given(seed=st.integers(0, 1000), point=st.sampled_from(["2", "5", "7"]), scale=st.floats(1e-8, 1e8))
@settings(max_examples=25, deadline=None)
def test_the_shares_sum_to_one_and_have_no_scale(seed, point, scale):
    found = spectrum(network(cnn), point, normal(3, *SHAPE, seed=seed))
    difference = normal(3, *SHAPE, seed=seed + 1)
    seen = split(found, difference)
    close(sum(seen), torch.ones(3))
    assert all((share >= 0).all() for share in seen)
    for a, b in zip(seen, split(found, scale * difference)):
        close(a, b, 1e-9)


def test_noise_is_lost_in_proportion_to_the_missing_directions():
    found = spectrum(linear(normal(6, 24)), "1", torch.zeros(4000, *SHAPE, dtype=torch.float64))
    null = split(found, normal(4000, 24)).null
    assert abs(null.mean() - 18 / 24) < 4 * null.std() / len(null) ** 0.5


def test_a_map_that_is_zero_loses_everything_and_no_error_has_no_shares():
    model = linear(torch.zeros(30, 24, dtype=torch.float64))
    found = spectrum(model, "1", normal(2, *SHAPE))
    assert split(found, normal(2, 24)).null.tolist() == [1, 1]
    assert all(share.isnan().all() for share in split(found, torch.zeros(2, 24)))


# --- The input gradient


def test_the_gradient_of_a_linear_map_is_known():
    matrix, start, images = normal(9, 24), normal(3, *SHAPE, seed=1), normal(3, *SHAPE, seed=2)
    found = jacobians.input_gradient(linear(matrix), "1", images, start)
    signs = ((start - images).flatten(1) @ matrix.T).sign()
    close(found, (signs @ matrix).abs().mean(1))


def test_the_gradient_is_that_of_differences():
    model, start, images = network(cnn).double(), normal(2, *SHAPE, seed=1), normal(2, *SHAPE, seed=2)
    loss = lambda x: (model(x) - model(images[:1])).abs().sum(1)
    step = 1e-7 * torch.eye(24, dtype=torch.float64).view(-1, *SHAPE)
    with torch.no_grad():
        differences = (loss(start[:1] + step) - loss(start[:1] - step)) / 2e-7
        found = jacobians.input_gradient(model, "7", images, start)
    assert found[0].item() == pytest.approx(differences.abs().mean().item(), rel=1e-6)
    assert found.shape == (2,) and jacobians.input_gradient(model, "7", images, images).tolist() == [0, 0]


# --- Bad input


def test_bad_networks_and_images_are_named():
    model, images = network(cnn), normal(2, *SHAPE)
    for measure in (spectrum, lambda *args: jacobians.input_gradient(*args, images)):
        with pytest.raises(ValueError, match="training mode"):
            measure(cnn(), "7", images)
        with pytest.raises(ValueError, match="no point"):
            measure(model, "eight", images)
        for wrong in (images[:0], images.clone().fill_(math.nan)):
            with pytest.raises(ValueError, match="images: shape"):
                measure(model, "7", wrong)
    for wrong in (images[:1], images * math.inf):
        with pytest.raises(ValueError, match="start: shape"):
            jacobians.input_gradient(model, "7", images, wrong)
    with pytest.raises(ValueError, match="chunk: 0"):
        spectrum(model, "7", images, chunk=0)
    nn.init.constant_(model[7].weight, math.nan)
    with pytest.raises(ValueError, match="derivative"):
        spectrum(model, "7", images)


def test_bad_differences_and_shares_are_named():
    found = spectrum(network(cnn), "7", normal(2, *SHAPE))
    for wrong in (normal(1, *SHAPE), normal(2, 23)):
        with pytest.raises(ValueError, match="difference: shape"):
            split(found, wrong)
    with pytest.raises(ValueError, match="not finite"):
        split(found, normal(2, 24) * math.nan)
    for share in (0.0, 1.5, math.nan):
        with pytest.raises(ValueError, match="share"):
            jacobians.dimension(found.values, share)
