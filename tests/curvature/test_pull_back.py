"""The invariant estimator: surfaces that we know, autograd, and what it does not change by."""

from curvature_shared import *  # noqa: F403


def test_a_graph_on_a_slope_needs_the_metric():
    """f = b.u + u'Hu / 2 in one codimension: II = H / sqrt(1 + |b|^2) in the metric I + bb'."""
    h, b = torch.tensor([[2.0, 1], [1, -3]], dtype=torch.float64), torch.tensor([1.5, -0.5], dtype=torch.float64)
    t = chart(2, 0.1)
    found = form(torch.cat([t, (t @ b + (t @ h * t).sum(1) / 2)[:, None]], dim=1), t, 0.1)
    weingarten = np.linalg.solve(np.eye(2) + np.outer(b, b), h.numpy()) / math.sqrt(1 + float(b @ b))
    square, trace = np.trace(weingarten @ weingarten), np.trace(weingarten)
    assert found["norm"] == pytest.approx(math.sqrt(square), rel=1e-9)
    assert found["kappa_rms"] == pytest.approx(math.sqrt((2 * square + trace**2) / 8), rel=1e-9)
    assert found["cond"] == pytest.approx(1 + float(b @ b), rel=1e-9)


@pytest.mark.parametrize("latitude", [0.0, 0.4, 1.1])
def test_an_ellipsoid_with_unequal_axes(latitude):
    axes = torch.tensor([1.0, 2.0, 1.5], dtype=torch.float64)

    def surface(angles):
        a, b = angles[..., 0] + 0.3, angles[..., 1] + latitude
        return axes * torch.stack([a.cos() * b.cos(), a.sin() * b.cos(), b.sin()], dim=-1)

    t = chart(2, 0.02)
    centre = surface(torch.zeros(2, dtype=torch.float64))
    found = form(surface(t) - centre, t)
    product, reach = float(axes.prod()), float((centre.square() / axes**4).sum())
    gauss = 1 / (product * reach) ** 2
    mean = abs(float(centre.square().sum() - axes.square().sum())) / (2 * product**2 * reach**1.5)
    square = 4 * mean**2 - 2 * gauss
    assert found["norm"] == pytest.approx(math.sqrt(square), rel=0.01)
    assert found["kappa_rms"] == pytest.approx(math.sqrt((2 * square + 4 * mean**2) / 8), rel=0.01)


def test_a_torus_without_gaussian_curvature():
    """Two circles of radius 1 and 3 in four dimensions: bent, with two normals, but of scalar curvature 0."""
    t = chart(2, 0.02)
    circle = lambda angle, r: torch.stack([r * angle.cos() - r, r * angle.sin()], dim=1)
    found = form(torch.cat([circle(t[:, 0], 1), circle(t[:, 1], 3)], dim=1), t)
    assert found["norm"] == pytest.approx(math.sqrt(1 + 1 / 9), rel=0.01)
    assert 8 * found["kappa_rms"] ** 2 - 3 * found["norm"] ** 2 == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("q", [1, 2, 6])
@pytest.mark.parametrize("eps", [0.01, 0.1])
def test_a_smooth_network_has_the_curvature_that_autograd_says(q, eps):
    first, second, bias = normal(q, 40) / math.sqrt(q), normal(40, 64) / math.sqrt(40), normal(40, seed=3) / 2
    net = lambda x: torch.tanh(torch.tanh(x @ first + bias) @ second)
    t = chart(q, eps)
    found = form(net(t) - net(torch.zeros_like(t[:1])), t, eps)
    for name, value in exact_form(*exact(net, q), eps).items():
        assert found[name] == pytest.approx(value, rel=0.01), name


@given(SEEDS, st.integers(1, 4), st.floats(-6, 6))
@settings(max_examples=20, deadline=None)
def test_bend_has_no_units_and_sees_no_axes(seed, q, decades):
    t, scale = chart(q, 0.5), 10.0**decades
    z = random_map(q, 10)(t)
    plain = form(z, t, 0.5)
    changed = form(scale * (torch.nn.functional.pad(z, (0, 3)) @ rotation(13, seed)), t, 0.5)
    units = {"bend": 1, "kappa_rms": 1 / scale, "norm": 1 / scale, "scale": scale, "cond": 1, "r2": 1}
    for name, value in plain.items():
        assert changed[name] == pytest.approx(value * units[name], rel=1e-7, nan_ok=True), name


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_axes_of_the_chart_are_not_seen(seed):
    t = chart(3, 0.5)
    z, turn = random_map(3, 10)(t), rotation(3, seed)
    for name, value in form(z, t, 0.5).items():
        assert form(z, t @ turn, 0.5)[name] == pytest.approx(value, rel=1e-7), name


def test_a_unit_for_each_direction_of_the_chart_changes_the_bend_only():
    """Curvature belongs to the surface, the bend to the ball of inputs that is pushed through."""
    t, stretch = chart(2, 0.1), torch.tensor([1.0, 3.0], dtype=torch.float64)
    f = random_map(2, 10)
    plain, stretched = form(f(t), t, 0.1), form(f(t * stretch), t, 0.1)
    assert stretched["kappa_rms"] == pytest.approx(plain["kappa_rms"], rel=1e-7)
    assert abs(stretched["bend"] / plain["bend"] - 1) > 0.2


