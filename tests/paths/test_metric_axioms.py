"""Metrics between representations: the peers' answers, axioms, small distances, declared invariances."""

from metrics_shared import *  # noqa: F403


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
