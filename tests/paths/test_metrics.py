"""Metrics between representations: the peers' answers, axioms, known answers, invariances, and the geometry."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh, solve_sylvester
from scipy.optimize import brentq
from scipy.stats import ortho_group
from torch.nn.functional import one_hot

from helpers.networks.activations import record
from helpers.networks.numerics import stream
from helpers.paths.geometry import root
from helpers.paths.metrics import AffineInvariant, AngularCKA, AngularShape, EuclideanShape, Stress, gram

PEERS = np.load(Path(__file__).parents[1] / "fixtures" / "metrics.npz")
SEEDS = st.integers(0, 2**31 - 1)
few = settings(max_examples=4, deadline=None)

CKA = [AngularCKA("plug-in"), AngularCKA("low-bias"), AngularCKA("unbiased"), AngularCKA(kernel="gaussian")]
ANGULAR = [AngularShape(), AngularShape(6), AngularShape(20), AngularShape(alpha=0.5), AngularShape(alpha=0)]
EUCLIDEAN = [EuclideanShape(), EuclideanShape(6), EuclideanShape(alpha=0.5), EuclideanShape(6, 0), EuclideanShape(alpha=0)]
SHAPES = ANGULAR + EUCLIDEAN
SQUARE = [AffineInvariant(0.1), AffineInvariant(0.1, relative=True)]
FLAT = [Stress(), Stress(rescale=True)]
METRICS = CKA + SHAPES + SQUARE + FLAT
FAMILIES = [AngularCKA(), AngularShape(), EuclideanShape(), Stress(), AffineInvariant(1.0)]
every = pytest.mark.parametrize("metric", METRICS, ids=repr)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "normal", *shape), dtype=torch.float64)


def rotation(n, seed=0):
    return torch.from_numpy(ortho_group.rvs(n, random_state=seed))


def features(seed=0, m=24, widths=(12, 9, 15)):
    """Representations of m images that have something in common, narrower than m."""
    common, seeds = normal(m, 5, seed=seed), range(10 * seed, 10 * seed + len(widths))
    return [(common @ normal(5, n, seed=s)).tanh() + 0.3 * normal(m, n, seed=s) + 1 for n, s in zip(widths, seeds)]


def embedded(metric, seed=0, **shape):
    return [metric.embed(x) for x in features(seed, **shape)]


def close(a, b, tolerance=1e-8):
    a, b = (torch.as_tensor(each, dtype=torch.float64) for each in (a, b))
    return torch.allclose(a, b, rtol=0, atol=tolerance)


def norm(metric, p, v):
    return metric.inner(p, v, v).sqrt()


# --- The peers


PAIRED = {
    "angular_cka_unbiased": AngularCKA(),
    "angular_cka_biased": AngularCKA("plug-in"),
    "angular_shape_p20": AngularShape(20),
    "euclidean_shape_p20": EuclideanShape(20),
    "air_eps0.1": AffineInvariant(0.1),
    "stress": Stress(),
}


def peers(metric):
    return [metric.embed(torch.from_numpy(PEERS[name])) for name in "ABC"]


@pytest.mark.parametrize("name", PAIRED)
def test_the_peers_are_met(name):
    metric, tolerance = PAIRED[name], 1e-6 if name.startswith("air") else 1e-8
    a, b, c = peers(metric)
    quarter = metric.geodesic(a, b, 0.25)
    found = {
        "AB": metric.distance(a, b),
        "AC": metric.distance(a, c),
        "BC": metric.distance(b, c),
        "quarter_from_A": metric.distance(a, quarter),
        "quarter_to_B": metric.distance(quarter, b),
        "angle_at_B": metric.angle(a, b, c),
    }
    for key, value in found.items():
        assert abs(float(value) - PEERS[f"{name}/{key}"]) <= tolerance, key


@pytest.mark.parametrize("name", PAIRED)
def test_projections_are_no_farther_than_the_peers(name):
    metric = PAIRED[name]
    a, b, c = peers(metric)
    t, off = metric.project(c, a, b)
    foot = metric.geodesic(a, b, t)
    assert off <= PEERS[f"{name}/foot_to_C"] + 1e-6
    assert close(metric.distance(foot, c), off)
    assert close(metric.distance(a, foot), t.abs() * metric.distance(a, b))
    if 0.01 < PEERS[f"{name}/foot_from_A"] / float(metric.distance(a, b)) < 0.99:  # theirs stops at the ends
        assert float(t * metric.distance(a, b)) == pytest.approx(float(PEERS[f"{name}/foot_from_A"]), rel=0.05)


@pytest.mark.parametrize(
    ("name", "metric"),
    [("1.0_angular", AngularShape()), ("1.0_euclidean", EuclideanShape()), ("0.0_angular", AngularShape(50, 0.0))],
)
def test_netrep_is_met_where_definitions_agree(name, metric):
    points = dict(zip("ABC", peers(metric)))
    for p, q in ("AB", "AC", "BC"):
        assert close(metric.distance(points[p], points[q]), PEERS[f"netrep_alpha{name}/{p}{q}"])


# --- Axioms


@every
@given(SEEDS)
@few
def test_axioms(metric, seed):
    p, q, r = embedded(metric, seed)
    unit = float(metric.distance(p, q))
    assert unit > 1e-3
    for point in (p, q, r):
        assert metric.distance(point, point) <= 1e-7 * max(1, float(metric._size(point)))
    assert close(metric.distance(q, p), unit, 1e-12 * max(1, unit))
    assert metric.distance(p, q) + metric.distance(q, r) - metric.distance(p, r) >= -1e-10


def test_one_minus_cka_is_no_metric_and_its_angle_is():
    metric, violated = AngularCKA("plug-in"), 0
    for seed in range(20):
        u, v = normal(40, 2, seed=seed).T
        points = torch.stack([metric.embed(torch.stack([(1 - f) * u, f * v], 1)) for f in (0, 0.5, 1)])
        cka, angle = points @ points.mT, metric.pairwise(points)
        violated += bool((1 - cka)[0, 2] > (1 - cka)[0, 1] + (1 - cka)[1, 2] + 1e-3)
        assert angle[0, 2] <= angle[0, 1] + angle[1, 2] + 1e-10
    assert violated == 20


@every
def test_all_pairs_at_once_are_the_pairs(metric):
    x = [x for seed in range(3) for x in features(seed, widths=(12, 12))]
    x += [x[0], x[1] + 1e-9 * x[2], x[1] + 1e-5 * x[3]]
    points = torch.stack([metric.embed(each) for each in x])
    distances = metric.pairwise(points)
    assert torch.equal(distances, distances.mT) and (distances.diagonal() == 0).all()
    one_by_one = torch.stack([torch.stack([metric.distance(p, q) for q in points]) for p in points])
    one_by_one.fill_diagonal_(0)
    assert close(distances, one_by_one, 1e-12 * max(1, float(distances.max())))


@every
def test_one_point_has_one_distance_and_none_has_none(metric):
    p = embedded(metric)[0]
    assert torch.equal(metric.pairwise(p[None]), torch.zeros(1, 1, dtype=torch.float64))
    for points in (p, p[None, None], p[None][:0]):
        with pytest.raises(ValueError, match=r"points: shape \(.*\), expected k points along the first axis"):
            metric.pairwise(points)


def test_more_pairs_than_a_chunk_are_the_same_pairs(monkeypatch):
    for metric in (AngularShape(6), AffineInvariant(0.1), AngularCKA()):
        points = torch.stack([metric.embed(x) for x in features(widths=(12,) * 4)] * 2)
        whole = metric.pairwise(points)
        monkeypatch.setattr("helpers.paths.geometry.CHUNK", 3 * points[0].numel())
        monkeypatch.setattr("helpers.paths.procrustes.CHUNK", 3 * points[0].numel())
        assert close(metric.pairwise(points), whole, 1e-14)


# --- Small and large distances


@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-7, 1e-9, 1e-11])
@pytest.mark.parametrize("metric", [*CKA[:3], AngularShape(), EuclideanShape(), Stress(), AffineInvariant(1.0)], ids=repr)
def test_small_distances_keep_their_digits(metric, size):
    """Along a geodesic distances are proportional to t, however small."""
    p, q, _ = embedded(metric)
    found = float(metric.distance(p, metric.geodesic(p, q, size)) / metric.distance(p, q))
    assert found == pytest.approx(size, rel=1e-3, abs=2e-15 / size if isinstance(metric, AffineInvariant) else 1e-15)


def test_the_cosine_alone_would_lose_small_distances():
    p, q, _ = embedded(AngularCKA())
    near = AngularCKA().geodesic(p, q, 1e-9)
    assert abs(float((p @ near).clamp(max=1).arccos() - AngularCKA().distance(p, near))) > 1e-10
    pair = AngularCKA().pairwise(torch.stack([p, near]))
    assert float(pair[0, 1]) == pytest.approx(1e-9 * float(AngularCKA().distance(p, q)), rel=1e-4)


@pytest.mark.parametrize("gap", [1e-2, 1e-5, 1e-9])
def test_distances_near_pi_keep_their_digits(gap):
    metric = AngularCKA("unbiased")
    p, q, _ = embedded(metric)
    far = metric.exp(p, (math.pi - gap) * metric.log(p, q) / metric.distance(p, q))
    assert math.pi - float(metric.distance(p, far)) == pytest.approx(gap, rel=1e-5)
    assert math.pi - float(metric.pairwise(torch.stack([p, far]))[0, 1]) == pytest.approx(gap, rel=1e-5)


def test_a_rotated_copy_in_single_precision():
    """The arccos of a cosine in single precision gives about 1e-3, the chord 1e-7."""
    x = normal(200, 50).float()
    y = x @ rotation(50).float()
    assert AngularCKA().distance(AngularCKA().embed(x), AngularCKA().embed(y)) < 1e-6
    assert AngularShape().distance(AngularShape().embed(x), AngularShape().embed(y)) < 1e-5


@pytest.mark.parametrize("decades", [3, 9, 15])
def test_shapes_of_steep_spectra_are_near_themselves(decades):
    x = normal(60, 30) * torch.logspace(0, -decades, 30, dtype=torch.float64)
    metric = AngularShape()
    p, turned = metric.embed(x), metric.embed(x @ rotation(30))
    assert metric.distance(p, turned) < 1e-7 and metric.distance(p, p) < 1e-7


# --- Invariances


MAPS = {
    "translation": lambda x, seed: x + normal(x.shape[1], seed=seed),
    "rotation": lambda x, seed: x @ rotation(x.shape[1], seed),
    "scale": lambda x, seed: x * 3.7,
    "affine": lambda x, seed: x @ rotation(x.shape[1], seed) * torch.linspace(0.3, 2, x.shape[1]) @ rotation(x.shape[1]),
}


@every
@given(SEEDS)
@few
def test_invariances_hold_and_fail_as_declared(metric, seed):
    assert metric.invariances <= set(MAPS)
    x, y, _ = features(seed)
    p, q = metric.embed(x), metric.embed(y)
    for name, move in MAPS.items():
        moved = metric.embed(move(x, seed % 1000))
        if name in metric.invariances:
            assert metric.distance(p, moved) < 1e-6 * max(1, float(metric._size(p))), name
            assert close(metric.distance(moved, q), metric.distance(p, q), 1e-8 * max(1, float(metric._size(p)))), name
        else:
            assert metric.distance(p, moved) > 1e-3 * float(metric.distance(p, q)), name


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (AngularCKA(), {"scale"}),
        (AngularCKA(kernel="gaussian"), {"scale"}),
        (AngularShape(), {"scale"}),
        (AngularShape(alpha=0.5), set()),
        (AngularShape(alpha=0), {"scale", "affine"}),
        (AngularShape(6, 0), {"scale"}),
        (EuclideanShape(), set()),
        (EuclideanShape(alpha=0), {"scale", "affine"}),
        (EuclideanShape(6, 0), {"scale"}),
        (AffineInvariant(1.0), set()),
        (AffineInvariant(1.0, relative=True), set()),
        (Stress(), set()),
        (Stress(rescale=True), {"scale"}),
    ],
    ids=lambda given: "-".join(sorted(given)) or "none" if isinstance(given, set) else repr(given),
)
def test_declared_invariances(metric, expected):
    assert metric.invariances == {"translation", "rotation"} | expected


def test_features_may_have_any_layout():
    maps = normal(10, 3, 4, 5)
    for metric in METRICS:
        assert torch.equal(metric.embed(maps), metric.embed(maps.flatten(1)))


# --- Known answers


@pytest.mark.parametrize("metric", [AngularCKA("plug-in"), AngularShape(20), AngularShape()], ids=repr)
@pytest.mark.parametrize(("fine", "coarse"), [(10, 2), (6, 3), (12, 4)])
def test_nested_labels(metric, fine, coarse):
    labels = torch.arange(fine).repeat_interleave(12)
    p, q = (metric.embed(one_hot(each).double()) for each in (labels, labels * coarse // fine))
    assert close(metric.distance(p, q).cos(), math.sqrt((coarse - 1) / (fine - 1)), 1e-12)
    if fine == 10:
        assert close(metric.distance(p, q), 1.230959417, 1e-9)


def test_nested_labels_without_a_diagonal():
    labels = torch.arange(10).repeat_interleave(60)
    p, q = (AngularCKA().embed(one_hot(each).double()) for each in (labels, labels // 5))
    assert float(AngularCKA().distance(p, q)) == pytest.approx(1.2333, abs=5e-5)


def commuting(seed, m=16, r=6):
    """Two representations with Gram matrices of the same eigenvectors, and their spectra."""
    axes = torch.linalg.qr(torch.cat([torch.ones(m, 1, dtype=torch.float64), normal(m, r, seed=seed)], 1)).Q[:, 1:]
    spectra = 0.1 + torch.rand(2, r, generator=stream(seed, "spectra"), dtype=torch.float64)
    return [axes * each.sqrt() @ rotation(r, k) for k, each in enumerate(spectra)], spectra


@given(SEEDS)
@few
def test_commuting_gram_matrices(seed):
    (x, y), (a, b) = commuting(seed)
    cases = {
        AngularCKA("plug-in"): ((a @ b) / (a.norm() * b.norm())).arccos(),
        AngularShape(): ((a * b).sqrt().sum() / (a.sum() * b.sum()).sqrt()).arccos(),
        EuclideanShape(): (a.sqrt() - b.sqrt()).norm(),
        AffineInvariant(0.01): ((a + 0.01) / (b + 0.01)).log().norm(),
    }
    for metric, expected in cases.items():
        assert close(metric.distance(metric.embed(x), metric.embed(y)), expected, 1e-10), metric


@pytest.mark.parametrize("metric", [AngularCKA("plug-in"), AngularShape(), AngularShape(6)], ids=repr)
def test_representations_that_share_nothing_make_an_octant(metric):
    axes = torch.linalg.qr(torch.cat([torch.ones(20, 1, dtype=torch.float64), normal(20, 6)], 1)).Q[:, 1:]
    p, q, r = (metric.embed(part) for part in axes.split(2, dim=1))
    for a, b, c in ((p, q, r), (q, r, p), (r, p, q)):
        assert close(metric.distance(a, b), math.pi / 2, 1e-12)
        if isinstance(metric, AngularCKA):
            assert close(metric.angle(a, b, c), math.pi / 2, 1e-12)


@given(SEEDS)
@few
def test_the_affine_metric_sees_no_congruence(seed):
    metric = AffineInvariant(0.3)
    p, q, _ = embedded(metric, seed, m=12)
    distance = metric.distance(p, q)
    assert close(metric.distance(p, 7 * p), math.sqrt(12) * math.log(7), 1e-9)
    assert close(metric.distance(torch.linalg.inv(p), torch.linalg.inv(q)), distance, 1e-8)
    turn = rotation(12, seed) * torch.linspace(0.5, 2, 12)
    assert close(metric.distance(turn @ p @ turn.mT, turn @ q @ turn.mT), distance, 1e-8)
    assert close(distance, np.linalg.norm(np.log(eigh(q.numpy(), p.numpy(), eigvals_only=True))), 1e-9)


def test_a_relative_ridge_sees_no_common_scale():
    (x, y, _), metric = features(), AffineInvariant(0.01, relative=True)
    p, q = metric.embed(x), metric.embed(y)
    moved = [metric.embed(1e3 * each) for each in (x, y)]
    assert close(metric.distance(*moved), metric.distance(p, q), 1e-9)
    assert close(metric.distance(p, moved[0]), 2 * math.sqrt(24) * math.log(1e3), 1e-9)


@pytest.mark.parametrize("epsilon", [1e-4, 1e-8])
def test_the_affine_metric_of_a_narrow_ridge(epsilon):
    """Disjoint ranks: the answer is known, and the eigenvalues span sixteen decades."""
    axes = torch.linalg.qr(torch.cat([torch.ones(20, 1, dtype=torch.float64), normal(20, 6)], 1)).Q[:, 1:]
    metric = AffineInvariant(epsilon)
    p, q = (metric.embed(part) for part in axes.split(3, dim=1))
    assert float(metric.distance(p, q)) == pytest.approx(math.sqrt(6) * math.log1p(1 / epsilon), rel=1e-7)


def test_stress_is_the_root_mean_square_difference():
    x, y, _ = features()
    a, b = (torch.pdist(each) for each in (x, y))
    for metric, u, v in ((Stress(), a, b), (Stress(rescale=True), a / a.median(), b / b.median())):
        assert close(metric.distance(metric.embed(x), metric.embed(y)), (u - v).square().mean().sqrt(), 1e-10)


def test_the_gaussian_kernel():
    x = features()[0]
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    kernel = (-((distances / torch.pdist(x).median()) ** 2)).exp()
    centre = torch.eye(24, dtype=torch.float64) - 1 / 24
    assert close(gram(x, "gaussian"), centre @ kernel @ centre, 1e-12)
    metric = AngularCKA(kernel="gaussian")
    assert torch.equal(metric.embed(x), metric.from_gram(gram(x, "gaussian")))


# --- Estimators of CKA


def hsic(k, l):
    """Song et al. (2007), term by term."""
    k, l, m = k - k.diagonal().diag(), l - l.diagonal().diag(), len(k)
    both = k.sum() * l.sum() / ((m - 1) * (m - 2)) - 2 / (m - 2) * (k.sum(0) @ l.sum(0))
    return ((k * l).sum() + both) / (m * (m - 3))


@given(SEEDS, st.integers(4, 40))
@few
def test_u_centring_is_the_unbiased_cka(seed, m):
    x, y, _ = features(seed, m)
    k, l = x @ x.T, y @ y.T  # not centred: the estimator sees to that
    metric = AngularCKA("unbiased")
    assert close(metric.embed(x) @ metric.embed(y), hsic(k, l) / (hsic(k, k) * hsic(l, l)).sqrt(), 1e-12)


def test_estimators_share_a_gram_matrix():
    x, y, _ = features()
    g, h = gram(x), gram(y)
    for estimator in ("plug-in", "low-bias", "unbiased"):
        metric = AngularCKA(estimator)
        assert torch.equal(metric.from_gram(g), metric.embed(x))
        assert close(metric.embed(x).norm(), 1, 1e-14)  # a few last bits, by how a CPU sums 300 squares
    p, q = (AngularCKA("plug-in").embed(each) for each in (x, y))
    assert close(p @ q, (g * h).sum() / g.norm() / h.norm(), 1e-14)


def trials(m, n, variance, repeats=24, k=10):
    """cos d(x, y), cos d(x, l), angle (x, y, z) of the diagnostics of Lange et al., for each estimator and repeat."""
    found = {}
    for seed in range(repeats):
        x, one, two, label = normal(m, 3 * n + k, seed=seed).split([n, n, n, k], dim=1)
        grams = [gram(each) for each in (x, x + math.sqrt(variance) * one, x + math.sqrt(variance) * two, label)]
        for estimator in ("plug-in", "low-bias", "unbiased"):
            metric = AngularCKA(estimator)
            p, q, r, other = map(metric.from_gram, grams)
            row = [p @ q, p @ other, metric.angle(p, q, r)]
            found.setdefault(estimator, []).append(torch.stack(row))
    return {name: (torch.stack(rows).mean(0), torch.stack(rows).std(0) / math.sqrt(repeats)) for name, rows in found.items()}


@pytest.mark.parametrize("m", [60, 150])
def test_bias_is_as_the_closed_forms_say(m):
    n, variance, k = 512, 1.0, 10
    found = trials(m, n, variance)
    noisy = 1 + variance
    expected = {
        "plug-in": (((m + n) + variance * n) / (noisy * (m + n)), math.sqrt(n * k / ((m + n) * (m + k)))),
        "low-bias": ((m**2 + n * noisy) / (noisy * (m**2 + n)), None),
        "unbiased": (1 / noisy, 0.0),
    }
    for name, values in expected.items():
        mean, error = found[name]
        for at, value in enumerate(values):
            if value is not None:
                assert abs(float(mean[at]) - value) <= 3 * float(error[at]), (name, at)
    mean, error = found["unbiased"]
    angle = AngularCKA().angle(*population(variance))
    assert abs(float(mean[2] - angle)) <= 3 * float(error[2])


def population(variance):
    """x, y, z as unit vectors with the population's cosines."""
    a, b = 1 / (1 + variance), 1 / (1 + variance) ** 2
    return torch.linalg.cholesky(torch.tensor([[1, a, a], [a, 1, b], [a, b, 1]], dtype=torch.float64))