def test_the_radius_is_the_balls():
    t = chart(3, 0.2, count=4000)
    z = random_map(3, 10)(t)
    bend = form(z, t, 0.2)["bend"]
    assert form(z, t, 0.4)["bend"] == pytest.approx(2 * bend, rel=1e-9)
    assert form(z, t)["bend"] == pytest.approx(bend, rel=0.02)  # estimated from the mean square
    assert form(z, t)["kappa_rms"] == pytest.approx(form(z, t, 7.0)["kappa_rms"], rel=1e-9)


def test_points_are_measured_one_by_one():
    t = chart(2, 0.5)
    z = torch.stack([random_map(2, 10, seed)(t) for seed in range(3)])
    together = second_fundamental_form(z.float(), t.float(), 0.5)
    assert all(field.shape == (3,) and field.dtype == torch.float64 for field in together)
    for i, one in enumerate(z):
        for name, value in form(one.float(), t.float(), 0.5).items():
            assert float(getattr(together, name)[i]) == pytest.approx(value, rel=1e-9), name


def test_what_the_fit_does_not_explain_shows():
    t = chart(2, 1.0, count=400)
    assert form(random_map(2, 5)(t), t)["r2"] == pytest.approx(1, abs=1e-12)
    kinked = form(torch.cat([t, (t[:, :1] - 0.3).relu() - (t[:, :1] + 0.3).relu()], dim=1).abs(), t)
    assert 0.3 < kinked["r2"] < 0.99


@pytest.mark.parametrize("features", [1, 2, 5, 7])
def test_fewer_features_than_directions_are_full_of_tangents(features):
    t = chart(8, 0.5)
    found = form(random_map(8, features)(t), t)
    assert found["bend"] < 1e-12 and found["cond"] > 1e10
    assert math.isnan(found["norm"]) and math.isnan(found["kappa_rms"])


def test_dead_directions_leave_a_bend_and_no_curvature():
    """The layer keeps one of three directions: its curve bends, and as a surface it has no shape."""
    t = chart(3, 0.1)
    found = form(on_sphere(t[:, :1], 1.0), t, 0.1)
    assert math.isnan(found["norm"]) and math.isnan(found["kappa_rms"]) and found["cond"] > 1e10
    departure = t[:, 0].square().square().mean().sqrt() / 2
    assert found["bend"] == pytest.approx(float(departure / t[:, 0].square().mean().sqrt()), rel=0.15)


@pytest.mark.parametrize(("ratio", "sound"), [(9.99, True), (10.01, False)])
def test_curvature_is_not_given_where_the_metric_is_ill_conditioned(ratio, sound):
    t = chart(2, 0.1)
    z = t * torch.tensor([1, 1 / ratio], dtype=torch.float64)
    found = form(torch.cat([z, t.square()], dim=1), t, 0.1)
    assert found["cond"] == pytest.approx(ratio**2, rel=1e-6)
    assert math.isfinite(found["kappa_rms"]) is sound is math.isfinite(found["norm"])
    assert math.isfinite(found["bend"])


def test_a_layer_that_does_not_move_has_no_bend():
    t = chart(2, 0.1)
    found = form(torch.zeros(len(t), 5), t)
    assert found["scale"] == 0 and all(math.isnan(value) for name, value in found.items() if name != "scale")


@pytest.mark.parametrize("noisy", [False, True])
def test_both_sides_of_the_benchmarks_agree(noisy):
    """Small here; python tests/benchmarks/curvature.py times them at the sizes that matter."""
    bench = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "curvature.py"))
    for count, features, dtype in ((40, 70, torch.float64), (70, 40, torch.float64), (200, 210, torch.float32)):
        z, _ = bench["images_of_a_ball"](3, count, features, 4)
        z = (bench["with_noise"](z) if noisy else z).to(dtype)
        bench["agree_on_curvatures"](at_origin(z, 4, dtype=dtype), bench["reference"](z, 4))
    z, t = bench["on_spheres"](3, 101, 70, 4)
    bench["agree_on_norm"](second_fundamental_form(z, t, 0.05), bench["reference"](z, 4))


@pytest.mark.parametrize(
    ("points", "around", "options", "message"),
    [
        (torch.zeros(3), torch.zeros(3, 9, 4), {}, r"points: shape \(3,\), expected \(n, D\)"),
        (torch.zeros(3, 4), torch.zeros(3, 9), {}, r"neighbours: shape \(3, 9\), expected \(n, K, D\)"),
        (torch.zeros(3, 4), torch.zeros(2, 9, 4), {}, r"neighbours: shape \(2, 9, 4\), expected \(3, K, 4\)"),
        (torch.zeros(3, 4), torch.zeros(3, 9, 5), {}, r"neighbours: shape \(3, 9, 5\), expected \(3, K, 4\)"),
        (torch.zeros(3, 4), NAN, {}, "neighbours: holds NaN"),
        (NAN[:, 0], torch.zeros(3, 9, 4), {}, "points: holds NaN"),
        (torch.zeros(3, 4), torch.zeros(3, 9, 4), {"dim": 0}, r"dim: 0, expected at least 1 and below min\(D, K\) = 4"),
        (torch.zeros(3, 4), torch.zeros(3, 9, 4), {"dim": 4}, "dim: 4, expected at least 1"),
        (torch.zeros(3, 4), torch.zeros(3, 9, 4), {"dtype": torch.float16}, "dtype: torch.float16, expected"),
    ],
)
def test_caml_refuses(points, around, options, message):
    refused(caml, points, around, **({"dim": 2} | options), message=message)
