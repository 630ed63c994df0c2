"""Curvature: the peers' answers, surfaces that we know, an SVD of each point, autograd, and the invariances."""

import inspect
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from helpers import curvature
from helpers.curvature import ball, caml, quadratic, second_fundamental_form
from helpers.networks.numerics import stream

PEERS = np.load(Path(__file__).parents[1] / "fixtures" / "caml.npz")
CLOUDS = sorted(key.removesuffix("/mapc") for key in PEERS if key.endswith("/mapc"))
SEEDS = st.integers(0, 2**31 - 1)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "normal", *shape), dtype=torch.float64)


def rotation(d, seed=0):
    return torch.from_numpy(ortho_group.rvs(d, random_state=seed))


def turned(z, features, seed=0):
    """The same points (..., d) along other axes of a larger space (..., features)."""
    return z @ torch.linalg.qr(normal(features, z.shape[-1], seed=seed)).Q.mT


def at_origin(z, dim, **solver):
    """CAML of neighbours (n, K, D) around the origin."""
    return caml(torch.zeros_like(z[:, 0]), z, dim, **solver)


def mapc(z, dim, **solver):
    return float(at_origin(z, dim, **solver).abs().double().mean())


def graph(surface, q, radius, count, n=1, pairs=True):
    """(n, K, q + m): the points (t, surface(t)) for t in n balls of a tangent space."""
    drawn = count if pairs else 2 * count
    t = radius * torch.stack([ball(q, drawn, stream(0, "graph", i))[:count] for i in range(n)])
    return torch.cat([t, surface(t)], dim=-1)


def cap(r=1.0):
    """A sphere of radius r, seen from one of its points."""
    return lambda t: (r**2 - t.square().sum(-1, keepdim=True)).sqrt() - r


def quadric(*curvatures):
    return lambda t: t.square() @ torch.tensor(curvatures, dtype=t.dtype)[:, None] / 2


# --- The faithful arm


def by_svd(z, d):
    """Principal curvatures (normals, d) of one point, K neighbours z (K, D) around the origin, term by term."""
    left, values, _ = np.linalg.svd(z, full_matrices=False)
    c = left * values
    terms = [(i, j) for i in range(d) for j in range(i, d)]
    design = [c[:, i] for i in range(d)] + [c[:, i] * c[:, j] / (1 + (i == j)) for i, j in terms]
    design = np.stack(design, axis=1)
    fit = np.linalg.pinv(design, rcond=max(design.shape) * np.finfo(float).eps) @ c[:, d:]
    found = []
    for normal in fit[d:].T:
        hessian = np.zeros((d, d))
        for (i, j), value in zip(terms, normal):
            hessian[i, j] = hessian[j, i] = value
        found.append(np.linalg.eigvalsh(hessian))
    return np.array(found)


def same_curvatures(found, expected, tolerance):
    """The mean, and all of the absolute values sorted; the sign of a normal is arbitrary."""
    a, b = (np.sort(np.abs(np.asarray(v)).ravel()) for v in (found, expected))
    assert a.shape == b.shape
    assert a.mean() == pytest.approx(b.mean(), rel=tolerance)
    assert np.abs(a - b).max() <= tolerance * b.max()


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


@pytest.mark.parametrize("decades", [6, 9, 12])
@pytest.mark.parametrize(("count", "features"), [(60, 200), (60, 60), (60, 30), (100, 12)])
def test_caml_keeps_the_digits_of_an_svd_on_ill_conditioned_data(count, features, decades):
    """Singular values over many decades: a single Gram matrix would mix those below 1e-8 of the largest."""
    rank = min(count, features)
    scale = torch.logspace(0, -decades, rank, dtype=torch.float64)
    z = (torch.linalg.qr(normal(count, rank)).Q * scale) @ torch.linalg.qr(normal(features, rank)).Q.mT
    # Beyond the fifth direction tangents would be so short that the SVD itself keeps few digits of them.
    same_curvatures(at_origin(z[None], 5), by_svd(z.numpy(), 5), 1e-7)


def test_one_chunk_may_hold_flat_curved_and_dead_points():
    rich, flat = normal(40, 30) * torch.logspace(0, -9, 30, dtype=torch.float64), torch.zeros(40, 30, dtype=torch.float64)
    flat[:, :3] = normal(40, 3, seed=1)
    found = at_origin(torch.stack([rich, flat, torch.zeros_like(flat)]), 3)
    same_curvatures(found[0], by_svd(rich.numpy(), 3), 1e-8)
    assert found[1].abs().max() < 1e-10 and (found[2] == 0).all()