# --- Geodesics and tangents


@every
@given(SEEDS, st.floats(0.05, 0.95))
@few
def test_geodesics_have_constant_speed_and_no_corner(metric, seed, t):
    p, q, _ = embedded(metric, seed)
    unit = float(metric.distance(p, q))
    middle, point = metric.geodesic(p, q, 0.5), metric.geodesic(p, q, t)
    for a, b, expected in ((p, middle, 0.5), (middle, q, 0.5), (p, point, t), (point, q, 1 - t)):
        assert close(metric.distance(a, b), expected * unit, 1e-8 * max(1, unit))
    assert close(metric.distance(metric.geodesic(p, q, 0), p), 0, 1e-7 * max(1, unit))
    assert close(metric.distance(metric.geodesic(p, q, 1), q), 0, 1e-7 * max(1, unit))
    assert close(metric.angle(p, middle, q), math.pi, 1e-6)


@every
@given(SEEDS)
@few
def test_log_and_exp_undo_each_other(metric, seed):
    p, q, _ = embedded(metric, seed)
    v = metric.log(p, q)
    unit = float(metric.distance(p, q))
    assert close(metric.distance(metric.exp(p, v), q), 0, 1e-8 * max(1, unit))
    assert close(norm(metric, p, v), unit, 1e-8 * max(1, unit))
    again = metric.log(p, metric.exp(p, 0.3 * v))
    assert close(norm(metric, p, again - 0.3 * v), 0, 1e-7 * max(1, unit))


