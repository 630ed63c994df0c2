"""Curvature as published: the peers' answers, surfaces that we know, and an SVD of each point."""

from curvature_shared import *  # noqa: F403

from helpers.curvature import published


@pytest.fixture(params=[0, math.inf], ids=["by point", "at once"])
def either_way(request, monkeypatch):
    """Whatever the size, points one by one, and a batch at once."""
    monkeypatch.setattr(published, "MANY", request.param)


each_way = pytest.mark.usefixtures("either_way")


@each_way
@pytest.mark.parametrize("name", CLOUDS)
def test_caml_meets_the_peers(name):
    source = "tanh6_D200_K40" if name.startswith("tanh6") else name
    points = torch.from_numpy(PEERS[f"{source}/points"])
    near = points[torch.from_numpy(PEERS[f"{name}/neighbours"].astype(int))]
    found = caml(points, near, int(PEERS[f"{name}/dim"])).abs()
    if name.startswith("plane"):
        assert found.mean() <= 1e-10 and found.max() <= 1e-10
        return
    assert float(found.mean()) == pytest.approx(float(PEERS[f"{name}/mapc"]), rel=1e-8)
    expected = torch.from_numpy(PEERS[f"{name}/sorted"])
    difference = (found.flatten(1).sort().values - expected).abs()
    assert difference.max() <= 1e-6 * expected.max()


@each_way
@pytest.mark.parametrize(
    ("count", "features", "d"),
    [(60, 9, 3), (60, 59, 4), (60, 60, 4), (60, 61, 4), (60, 200, 5), (12, 40, 5), (12, 9, 6), (12, 12, 11), (2, 5, 1), (5, 2, 1)],
)  # fmt: skip
def test_caml_is_the_svd_and_fit_of_each_point(count, features, d):
    z = normal(11, count, features) * torch.logspace(0, -2, features, dtype=torch.float64)
    found = at_origin(z, d)
    assert found.shape == (11, min(count, features) - d, d) and found.dtype == torch.float64
    assert (found.diff(dim=-1) >= 0).all()
    for one, expected in zip(found, z.numpy()):
        same_curvatures(one, by_svd(expected, d), 1e-8)


@each_way
@pytest.mark.parametrize("decades", [6, 9, 12])
@pytest.mark.parametrize(("count", "features"), [(60, 200), (60, 60), (60, 30), (100, 12)])
def test_caml_keeps_the_digits_of_an_svd_on_ill_conditioned_data(count, features, decades):
    """Singular values over many decades: a single Gram matrix would mix those below 1e-8 of the largest."""
    rank = min(count, features)
    scale = torch.logspace(0, -decades, rank, dtype=torch.float64)
    z = (torch.linalg.qr(normal(count, rank)).Q * scale) @ torch.linalg.qr(normal(features, rank)).Q.mT
    # Beyond the fifth direction tangents would be so short that the SVD itself keeps few digits of them.
    same_curvatures(at_origin(z[None], 5), by_svd(z.numpy(), 5), 1e-7)


@each_way
def test_one_chunk_may_hold_flat_curved_and_dead_points():
    rich, flat = normal(40, 30) * torch.logspace(0, -9, 30, dtype=torch.float64), torch.zeros(40, 30, dtype=torch.float64)
    flat[:, :3] = normal(40, 3, seed=1)
    found = at_origin(torch.stack([rich, flat, torch.zeros_like(flat)]), 3)
    same_curvatures(found[0], by_svd(rich.numpy(), 3), 1e-8)
    assert found[1].abs().max() < 1e-10 and (found[2] == 0).all()


@each_way
def test_caml_of_a_relu_layer_agrees_with_an_svd():
    x = normal(200, 6) * torch.logspace(0, -6, 6, dtype=torch.float64)
    z = (x @ normal(6, 100) + 0.01 * normal(100)).relu()
    z = z - z[:1]
    values = torch.linalg.svdvals(z)
    assert values[-1] < 1e-12 * values[0]
    same_curvatures(at_origin(z[None], 4), by_svd(z.numpy(), 4), 1e-8)