def test_caml_of_a_relu_layer_agrees_with_an_svd():
    x = normal(200, 6) * torch.logspace(0, -6, 6, dtype=torch.float64)
    z = (x @ normal(6, 100) + 0.01 * normal(100)).relu()
    z = z - z[:1]
    values = torch.linalg.svdvals(z)
    assert values[-1] < 1e-12 * values[0]
    same_curvatures(at_origin(z[None], 4), by_svd(z.numpy(), 4), 1e-8)


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


def test_single_precision_flattens_what_is_small():
    """The published solver: its default cut-off deletes the quadratic part once neighbours are near."""
    z = turned(graph(cap(), 5, 0.3, 128, n=4), 32)
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


def test_precision_of_the_answer_is_the_solvers():
    z = normal(1, 20, 5)
    kinds = {None: torch.float64, torch.float64: torch.float64, torch.float32: torch.float32}
    assert {asked: at_origin(z.float(), 2, dtype=asked).dtype for asked in kinds} == kinds


def test_more_points_than_a_chunk_are_the_same_points():
    z = normal(2 * quadratic.CHUNK + 1, 20, 6)
    assert torch.allclose(at_origin(z, 2)[-1:], at_origin(z[-1:], 2), rtol=1e-10)


# --- The corrected arm


def form(z, t, radius=None):
    """The fields of the form of one point (K, D), as numbers."""
    found = second_fundamental_form(z[None], t, radius)
    return {name: float(value) for name, value in found._asdict().items()}


def chart(q, radius, count=None, seed=0):
    return radius * ball(q, count or 4 * q * (q + 3), stream(seed, "chart", q))


def on_sphere(t, r):
    """Graph over the tangent space."""
    return torch.cat([t, cap(r)(t)], dim=-1)


def gnomonic(t, r):
    """Projected from the centre onto the sphere: another parametrisation of the same surface."""
    lifted = torch.cat([t, torch.full_like(t[..., :1], r)], dim=-1)
    x = r * lifted / lifted.norm(dim=-1, keepdim=True)
    return x - torch.eye(t.shape[-1] + 1, dtype=t.dtype)[-1] * r


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


def exact(f, q):
    """Jacobian (D, q) and second derivatives (D, q, q) of f at 0."""
    origin = torch.zeros(q, dtype=torch.float64)
    jacobian = torch.func.jacrev(f)
    return jacobian(origin), torch.func.jacrev(jacobian)(origin)


def exact_form(j, h, eps):
    """bend, kappa_rms and norm, from an orthonormal tangent frame and from points in the ball."""
    q, (frame, r) = j.shape[1], torch.linalg.qr(j)
    n = h - torch.einsum("dk,ek,eij->dij", frame, frame, h)
    back = torch.linalg.inv(r)
    ii = torch.einsum("dij,ia,jb->dab", n, back, back)
    square, trace = ii.square().sum(), ii.diagonal(dim1=1, dim2=2).sum(1).square().sum()
    t = eps * ball(q, 100_000, stream(9, "exact"))
    departure = torch.einsum("ki,kj,dij->kd", t, t, n).square().sum(1).mean() / 4
    return {
        "bend": float((departure / (t @ j.T).square().sum(1).mean()).sqrt()),
        "kappa_rms": float(((2 * square + trace) / (q * (q + 2))).sqrt()),
        "norm": float(square.sqrt()),
        "cond": float(torch.linalg.cond(j) ** 2),
    }


@pytest.mark.parametrize("q", [1, 2, 6])
@pytest.mark.parametrize("eps", [0.01, 0.1])
def test_a_smooth_network_has_the_curvature_that_autograd_says(q, eps):
    first, second, bias = normal(q, 40) / math.sqrt(q), normal(40, 64) / math.sqrt(40), normal(40, seed=3) / 2
    net = lambda x: torch.tanh(torch.tanh(x @ first + bias) @ second)
    t = chart(q, eps)
    found = form(net(t) - net(torch.zeros_like(t[:1])), t, eps)
    for name, value in exact_form(*exact(net, q), eps).items():
        assert found[name] == pytest.approx(value, rel=0.01), name


def random_map(q, features, seed=0):
    j, h = normal(q, features, seed=seed), normal(q, q, features, seed=seed)
    return lambda t: t @ j + torch.einsum("ki,kj,ijd->kd", t, t, h) / 2


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
    for count, features in ((40, 70), (70, 40)):
        z, _ = bench["images_of_a_ball"](3, count, features, 4)
        z = bench["with_noise"](z) if noisy else z
        bench["agree_on_curvatures"](bench["faithful"](z, 4), bench["reference"](z.numpy(), 4))
    z, t = bench["on_spheres"](3, 101, 70, 4)
    bench["agree_on_norm"](second_fundamental_form(z, t, 0.05), bench["reference"](z.numpy(), 4))


# --- Bad input, without the tests' own check of shapes


def refused(function, *arguments, message, **options):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(function)(*arguments, **options)


