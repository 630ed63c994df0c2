"""Principal components in the tangent space: means and shares that are known, and bad input."""

from embeddings_shared import *  # noqa: F403


def test_means_with_a_closed_form():
    points = gauss(7, 5)
    assert torch.allclose(frechet_mean(FLAT, points), points.mean(0))
    # Positive diagonal matrices commute: the geometric mean, however far apart they lie.
    spectra = (3 * gauss(6, 4)).exp()
    mean = frechet_mean(AffineInvariant(0.1), spectra.diag_embed())
    assert torch.allclose(mean, spectra.log().mean(0).exp().diag(), rtol=1e-6, atol=1e-9)


def test_a_mean_that_full_steps_would_overshoot():
    """Where the space is negatively curved, distances squared curve the more the longer they are."""
    tangents = 4 * gauss(5, 3, 3)
    points = torch.matrix_exp((tangents + tangents.mT) / 2)
    metric = AffineInvariant(0.1)
    mean = frechet_mean(metric, points)
    gradient = metric.log(mean, points).mean(0)
    assert metric.distance(mean, metric.exp(mean, gradient)) < 1e-6 * metric.distance(mean, points).mean()


def test_points_all_around_the_sphere_have_no_mean():
    e = torch.eye(3, dtype=torch.float64)
    with pytest.raises(ValueError, match="points: no Frechet mean in 200 steps .*, expected points closer together"):
        frechet_mean(CKA, torch.cat([e, -e]))


@pytest.mark.parametrize("metric", [CKA, AngularCKA("plug-in"), FLAT], ids=repr)
@pytest.mark.parametrize("k", [4, 9])
def test_nothing_that_a_metric_of_vectors_sees_is_lost_in_the_span(metric, k):
    points = embedded(metric, k)
    points[1] = metric.geodesic(points[0], points[2], 1e-9)
    small = span(points)
    assert small.shape == (k, k)
    assert torch.allclose(metric.pairwise(small), metric.pairwise(points), rtol=1e-6, atol=1e-15)
    angles = [metric.angle(x[2:-1], x[0], x[3:]) for x in (points, small)]
    assert torch.allclose(*angles, atol=1e-12)
    for a, b in zip(metric.project(points, points[0], points[3]), metric.project(small, small[0], small[3])):
        assert torch.allclose(a, b, atol=1e-12)
    for a, b in zip(tangent_pca(metric, points), tangent_pca(metric, small)):
        assert torch.allclose(a, b, atol=1e-8)
    assert span(gauss(5, 3)).shape == (5, 3)


# Tangent PCA


@pytest.mark.parametrize("metric", [*METRICS[:-1]], ids=repr)
def test_points_of_one_geodesic_have_one_component(metric):
    start, end = embedded(metric, 2)
    t = torch.tensor([0, 0.1, 0.35, 0.6, 1], dtype=torch.float64)
    points = metric.geodesic(start, end, t)
    coordinates, share = tangent_pca(metric, points, 2)
    assert share.tolist() == pytest.approx([1, 0], abs=1e-8)
    expected = (t - t.mean()) * metric.distance(start, end)
    assert torch.allclose(coordinates[:, 0], expected, atol=1e-6) and coordinates[:, 1].abs().max() < 1e-6


@pytest.mark.parametrize("metric", [*METRICS[:-1]], ids=repr)
def test_distances_from_the_mean_are_right(metric):
    points = embedded(metric)
    coordinates, share = tangent_pca(metric, points, len(points))
    mean = frechet_mean(metric, points)
    assert torch.allclose(coordinates.norm(dim=1), metric.distance(mean, points), atol=1e-6)
    assert float(share.sum()) == pytest.approx(1) and (share.diff() <= 1e-12).all() and (share >= 0).all()
    assert torch.allclose(coordinates.mean(0), torch.zeros(len(points), dtype=torch.float64), atol=1e-7)
    fewer, part = tangent_pca(metric, points, 2)
    assert torch.equal(fewer, coordinates[:, :2]) and torch.equal(part, share[:2])


def test_in_flat_space_it_is_pca():
    points = gauss(12, 6) * torch.arange(1.0, 7)
    coordinates, share = tangent_pca(FLAT, points, 3)
    peer = PCA(3).fit(points.numpy())
    assert share.tolist() == pytest.approx(peer.explained_variance_ratio_.tolist())
    assert torch.allclose(coordinates.abs(), torch.from_numpy(peer.transform(points.numpy())).abs())