@each_way
@pytest.mark.parametrize(
    ("surface", "q", "radius", "count", "expected"),
    [
        (quadric(0, 0), 2, 0.1, 40, [0, 0]),  # plane
        (quadric(1, 0), 2, 0.1, 60, [0, 1]),  # cylinder, to second order
        (quadric(1, -1), 2, 0.1, 60, [-1, 1]),  # saddle
        (quadric(3, 1, -2), 3, 0.1, 60, [-2, 1, 3]),
        (cap(10.0), 2, 1.0, 40, [-0.1, -0.1]),
    ],
)  # fmt: skip
def test_caml_on_surfaces_that_we_know(surface, q, radius, count, expected):
    found = at_origin(graph(surface, q, radius, count, n=6), q)[:, 0]
    sign = torch.where(found.sum(1) * sum(expected) < 0, -1, 1)[:, None]  # the side of a normal is arbitrary
    found, expected = (found * sign).sort().values, torch.tensor(expected, dtype=torch.float64)
    assert torch.allclose(found, expected.expand_as(found), rtol=0.05, atol=1e-12 if not expected.any() else 0.02)


@pytest.mark.parametrize(("radius", "expected"), [(0.1, 1.0025), (0.5, 1.06)])
def test_a_sphere_seems_more_curved_in_a_wider_ball(radius, expected):
    assert mapc(graph(cap(), 2, radius, 40, n=40), 2) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("surface", "q", "features", "count", "total"),
    [(quadric(3, 1, -2), 3, 128, 60, 2), (cap(), 5, 6, 100, 1), (cap(), 5, 64, 100, 1), (cap(), 5, 512, 100, 1)],
)
def test_caml_dilutes_curvature_by_the_number_of_normals(surface, q, features, count, total):
    z = turned(graph(surface, q, 0.1, count, n=6), features)
    assert mapc(z, q) == pytest.approx(total / (min(features, count) - q), rel=0.01)


@each_way
@pytest.mark.parametrize(("count", "low", "high"), [(256, 1, 1.01), (60, 0.9, 0.999), (20, 0.4, 0.75)])
def test_caml_shrinks_when_the_fit_is_under_determined(count, low, high):
    """A ten-sphere has 65 terms; the pseudo-inverse gives the smallest of the many answers that fit fewer points."""
    assert low < mapc(graph(cap(), 10, 0.1, count, n=40, pairs=False), 10) < high


@pytest.mark.parametrize(("noise", "expected"), [(0, 2.28), (1e-3, 2.36), (3e-3, 2.78), (1e-2, 6.8), (3e-2, 19)])
def test_noise_passes_for_curvature(noise, expected):
    """Frobenius norm on a five-sphere (exactly 2.236), radius 0.3, 200 neighbours in 64 dimensions."""
    z = turned(graph(cap(), 5, 0.3, 200, n=16, pairs=False), 64)
    found = caml(noise * normal(16, 64), z + noise * normal(*z.shape), 5)
    assert float(found.square().sum((1, 2)).sqrt().mean()) == pytest.approx(expected, rel=0.1)


@given(SEEDS, st.floats(-6, 6), st.floats(-10, 10))
@settings(max_examples=15, deadline=None)
def test_caml_has_units_and_sees_neither_rotation_nor_order_nor_translation(seed, decades, shift):
    z, scale = normal(3, 30, 12), 10.0**decades
    points, order = torch.zeros(3, 12, dtype=torch.float64), torch.randperm(30, generator=stream(seed, "order"))
    turn = rotation(12, seed)
    move = lambda x: scale * ((x + shift) @ turn)
    found = caml(move(points), move(z[:, order]), 3)
    same_curvatures(scale * found, caml(points, z, 3), 1e-7)


def test_caml_depends_on_more_than_the_surface():
    """What the invariant arm is for: the mean changes with the features although the surface does not."""
    z = graph(lambda t: t.square() / 2, 2, 0.1, 100)  # two normals, each bent along one direction
    narrow = mapc(z, 2)
    assert mapc(turned(z, 20), 2) < 0.2 * narrow