NAN = torch.full((3, 9, 4), math.nan)


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


T = chart(2, 1.0)


@pytest.mark.parametrize(
    ("z", "t", "radius", "message"),
    [
        (torch.zeros(len(T), 4), T, None, r"displacements: shape .*, expected \(n, K, D\)"),
        (torch.full((1, len(T), 4), math.nan), T, None, "displacements: holds NaN"),
        (torch.zeros(1, len(T), 4), T * math.inf, None, "coordinates: holds NaN or infinite"),
        (torch.zeros(1, len(T), 4), T.flatten(), None, r"coordinates: shape .*, expected \(K, q\)"),
        (torch.zeros(1, 7, 4), T, None, "displacements: 7 neighbours for 40 coordinates"),
        (torch.zeros(1, 4, 4), T[:4], None, "expected the same number, at least 5 for q = 2"),
        (torch.zeros(1, len(T), 4), T, 0.0, "radius: 0.0, expected a positive length"),
        (torch.zeros(1, len(T), 4), T, math.nan, "radius: nan, expected"),
        (torch.zeros(1, len(T), 4), 0 * T, None, "radius: 0.0, expected"),
    ],
)
def test_the_form_refuses(z, t, radius, message):
    refused(second_fundamental_form, z, t, radius, message=message)


@pytest.mark.parametrize("q", [2, 6])
def test_corners_do_not_determine_a_quadratic_form(q):
    corners = (torch.arange(2**q - 1)[:, None] >> torch.arange(q) & 1).double()
    corners = corners.repeat(3, 1)  # enough of them, were they elsewhere
    terms = q * (q + 3) // 2
    message = rf"coordinates: they determine \d+ of the {terms} terms"
    refused(second_fundamental_form, torch.zeros(1, len(corners), 3), corners, message=message)


# --- Neighbourhoods


@pytest.mark.parametrize("q", [1, 2, 5])
def test_the_ball_is_uniform_and_antithetic(q):
    t = ball(q, 200_000, stream(0, "moments"))
    half = len(t) // 2
    assert torch.equal(t[:half], -t[half:]) and t.norm(dim=1).max() <= 1
    assert torch.allclose(t.T @ t / len(t), torch.eye(q, dtype=t.dtype) / (q + 2), atol=3e-3)
    fourth = t.square().T @ t.square() / len(t)
    wick = (1 + 2 * torch.eye(q, dtype=t.dtype)) / ((q + 2) * (q + 4))
    assert torch.allclose(fourth, wick, atol=3e-3)
    assert t.norm(dim=1).median() == pytest.approx(0.5 ** (1 / q), rel=0.01)


@pytest.mark.parametrize(("q", "count"), [(0, 4), (2, 0), (2, 5)])
def test_a_ball_has_pairs(q, count):
    with pytest.raises(ValueError, match=f"q, count: {q}, {count}, expected"):
        ball(q, count, stream(0))


def pictures(n=4, channels=3, size=8, rank=None):
    x = normal(n, channels, size, size).float()
    if rank:
        u, s, vh = torch.linalg.svd(x)
        x = torch.einsum("ncij,ncj,ncjw->nciw", u[..., :rank], s[..., :rank], vh[:, :, :rank])
    return x


@pytest.mark.parametrize(("rank", "keep"), [(None, 3), (None, 10), (5, 10), (5, 3), (2, 1)])
def test_corners_switch_the_last_singular_values(rank, keep):
    """In the singular directions of its image a neighbour has each value or 0, the same pattern in all channels."""
    x = pictures(rank=rank)
    near = curvature.svd_corners(x, keep=keep)
    rank = rank or 8
    q = min(rank, keep)
    assert near.shape == (4, 2**q - 1, 3, 8, 8)
    u, s, vh = torch.linalg.svd(x)
    inside = torch.einsum("ncij,nkciw,ncjw->nkcj", u, near, vh)
    on = inside[..., :rank] / s[:, None, :, :rank]
    pattern = on.round()
    assert torch.allclose(on, pattern, atol=1e-3) and set(pattern.unique().tolist()) <= {0.0, 1.0}
    assert torch.allclose(inside[..., rank:], torch.zeros(()), atol=1e-4)
    assert (pattern == pattern[:, :, :1]).all() and (pattern == pattern[:1]).all()
    rows = pattern[0, :, 0]
    assert (rows[:, : rank - q] == 1).all()
    patterns = {tuple(row) for row in rows[:, rank - q :].tolist()}
    assert len(patterns) == 2**q - 1 and (1.0,) * q not in patterns and (0.0,) * q in patterns


def test_the_corners_set_is_affine_and_hangs_off_the_image():
    x = pictures(n=2)
    z = (curvature.svd_corners(x, keep=4) - x[:, None]).flatten(2).double()
    values = torch.linalg.svdvals(z)
    assert (values[:, 4] < 1e-5 * values[:, 0]).all() and (values[:, 3] > 1e-2 * values[:, 0]).all()


