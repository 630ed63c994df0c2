"""Metrics between representations: distances with known answers, geodesics and tangents."""

from metrics_shared import *  # noqa: F403


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