@pytest.mark.parametrize("metric", CKA + SQUARE + FLAT, ids=repr)
@given(SEEDS)
@few
def test_transport_is_an_isometry(metric, seed):
    p, q, r = embedded(metric, seed)
    s = embedded(metric, seed + 1)[0]
    u, v = metric.log(p, r), metric.log(p, s)
    there = [metric.transport(each, p, q) for each in (u, v)]
    expected = metric.inner(p, u, v)
    size = max(1, float(norm(metric, p, u) * norm(metric, p, v)))
    assert close(metric.inner(q, *there), expected, 1e-8 * size)
    back = metric.transport(there[0], q, p)
    assert close(norm(metric, p, back - u), 0, 1e-7 * size)
    along = metric.transport(metric.log(p, q), p, q)
    assert close(norm(metric, q, along + metric.log(q, p)), 0, 1e-7 * size)  # a geodesic keeps its own direction


def test_transport_of_unit_vectors_is_that_of_the_frame():
    """Component along the arc turns with it, the rest stays."""
    metric = AngularCKA()
    p, q, r = embedded(metric)
    v, line = metric.log(p, r), metric.log(p, q)
    omega, u = line.norm(), line / line.norm()
    expected = v - (v @ u) * u + (v @ u) * (omega.cos() * u - omega.sin() * p)
    assert close(metric.transport(v, p, q), expected, 1e-14)