def test_one_poor_image_costs_the_others_their_last_directions():
    """As published: the rank of the batch is the smallest in it."""
    x = torch.cat([pictures(n=1), pictures(n=1, rank=3)])
    near = curvature.svd_corners(x, keep=10)
    assert near.shape[1] == 2**3 - 1
    assert (torch.linalg.matrix_rank(near[0], rtol=1e-4) <= 3).all()
    assert curvature.svd_corners(x[:1], keep=10).shape[1] == 2**8 - 1


@pytest.mark.parametrize(
    ("x", "keep", "message"),
    [(pictures(), 0, "keep: 0, expected 1 to 12"), (pictures(), 13, "keep: 13"), (0 * pictures(), 3, "images: one has a channel of zeros")],
)  # fmt: skip
def test_corners_refuse(x, keep, message):
    with pytest.raises(ValueError, match=message):
        curvature.svd_corners(x, keep=keep)


def orthonormal(directions):
    eye = torch.eye(directions.shape[-2])
    return torch.allclose(directions @ directions.mT, eye.expand(*directions.shape[:-1], len(eye)), atol=1e-5)


def test_charts_are_orthonormal():
    x = pictures(n=50)
    charts = {
        "pca": (curvature.pca_chart(x, 6), (6, 192)),
        "svd": (curvature.svd_chart(x, 6), (50, 6, 192)),
        "smooth": (curvature.smooth_chart((3, 8, 8), 6, stream(0, "smooth")), (6, 192)),
    }
    for name, (chart, shape) in charts.items():
        assert chart.shape == shape and chart.dtype == torch.float32 and orthonormal(chart), name


def test_the_pca_chart_spans_the_leading_directions():
    scale = torch.tensor([9.0, 5.0, 3.0] + [0.1] * 13)
    x = (normal(400, 16).float() * scale) @ rotation(16).float() + 7
    lead = curvature.pca_chart(x.unflatten(1, (1, 4, 4)), 3)
    assert torch.allclose((lead @ rotation(16).float().T)[:, :3].square().sum(1), torch.ones(3), atol=1e-2)


def test_the_svd_chart_spans_what_the_corners_switch():
    x = pictures(n=3, channels=1)
    z = (curvature.svd_corners(x, keep=4) - x[:, None]).flatten(2)
    chart = curvature.svd_chart(x, 4)
    assert torch.allclose(z @ chart.mT @ chart, z, atol=1e-4)


def test_smooth_directions_are_smoother_than_noise():
    roughness = lambda x: float(x.unflatten(-1, (3, 16, 16)).diff(dim=-1).square().mean() / x.square().mean())
    smooth = curvature.smooth_chart((3, 16, 16), 4, stream(0, "smooth"))
    assert roughness(smooth) < 0.5 < 1.5 < roughness(normal(4, 768).float())
    assert torch.equal(smooth, curvature.smooth_chart((3, 16, 16), 4, stream(0, "smooth")))


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda q: curvature.pca_chart(pictures(n=5), q), 5),
        (lambda q: curvature.svd_chart(pictures(), q), 8),
        (lambda q: curvature.smooth_chart((1, 4, 4), q, stream(0)), 16),
    ],
)
def test_charts_have_no_more_directions_than_there_are(make, limit):
    make(limit)
    for q in (0, limit + 1):
        with pytest.raises(ValueError, match=f"q: {q}, expected 1 to {limit}"):
            make(q)


def test_neighbours_lie_at_their_coordinates():
    x, t = pictures(n=3), chart(4, 0.5)
    for axes in (curvature.pca_chart(pictures(n=20), 4), curvature.svd_chart(x, 4)):
        near = curvature.neighbours(x, axes, t)
        assert near.shape == (3, len(t), 3, 8, 8) and near.dtype == x.dtype
        back = (near - x[:, None]).flatten(2) @ axes.mT
        assert torch.allclose(back, t.float().expand(3, -1, -1), atol=1e-5)


def test_nearest_are_the_nearest_others():
    x = normal(40, 3)
    x[7] = x[8]  # a twin is a neighbour, at distance 0
    near = curvature.nearest(x, 5)
    for i, point in enumerate(x):
        others = torch.cat([x[:i], x[i + 1 :]])
        order = (others - point).norm(dim=1).argsort(stable=True)[:5]
        assert torch.equal((near[i] - point).norm(dim=1), (others[order] - point).norm(dim=1))
    assert torch.equal(near[7, 0], x[8])
    for count in (0, 40):
        with pytest.raises(ValueError, match=f"count: {count}, expected 1 to 39 for 40 points"):
            curvature.nearest(x, count)