def test_a_rotation_of_the_sphere_does_not_change_the_picture():
    points = cap(9, 5)
    (a, first), (b, second) = (tangent_pca(CKA, x, 3) for x in (points, points @ rotation(5, 3)))
    assert torch.allclose(a, b, atol=1e-7) and torch.allclose(first, second)


def test_a_metric_with_another_inner_product_is_refused():
    metric = AffineInvariant(0.1)
    with pytest.raises(ValueError, match=r"metric: AffineInvariant\(.*\), expected one whose log vectors are as long as"):
        tangent_pca(metric, embedded(metric))


def test_single_precision_is_computed_in_double():
    x = cap(9, 5).float()
    assert frechet_mean(CKA, x).dtype == tangent_pca(CKA, x)[0].dtype == torch.float64
    table = sphere_distances(x).float()
    assert mds(table).dtype == sphere(table).dtype == stress(table, table).dtype == torch.float64


# Bad input


@pytest.mark.parametrize("picture", [mds, sphere, stress])
@pytest.mark.parametrize(
    ("table", "message"),
    [
        (torch.zeros(3), "distances: shape (3,), expected (k, k) with k at least 2"),
        (torch.zeros(3, 4), "distances: shape (3, 4), expected (k, k)"),
        (torch.zeros(1, 1), "distances: shape (1, 1), expected (k, k)"),
        (torch.full((3, 3), math.nan), "distances: holds NaN or infinite values, expected finite numbers"),
        (torch.zeros(3, 3), "distances: least 0, largest 0, asymmetry or diagonal 0, expected distances"),
        (torch.tensor([[0, -1.0], [-1, 0]]), "distances: least -1, largest 1,"),
        (torch.tensor([[0, 1.0], [2, 0]]), "asymmetry or diagonal 1, expected distances: symmetric, zero on the diagonal"),
        (torch.ones(3, 3), "asymmetry or diagonal 1, expected distances"),
    ],
)
def test_a_matrix_that_is_no_table_of_distances_is_refused(picture, table, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        inspect.unwrap(picture)(table, *([table] if picture is stress else []))


@pytest.mark.parametrize("picture", [mds, sphere])
@pytest.mark.parametrize("dims", [0, 3])
def test_more_dimensions_than_points_are_refused(picture, dims):
    with pytest.raises(ValueError, match=f"dims: {dims}, expected 1 to 2"):
        picture(1 - torch.eye(3), dims)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="distances: up to 4, expected at most pi: angles"):
        sphere(4 * (1 - torch.eye(4)))
    with pytest.raises(ValueError, match=r"embedded: shape \(3, 3\), expected that of distances, \(4, 4\)"):
        inspect.unwrap(stress)(1 - torch.eye(4), 1 - torch.eye(3))
    for points in (torch.zeros(3, 2), torch.full((3, 2), math.nan)):
        with pytest.raises(ValueError, match="points: hold NaN, infinite values or a zero vector, expected directions"):
            sphere_distances(points)
    with pytest.raises(ValueError, match=r"points: shape \(3,\), expected \(k, d\), not empty"):
        inspect.unwrap(sphere_distances)(torch.ones(3))


def test_points_that_are_matrices_have_no_span_of_vectors():
    with pytest.raises(ValueError, match=r"points: shape \(3, 4, 2\), expected \(k, d\)"):
        inspect.unwrap(span)(torch.ones(3, 4, 2))
    with pytest.raises(ValueError, match="points: hold NaN"):
        span(torch.full((3, 4), math.nan))


@pytest.mark.parametrize("analysis", [frechet_mean, tangent_pca])
def test_points_that_have_no_mean_are_refused(analysis):
    with pytest.raises(ValueError, match=r"points: shape \(0, 3\), expected \(k, ...\), not empty"):
        analysis(FLAT, torch.zeros(0, 3))
    with pytest.raises(ValueError, match="points: hold NaN or infinite values"):
        analysis(FLAT, torch.full((4, 3), math.nan))
    with pytest.raises(ValueError, match=r"points: shape \(3,\), expected \(k, ...\)"):
        analysis(FLAT, torch.ones(3))


def test_tangent_pca_needs_points_that_vary_and_room():
    with pytest.raises(ValueError, match="points: all coincide, expected points that vary"):
        tangent_pca(FLAT, torch.ones(4, 3), 2)
    with pytest.raises(ValueError, match="dims: 5, expected 1 to 4"):
        tangent_pca(FLAT, gauss(4, 3), 5)
