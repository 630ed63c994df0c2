"""Metrics between representations: batches, precision, width, and bad input."""

from metrics_shared import *  # noqa: F403


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