@each_way
@pytest.mark.parametrize("features", [32, 512])
def test_single_precision_flattens_what_is_small(features):
    """The published solver: its default cut-off deletes the quadratic part once neighbours are near."""
    z = turned(graph(cap(), 5, 0.3, 128, n=4), features)
    exact = mapc(z, 5)
    for decade in range(-8, 7, 2):
        scale = 10.0**decade
        assert scale * mapc(scale * z, 5) == pytest.approx(exact, rel=1e-9)
        if -8 <= decade <= 2:
            assert scale * mapc(scale * z, 5, dtype=torch.float32, cutoff=1e-15) == pytest.approx(exact, rel=0.02)
    for scale in (1.0, 1e-2):
        assert scale * mapc(scale * z, 5, dtype=torch.float32) == pytest.approx(exact, rel=0.01)
    for scale in (1e-6, 1e-8):
        assert scale * mapc(scale * z, 5, dtype=torch.float32) < 1e-6 * exact
    assert scale * mapc(scale * z, 5, cutoff=1e-2) < 1e-6 * exact  # the cut-off does it, not the precision


@each_way
def test_precision_of_the_answer_is_the_solvers():
    z = normal(1, 20, 5)
    kinds = {None: torch.float64, torch.float64: torch.float64, torch.float32: torch.float32}
    assert {asked: at_origin(z.float(), 2, dtype=asked).dtype for asked in kinds} == kinds


@each_way
def test_more_points_than_a_chunk_are_the_same_points():
    z = normal(2 * quadratic.CHUNK + 1, 20, 6)
    assert torch.allclose(at_origin(z, 2)[-1:], at_origin(z[-1:], 2), rtol=1e-10)


@pytest.mark.parametrize("parametrisation", [on_sphere, gnomonic])
@pytest.mark.parametrize("r", [1.0, 20.0])
@pytest.mark.parametrize(
    ("q", "features"),
    [(1, 3), (2, 3), (2, 512), (5, 6), (5, 64), (8, 16), (10, 512), (30, 31)],
)
def test_a_sphere_has_one_over_its_radius_in_any_space(parametrisation, r, q, features):
    eps = 0.05 * r
    t = chart(q, eps)
    found = form(turned(parametrisation(t, r), features), t, eps)
    assert found["kappa_rms"] == pytest.approx(1 / r, rel=0.01)
    assert found["norm"] == pytest.approx(math.sqrt(q) / r, rel=0.01)
    assert found["bend"] == pytest.approx(eps / (2 * r) * math.sqrt((q + 2) / (q + 4)), rel=0.01)
    assert found["scale"] == pytest.approx(eps * math.sqrt(q / (q + 2)), rel=0.01)
    assert found["cond"] == pytest.approx(1, rel=0.01) and found["r2"] > 1 - 1e-4
    # Gauss: |tr II|^2 - |II|^2 is the scalar curvature, q (q - 1) / r^2.
    trace = q * (q + 2) * found["kappa_rms"] ** 2 - 2 * found["norm"] ** 2
    assert trace - found["norm"] ** 2 == pytest.approx(q * (q - 1) / r**2, rel=0.02, abs=0.01 / r**2)


@pytest.mark.parametrize(("q", "features"), [(1, 2), (2, 3), (2, 300), (8, 8), (8, 300), (10, 4096)])
@pytest.mark.parametrize("curved", [False, True])
def test_a_plane_is_flat_however_it_is_parametrised(q, features, curved):
    t = chart(q, 0.5, seed=1)
    inside = t @ normal(q, q) + (t @ normal(q, q, seed=1)).square() + (t @ normal(q, q, seed=2)) ** 3 if curved else t
    found = form(turned(inside, features), t)
    assert found["bend"] <= 1e-10
    if found["cond"] <= 100:
        assert found["kappa_rms"] <= 1e-9 and found["norm"] <= 1e-9
