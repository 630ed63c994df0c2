"""The yardsticks of a search: shifts, neighbourhoods, known distances, and bad input."""

from inversion_shared import *  # noqa: F403


def test_shift_of_linear_maps():
    images = normal(8, 48)
    for factor in (1.0, 3.0):
        shift = inversion.shifted(linear(factor * orthogonal(48)), "0", images, stream(0), draws=64, deviation=0.1)
        close(shift.embedding, factor * shift.pixels, 1e-9)
        assert float(shift.pixels.mean()) == pytest.approx(0.1 * chi(48), rel=0.02)
    # Onto 12 of 48 dimensions: noise is normal there too.
    shift = inversion.shifted(linear(orthogonal(48)[:12]), "0", images, stream(0), draws=64)
    assert float(shift.embedding.mean()) == pytest.approx(chi(12) / 18, rel=0.02)
    assert float(shift.pixels.mean()) == pytest.approx(chi(48) / 18, rel=0.02)


def test_noise_that_is_equivalent_to_its_own_shift(small):
    model, images, _ = small
    noise = lambda residual, net=model, point="8": inversion.equivalent_noise(net, point, images, residual, stream(7))
    # Exact where the grid is; between, and below where a kink is very near, within a few per cent.
    for sigma, tolerance in ((1e-3, 1e-9), (10**-1.5, 1e-9), (1.0, 1e-9), (1 / 18, 0.01), (0.7, 0.04), (2e-5, 0.05)):
        planted = inversion.shifted(model, "8", images, stream(7), deviation=sigma).embedding
        close(noise(planted) / sigma, torch.ones_like(planted), tolerance)
    beyond = 1.1 * inversion.shifted(model, "8", images, stream(7), deviation=1.0).embedding
    assert (noise(beyond * 10) == math.inf).all() and not noise(torch.zeros(5).double()).any()
    straight = nn.Sequential(nn.Flatten(), nn.Linear(200, 7)).double().eval()
    for sigma in (3e-6, 4e-4, 0.0123, 0.9):
        planted = inversion.shifted(straight, "1", images, stream(7), deviation=sigma).embedding
        close(noise(planted, straight, "1") / sigma, torch.ones_like(planted), 1e-9)


def test_noise_at_layers_that_do_not_see_it(small):
    _, images, _ = small
    model = nn.Sequential(nn.Threshold(1.5, 0.0), nn.Flatten()).eval()  # only strong noise crosses the threshold
    residual = torch.tensor([0.0, 0.5, 1.0, 1e6, 2.0], dtype=torch.float64)
    found = inversion.equivalent_noise(model, "1", images, residual, stream(0))
    assert found[0] == 0 and found[3] == math.inf and ((0.1 < found[[1, 2, 4]]) & (found[[1, 2, 4]] < 1)).all()
    dead = nn.Sequential(nn.Threshold(1e6, 0.0)).eval()
    found = inversion.equivalent_noise(dead, "0", images, residual, stream(0))
    assert found[0] == 0 and (found[1:] == math.inf).all()


def test_noise_where_more_moves_less():
    """The smallest deviation counts, on the way up."""
    bump, images = through(lambda x: x * (-(x / 0.005).square()).exp()), torch.zeros(1, 9).double()
    shift = lambda sigma: inversion.shifted(bump, "0", images, stream(0), deviation=sigma, draws=32).embedding
    assert shift(10**-1.5) < shift(0.002) < shift(0.004)
    found = inversion.equivalent_noise(bump, "0", images, shift(0.002), stream(0), draws=32)
    assert found.item() == pytest.approx(0.002, rel=0.05)


def test_measures_of_known_distances():
    a = torch.zeros(3, 2)
    begun, ended = torch.tensor([[3.0, 4.0]] * 3), torch.tensor([[0.0, 2.0], [3.0, 4.0], [0.0, 0.5]])
    shift = Shift(torch.tensor([2.0, 2.0, 4.0]), torch.ones(3))
    found = by_measure(ended, a, begun, torch.tensor([0.2, 4.0, 1.0]), torch.tensor([10.0, 10.0, 5.0]), shift)
    expected = {
        "error": [0.4, 1.0, 0.1], "residual": [0.02, 0.4, 0.2], "rho_in": [2.0, 5.0, 0.5], "rho_out": [0.1, 2.0, 0.25],
        "collision": [1.0, 0.0, 0.0], "nonuniqueness": [math.log10(20), math.log10(2.5), math.log10(2)],
        "memory": [1 - math.sqrt(13) / 5, 1.0, 1 - math.hypot(3, 3.5) / 5],
    }  # fmt: skip
    assert list(found) == list(expected)
    for name, values in expected.items():
        close(found[name], torch.tensor(values, dtype=torch.float64), 1e-7)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, unit=st.floats(0.01, 100), scale=st.floats(0.01, 100))
def test_measures_have_no_units(seed, unit, scale):
    """Neither of pixels, nor of codes; and turning all images changes nothing."""
    a, begun, ended, other = (normal(6, 4, seed=seed + i) for i in range(4))
    lengths = other.abs().T
    before = by_measure(ended, a, begun, lengths[0], lengths[1], Shift(lengths[2], lengths[3]))
    turn = unit * orthogonal(4, seed)
    shift = Shift(scale * lengths[2], unit * lengths[3])
    after = by_measure(ended @ turn, a @ turn, begun @ turn, scale * lengths[0], scale * lengths[1], shift)
    for name, values in before.items():
        close(after[name], values, 1e-9)


# --- Pre-images of noisy codes