@pytest.mark.parametrize("metric", [AngularShape(6), EuclideanShape(6), AngularShape()], ids=repr)
def test_transport_of_shapes_is_the_published_one(metric):
    """It keeps the Frobenius norm and the way back undoes it, but some of what arrives is a mere turn."""
    p, q, r = (metric.embed(x) for x in features(widths=(12, 12, 12)))
    v = metric.log(p, r)
    there = metric.transport(v, p, q)
    assert close(there.norm(), v.norm(), 1e-10)
    assert close(metric.transport(there, q, p), v, 1e-8)
    assert norm(metric, q, there) < 0.999 * norm(metric, p, v)
    assert float((metric.horizontal(p, v) - v).norm()) < 1e-10
    along = metric.transport(metric.log(p, q), p, q)
    assert close(along, -metric.log(q, p), 1e-8)


@pytest.mark.parametrize("metric", [AngularShape(6), AngularShape(), EuclideanShape(20)], ids=repr)
def test_the_horizontal_part_solves_a_sylvester_equation(metric):
    p = metric.embed(features()[0])[:, :9]
    v = normal(24, p.shape[1])
    square, twist = (p.mT @ p).numpy(), (p.mT @ v - v.mT @ p).numpy()
    expected = v - p @ torch.from_numpy(solve_sylvester(square, square, twist))
    found = metric.horizontal(p, v)
    assert close(found, expected, 1e-10)
    assert close(p.mT @ found, found.mT @ p, 1e-10)  # symmetric: no rotation left
    assert close(metric.inner(p, v, v), found.square().sum(), 1e-10)


