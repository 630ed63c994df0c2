"""Augmentations and their generators: derivatives of each other, known images, and noise."""

from directions_shared import *  # noqa: F403

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