def test_neighbourhood_of_orthogonal_layers_is_the_noise():
    weights = [orthogonal(40, seed) for seed in range(3)]
    found = inversion.inverse_neighbourhood(weights, 0.01, 2000, stream(0))
    assert float(found.mean()) == pytest.approx(0.01 * chi(40), rel=0.01)
    close(found, inversion.inverse_neighbourhood([torch.eye(40)], 0.01, 2000, stream(0)), 1e-9)


def test_neighbourhood_is_that_of_the_explicit_inverse():
    weights = [normal(30, 30, seed=seed) for seed in range(3)]
    noise = 0.3 * torch.randn(50, 30, generator=stream(0), dtype=torch.float64)
    inverse = torch.linalg.inv(weights[2] @ weights[1] @ weights[0])
    found = inversion.inverse_neighbourhood(weights, 0.3, 50, stream(0))
    close(found / (noise @ inverse.T).norm(dim=1), torch.ones(50, dtype=torch.float64), 1e-6)
    assert (found > 3 * (noise @ inverse).norm(dim=1).min()).any()


def test_float32_fails_where_float64_does_not():
    torch.manual_seed(0)
    weights = [nn.Linear(200, 200).weight.detach() for _ in range(4)]
    inverse = torch.linalg.inv(torch.linalg.multi_dot([weight.double() for weight in reversed(weights)]))
    noise = 1e-9 * torch.randn(64, 200, generator=stream(0), dtype=torch.float64)
    true = (noise @ inverse.T).norm(dim=1)
    errors = {
        dtype: (inversion.inverse_neighbourhood(weights, 1e-9, 64, stream(0), dtype).double() / true - 1).abs().median()
        for dtype in (torch.float32, torch.float64)
    }
    assert errors[torch.float64] < 1e-4 and errors[torch.float32] > 0.5


# --- Bad input


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": "l2"}, "loss='l2': expected one of l1, relative"),
        ({"step": "sgd"}, "step='sgd': expected one of plain"),
        ({"decay": "none"}, "decay='none': expected one of linear"),
        ({"rate": (0.1, -0.1)}, r"rate=\(0.1, -0.1\): expected positive"),
        ({"blur": (math.nan, 0.4)}, "blur=.*expected positive"),
        ({"constant": 0.0}, "constant=0.0"),
        ({"steps": -1, "polish": 3}, "steps=-1, polish=3"),
        ({"steps": 0}, "at least one step"),
    ],
)
def test_procedures_say_what_was_expected(values, message):
    with pytest.raises(ValueError, match=message):
        Procedure(**values)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda m, x, s: (m, "9", x, s), {}, "points: '9' is no point of this network"),
        (lambda m, x, s: (cnn().double(), "6", x, s), {}, "model: it is in training mode"),
        (lambda m, x, s: (half_trained(), "6", x, s), {}, "model: its 1 is in training mode"),
        (lambda m, x, s: (m, "6", x[:4], s), {}, r"start: shape \(5, 2, 10, 10\)"),
        (lambda m, x, s: (m, "6", x, s.float()), {}, "start: .*float32, expected"),
        (lambda m, x, s: (m, "6", x.float(), s.float()), {}, "images: torch.float32, expected the network's precision"),
        (lambda m, x, s: (m, "6", x[:0], s[:0]), {}, "images: .*not empty"),
        (lambda m, x, s: (m, "6", x, NAN), {}, "start: holds NaN"),
        (lambda m, x, s: (m, "6", x, s, LITERAL), {"target": NAN}, r"target: \(5, 2, 10, 10\), expected \(5, 72\)"),
        (lambda m, x, s: (m, "input", x, s), {"target": NAN}, "target: holds NaN"),
        (lambda m, x, s: (overflowing(), "6", x, s), {}, "images: their codes hold NaN"),
        (lambda m, x, s: (m, "6", x, s), {"logged": 1}, "logged: 1"),
        (lambda m, x, s: (nn.Identity().eval(), "input", x[:, 0, 0], s[:, 0, 0], LITERAL), {}, "to be blurred"),
        (lambda m, x, s: (nn.Identity().eval(), "input", x[..., :1], s[..., :1], LITERAL), {}, "to be blurred"),
    ],
)
def test_bad_input_says_what_was_expected(small, change, options, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(invert)(*change(*small), **options)  # without the tests' own check of shapes


def test_yardsticks_say_what_was_expected(small):
    model, images, _ = small
    shifted, noise = inversion.shifted, inversion.equivalent_noise
    for call, message in [
        (lambda: shifted(model, "6", images, stream(0), deviation=0.0), "deviation: 0.0"),
        (lambda: shifted(model, "6", images, stream(0), draws=0), "draws: 0"),
        (lambda: shifted(cnn(), "6", images, stream(0)), "training mode"),
        (lambda: noise(model, "6", images, torch.tensor([0.0, 1, 2, 3, -1]), stream(0)), "residual: .*none negative"),
        (lambda: noise(model, "6", NAN, torch.ones(5), stream(0)), "images: holds NaN"),
        (lambda: inversion.projection(normal(3, 2), normal(1, 2) / 0, normal(1, 2)), "expected finite numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    solve = inspect.unwrap(inversion.inverse_neighbourhood)
    for weights, options, message in [
        ([], {}, "weights: shapes"), ([normal(3, 4)], {}, r"weights: shapes \[\(3, 4\)\]"),
        ([normal(3, 3), normal(4, 4)], {}, "weights"), ([torch.zeros(3, 3)], {}, "singular"),
        ([normal(3, 3)], {"draws": 0}, "draws=0"), ([normal(3, 3)], {"deviation": -1.0}, "deviation=-1.0"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            solve(weights, **({"deviation": 0.1, "draws": 3, "generator": stream(0)} | options))