def test_the_horizontal_part_at_a_shape_of_lower_rank():
    metric = AngularShape(20)
    p, v = metric.embed(features()[0]), normal(24, 20)
    found = metric.horizontal(p, v)
    assert close(metric.horizontal(p, found), found, 1e-10) and close(p.mT @ found, found.mT @ p, 1e-10)


# --- Angles


def test_the_angle_follows_the_law_of_cosines_on_the_sphere_only():
    for metric, on_sphere in ((AngularCKA(), True), (AngularShape(6), False)):
        p, q, r = embedded(metric)
        a, b, c = metric.distance(q, p), metric.distance(q, r), metric.distance(p, r)
        law = ((c.cos() - a.cos() * b.cos()) / (a.sin() * b.sin())).arccos()
        assert close(metric.angle(p, q, r), law, 1e-9) == on_sphere


@every
def test_angles_are_those_of_small_triangles(metric):
    """A small triangle is flat: law of cosines on points near the vertex; to first order in its size."""
    p, q, r = embedded(metric)
    a, b = metric.geodesic(q, p, 1e-3), metric.geodesic(q, r, 1e-3)
    x, y, z = metric.distance(q, a), metric.distance(q, b), metric.distance(a, b)
    assert close(((x**2 + y**2 - z**2) / (2 * x * y)).arccos(), metric.angle(p, q, r), 0.01)


