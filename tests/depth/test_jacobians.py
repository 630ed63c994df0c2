"""Spectra of Jacobians: linear maps of singular values that we chose, and derivatives by other means."""

from jacobians_shared import *  # noqa: F403

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