@every
def test_where_points_coincide_there_is_no_angle(metric):
    p, q, _ = embedded(metric)
    near = metric.geodesic(p, q, 1e-9)
    for a, b, c in ((p, p, q), (q, p, p), (p, p, p), (near, p, q), (q, p, near)):
        assert metric.angle(a, b, c).isnan()
    assert close(metric.angle(q, p, q), 0, 1e-7)
    assert metric.angle(metric.geodesic(p, q, 1e-3), p, q) < 1e-4


@pytest.mark.parametrize("turned", [1e-9, 1e-5, 1.0, math.pi - 1e-5, math.pi - 1e-9])
def test_angles_keep_their_digits_near_zero_and_pi(turned):
    metric = AngularCKA()
    p, q, r = embedded(metric)
    u = metric.log(q, p)
    v = metric.log(q, r)
    v = v - (v @ u) / (u @ u) * u
    direction = math.cos(turned) * u / u.norm() + math.sin(turned) * v / v.norm()
    found = float(metric.angle(p, q, metric.exp(q, 0.3 * direction)))
    assert found == pytest.approx(turned, abs=1e-13)


def test_the_angle_at_a_corner_of_shape_space():
    """A vertex of lower rank than both neighbours leaves them free to turn: the angle is the least of all turns."""
    metric = AngularShape(3)
    x = torch.linalg.qr(torch.cat([torch.ones(12, 1, dtype=torch.float64), normal(12, 6)], 1)).Q[:, 1:]
    q = metric.embed(x[:, :1])
    p, r = metric.embed(x[:, :3] + 0.1 * x[:, 3:]), metric.embed(x[:, [0, 4, 5]] + 0.3 * x[:, 1:4])
    u, v = metric.log(q, p), metric.log(q, r)
    turns = np.linspace(0, 2 * math.pi, 2001)
    least = math.pi
    for flip in (1, -1):
        c, s = torch.from_numpy(np.cos(turns)), torch.from_numpy(np.sin(turns))
        turn = torch.zeros(len(turns), 3, 3, dtype=torch.float64)
        turn[:, 0, 0] = 1
        turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = c, -flip * s, s, flip * c
        cosine = (u * (v @ turn)).sum((1, 2)) / u.norm() / v.norm()
        least = min(least, float(cosine.max().arccos()))
    assert float(metric.angle(p, q, r)) == pytest.approx(least, abs=1e-5)
    for seed in range(3):  # however the embedding happened to turn
        turn = torch.block_diag(torch.eye(1, dtype=torch.float64), rotation(2, seed))
        assert close(metric.angle(p @ rotation(3, seed), q @ turn, r), metric.angle(p, q, r), 1e-10)


# --- Projections


@every
@given(SEEDS, st.floats(-0.3, 1.3))
@few
def test_a_point_of_the_geodesic_is_its_own_projection(metric, seed, t):
    p, q, _ = embedded(metric, seed)
    unit = max(1, float(metric.distance(p, q)))
    found, off = metric.project(metric.geodesic(p, q, t), p, q)
    assert close(off, 0, 1e-6 * unit)
    assert close(found, t, 1e-6)


@every
@given(SEEDS)
@few
def test_the_projection_is_the_nearest_point_at_a_right_angle(metric, seed):
    p, q, r = embedded(metric, seed)
    t, off = metric.project(r, p, q)
    unit = max(1.0, float(metric.distance(p, q)))
    foot = metric.geodesic(p, q, t)
    assert close(metric.distance(foot, r), off, 1e-8 * unit)
    assert close(metric.angle(metric.geodesic(p, q, t + 0.1), foot, r), math.pi / 2, 1e-5)
    places = t + torch.linspace(-1e-3, 1e-3, 9), torch.linspace(-1, 2, 61)
    near, others = (metric.distance(metric.geodesic(p, q, s), r) for s in places)
    assert (near >= off - 1e-8 * unit).all()
    # Distances from the geodesic of a shape have several minima, of which two can be closer than the search looks.
    assert (others >= off * (0.99 if metric in SHAPES else 1) - 1e-8 * unit).all()


@given(SEEDS)
@few
def test_pythagoras_on_the_sphere(seed):
    metric = AngularCKA()
    p, q, r = embedded(metric, seed)
    t, off = metric.project(r, p, q)
    hypotenuse, leg = metric.distance(r, q), (1 - t) * metric.distance(p, q)
    assert close(hypotenuse.cos(), off.cos() * leg.cos(), 1e-12)


@every
def test_on_a_geodesic_without_length_there_is_no_position(metric):
    p, q, r = embedded(metric)
    for other in (p, metric.geodesic(p, q, 1e-10)):
        t, off = metric.project(r, p, other)
        assert t.isnan() and close(off, metric.distance(r, p), 1e-7 * max(1, float(off)))


def test_from_a_pole_all_positions_are_equal():
    axes = torch.eye(3, dtype=torch.float64)
    t, off = AngularCKA().project(axes[2], axes[0], axes[1])
    assert t.isnan() and close(off, math.pi / 2, 1e-15)


def test_between_antipodes_there_is_no_direction():
    p = embedded(AngularCKA())[0]
    assert AngularCKA().log(p, -p).isnan().all() and close(AngularCKA().distance(p, -p), math.pi, 1e-15)


@given(st.lists(st.floats(-0.9, 0.9), min_size=1, max_size=5))
@few
def test_roots_of_a_batch(places):
    """Against the roots of one function at a time."""
    slope = lambda t, place: (t - place) * (1 + 5 * (t + 1) ** 4) + 3 * (t - place) ** 3 - 0.1
    at = torch.tensor(places, dtype=torch.float64)
    found = root(lambda t: slope(t, at), -torch.ones_like(at), torch.ones_like(at))
    for value, place in zip(found.tolist(), places):
        assert value == pytest.approx(brentq(slope, -1, 1, args=(place,)), abs=1e-10)


# --- Batches, precision, width


@every
def test_batches_are_the_points_one_by_one(metric):
    x = [features(seed, widths=(12, 12, 12)) for seed in range(2)]
    p, q, r = (torch.stack([metric.embed(each[i]) for each in x]) for i in range(3))
    t = torch.tensor([-0.1, 1.3], dtype=torch.float64)
    for i, shift in enumerate(t.tolist()):
        many, one = answers(metric, p, q, r, t), answers(metric, p[i], q[i], r[i], shift)
        for name in one:
            assert close(many[name][i], one[name], 1e-9 * max(1, float(one[name].abs().max()))), name


def answers(metric, p, q, r, t):
    line, (position, off) = metric.log(p, q), metric.project(r, p, q)
    return {
        "distance": metric.distance(p, q),
        "log": line,
        "exp": metric.exp(p, 0.5 * line),
        "geodesic": metric.geodesic(p, q, t),
        "at two": metric.geodesic(p, q, 2),
        "transport": metric.transport(line, p, r),
        "inner": metric.inner(p, line, metric.log(p, r)),
        "angle": metric.angle(p, q, r),
        "position": position,
        "off": off,
    }


@every
def test_one_point_meets_many(metric):
    x = features(widths=(12, 12, 12, 12))
    points = torch.stack([metric.embed(each) for each in x])
    p, q = points[0], points[1]
    assert close(metric.distance(p, points)[1:], metric.pairwise(points)[0, 1:], 1e-9 * float(metric._size(p).clamp(min=1)))
    assert metric.project(points, p, q)[0].shape == metric.angle(points, p, q).shape == (4,)
    assert metric.project(p, points[2:], q)[1].shape == (2,) and metric.project(p, q, points[2:])[1].shape == (2,)
    assert metric.geodesic(p, q, torch.linspace(0, 1, 5)).shape == (5, *p.shape)
    assert metric.transport(metric.log(p, points[1:]), p, q).shape == (3, *p.shape)


@every
def test_float32_input_is_measured_in_float64(metric):
    x, y, _ = features()
    p, q = (metric.embed(each.float()) for each in (x, y))
    assert p.dtype == torch.float64
    expected = metric.distance(metric.embed(x.float().double()), metric.embed(y.float().double()))
    assert close(metric.distance(p, q), expected, 1e-12)


def test_shapes_of_different_width():
    for metric in (AngularShape(), EuclideanShape()):
        points = embedded(metric, m=40, widths=(4, 9, 30))
        padded = [torch.nn.functional.pad(p, (0, 30 - p.shape[1])) for p in points]
        assert [p.shape[1] for p in points] == [4, 9, 30]
        for a, b, c in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
            p, q, r, wide = points[a], points[b], points[c], [padded[i] for i in (a, b, c)]
            assert close(metric.distance(p, q), metric.distance(wide[0], wide[1]), 1e-12)
            assert close(metric.angle(p, q, r), metric.angle(*wide), 1e-10)
            assert close(metric.project(r, p, q)[0], metric.project(wide[2], *wide[:2])[0], 1e-8)
            assert close(metric.distance(metric.geodesic(p, q, 0.5), q), metric.distance(p, q) / 2, 1e-8)
            line = metric.transport(metric.log(p, q), p, r)
            assert close(metric.inner(r, line, metric.log(r, q)), metric.inner(wide[2], line, metric.log(wide[2], q)), 1e-8)


def test_more_features_than_images_lose_nothing():
    """Reduced to m by a QR factorisation: the distances of the whole, and directions of 1e-10 of the largest alive."""
    x = [normal(10, 300, seed=seed) for seed in range(2)]
    assert AngularShape().embed(x[0]).shape == (10, 10)
    whole = [each - each.mean(0) for each in x]
    expected = torch.linalg.svdvals(whole[0].T @ whole[1]).sum() / (whole[0].norm() * whole[1].norm())
    assert close(AngularShape().distance(*map(AngularShape().embed, x)).cos(), expected, 1e-12)
    steep = x[0] * torch.logspace(0, -10, 300, dtype=torch.float64)
    small = torch.linalg.svdvals(steep - steep.mean(0))[:9]
    assert torch.allclose(torch.linalg.svdvals(EuclideanShape().embed(steep))[:9], small, rtol=1e-4, atol=0)


def test_components_keep_the_leading_axes_or_fill_up_with_zeros():
    x = features(widths=(12,))[0]
    variances = torch.linalg.svdvals(x - x.mean(0)) ** 2
    p = EuclideanShape(5).embed(x)
    assert p.shape == (24, 5) and close(p.square().sum(), variances[:5].sum(), 1e-9)
    p = EuclideanShape(40).embed(x)
    assert p.shape == (24, 40) and close(p.square().sum(), variances.sum(), 1e-9) and (p[:, 12:] == 0).all()


def test_whitening():
    x = features(widths=(8,))[0]
    white = EuclideanShape(alpha=0).embed(x)
    assert close(white.mT @ white / 24, torch.eye(8, dtype=torch.float64), 1e-10)
    deviation = torch.linalg.svdvals(x - x.mean(0)) / math.sqrt(24)
    half = torch.linalg.svdvals(EuclideanShape(alpha=0.5).embed(x)) / math.sqrt(24)
    assert close(half, 0.5 * deviation + 0.5, 1e-10)


# --- Gram matrices


@pytest.mark.parametrize("n", [1, 4095, 4096, 4097, 9000])
def test_gram_is_summed_over_blocks(n):
    x = 5 + normal(7, n).float()
    centred = x.double() - x.double().mean(0)
    assert close(gram(x), centred @ centred.T, 1e-9) and torch.equal(gram(x), gram(x).mT)


def test_constant_features_change_nothing():
    x = features()[0]
    constant = torch.full((24, 3), 1e9 / 3, dtype=torch.float64)
    assert torch.equal(gram(torch.cat([x, constant], 1)), gram(torch.cat([x, 0 * constant], 1)))


def test_gram_matrices_are_reduced_in_the_hooks():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(108, 5))
    images = normal(9, 1, 8, 8).float()
    with torch.no_grad():
        grams = record(model, images, ["input", "0", "3"], lambda point, activation: gram(activation))
        activations = record(model, images, ["input", "0", "3"])
    for point, g in grams.items():
        assert g.shape == (9, 9) and torch.equal(AngularCKA().from_gram(g), AngularCKA().embed(activations[point]))


# --- Refusals


@pytest.mark.parametrize("embed", [gram, *(metric.embed for metric in FAMILIES)], ids=["gram", *map(repr, FAMILIES)])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(5), r"x: shape \(5,\), expected \(m, ...\): at least 3 images"),
        (normal(2, 4), r"x: shape \(2, 4\), expected .* at least 3 images"),
        (torch.zeros(5, 0), "x: the same for every image"),
        (torch.full((5, 4), 0.1), "x: the same for every image, expected images that differ"),
        (normal(5, 4).index_fill(0, torch.tensor([1]), math.nan), "x: holds NaN or infinite values, expected finite"),
        (normal(5, 4).index_fill(0, torch.tensor([1]), math.inf), "x: holds NaN or infinite values, expected finite"),
    ],
    ids=["rank", "few", "no features", "constant", "nan", "inf"],
)
def test_embedding_refuses(embed, x, message):
    with pytest.raises(ValueError, match=message):
        embed(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AngularCKA("biased"), "estimator: 'biased', expected one of plug-in, low-bias, unbiased"),
        (lambda: AngularCKA(kernel="rbf"), "kernel: 'rbf', expected one of linear, gaussian"),
        (lambda: gram(normal(5, 4), "rbf"), "kernel: 'rbf', expected one of linear, gaussian"),
        (lambda: AngularShape(0), "components: 0, expected at least 1, or None"),
        (lambda: EuclideanShape(alpha=1.5), "alpha: 1.5, expected 0"),
        (lambda: AffineInvariant(0.0), "epsilon: 0.0, expected a positive number"),
        (lambda: AffineInvariant(math.nan), "epsilon: nan, expected a positive number"),
        (lambda: AngularCKA("unbiased").embed(normal(3, 4)), "g: 3 images, expected at least 4 for 'unbiased'"),
        (lambda: AngularCKA("unbiased").embed(torch.eye(6)), "g: images all equally far apart"),
        (lambda: gram(torch.eye(6)[:, :1], "gaussian"), "x: half of the pairs of images or more are equal"),
        (lambda: Stress(rescale=True).embed(torch.eye(6)[:, :1]), "x: half of the pairs of images or more are equal"),
        (lambda: AngularCKA().from_gram(torch.zeros(5, 5)), "g: the same for every image"),
        (lambda: AngularCKA().from_gram(torch.ones(2, 2)), "g: 2 images, expected at least 3"),
        (lambda: Stress().from_gram(torch.full((5, 5), math.nan)), "g: holds NaN or infinite values"),
    ],
)
def test_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("metric", FAMILIES, ids=repr)
def test_points_of_different_images_are_refused(metric):
    p, q, _ = embedded(metric)
    other = embedded(metric, m=20)[0]
    calls = [
        lambda: metric.distance(p, other), lambda: metric.log(p, other), lambda: metric.geodesic(p, other, 0.5),
        lambda: metric.transport(metric.log(p, q), p, other), lambda: metric.angle(p, q, other),
        lambda: metric.project(other, p, q), lambda: metric.project(p, q, other),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match=r"points: shapes \(.*\) and \(.*\), expected the same images in both"):
            call()


def test_both_sides_of_the_benchmarks_agree():
    bench = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "similarity.py"))
    bench["agree"](*bench["distances"](networks=8, images=60))
    bench["agree"](*bench["angles"](images=80, components=20))
