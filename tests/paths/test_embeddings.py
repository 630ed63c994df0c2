"""Pictures of known clouds: exact where an exact one exists, the same in every run, and better than their start."""

from embeddings_shared import *  # noqa: F403


# In the plane


@pytest.mark.parametrize(("d", "dims"), [(1, 1), (1, 2), (2, 2), (3, 3), (2, 4)])
def test_mds_recovers_points_of_flat_space(d, dims):
    table = distances(gauss(20, d))
    found = mds(table, dims)
    assert found.shape == (20, dims) and found.dtype == torch.float64
    assert torch.allclose(distances(found), table, atol=1e-6) and stress(table, distances(found)) < 1e-6


def test_mds_is_better_than_classical_scaling_where_no_picture_is_exact():
    table = sphere_distances(gauss(25, 6))
    squares = table**2
    centred = -(squares - squares.mean(0) - squares.mean(1, keepdim=True) + squares.mean()) / 2
    values, vectors = torch.linalg.eigh(centred)
    classical = vectors[:, -2:] * values[-2:].sqrt()
    assert stress(table, distances(mds(table))) < 0.9 * stress(table, distances(classical))


def test_mds_stands_still_where_it_ends():
    """Guttman's transform of the result is the result: a stationary point of the stress."""
    table = sphere_distances(gauss(15, 6))
    x = mds(table)
    ratio = (table / distances(x)).fill_diagonal_(0)
    moved = (ratio.sum(1, keepdim=True) * x - ratio @ x) / 15
    assert torch.allclose(moved, x, atol=1e-3)


@given(SEEDS, st.floats(1e-3, 1e3))
@settings(max_examples=10, deadline=None)
def test_mds_scales_with_the_distances(seed, scale):
    table = sphere_distances(gauss(8, 4, seed=seed))
    assert torch.allclose(mds(scale * table), scale * mds(table), atol=1e-6 * scale)


def test_points_that_coincide_may_be_drawn():
    x = gauss(6, 2)[[0, 1, 2, 2, 3, 3, 4, 5]]
    assert torch.allclose(distances(mds(distances(x))), distances(x), atol=1e-6)
    triangle = 1 - torch.eye(3, dtype=torch.float64)
    assert mds(triangle, 1).isfinite().all()


# One convention for turning


@pytest.mark.parametrize("seed", range(5))
def test_a_rotated_cloud_gives_the_same_picture(seed):
    x = gauss(12, 3)
    turned = x @ rotation(3, seed) + gauss(3, seed=seed)
    assert torch.allclose(mds(distances(x), 3), mds(distances(turned), 3), atol=1e-6)
    y = cap(12, 3)
    for refine in (False, True):
        turned = sphere(sphere_distances(y @ rotation(3, seed)), 2, refine)
        assert torch.allclose(sphere(sphere_distances(y), 2, refine), turned, atol=1e-6)


def test_axes_are_principal_and_the_first_point_lies_to_the_left():
    x = mds(distances(gauss(30, 3) * torch.tensor([1.0, 3, 2])), 3)
    assert torch.allclose(x.mean(0), torch.zeros(3, dtype=x.dtype), atol=1e-9)
    moments = x.T @ x
    assert torch.allclose(moments, moments.diagonal().diag(), atol=1e-6) and (moments.diagonal().diff() < 0).all()
    for axis in x.T:
        assert axis[(axis.abs() >= 0.1 * axis.abs().max()).nonzero()[0]] < 0
    y = sphere(sphere_distances(cap(20, 3)))
    assert y[:, 0].mean() > 0.5 and y[:, 1:].mean(0).abs().max() < 0.5


def test_a_first_point_in_the_middle_leaves_the_choice_to_the_next():
    x = torch.tensor([[0.0, 0], [1, 0], [-1, 0.2], [2, 0.1], [-2, -0.3]], dtype=torch.float64)
    assert mds(distances(x))[1, 0] < 0
    noisy = x + 1e-9 * gauss(5, 2)
    assert torch.allclose(mds(distances(x)), mds(distances(noisy)), atol=1e-6)


def test_two_runs_give_the_same_picture():
    table = sphere_distances(gauss(20, 6))
    assert torch.equal(mds(table), mds(table)) and torch.equal(sphere(table), sphere(table))


# On the sphere


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("cloud", [lambda k, d: unit(gauss(k, d)), cap])
def test_sphere_recovers_points_of_a_sphere(cloud, dims, refine):
    table = sphere_distances(cloud(20, dims + 1))
    found = sphere(table, dims, refine)
    assert found.shape == (20, dims + 1) and torch.allclose(found.norm(dim=1), torch.ones(20, dtype=found.dtype))
    assert torch.allclose(sphere_distances(found), table, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_refining_lowers_the_stress_to_a_stationary_point(seed):
    table = sphere_distances(cap(20, 8, seed))
    start, found = sphere(table, refine=False), sphere(table)
    best = stress(table, sphere_distances(found))
    assert best < stress(table, sphere_distances(start))
    for other in range(20):  # no small move of a point improves it
        moved = unit(found + 1e-3 * gauss(20, 3, seed=other))
        assert stress(table, sphere_distances(moved)) > best - 1e-7


def test_arcs_fit_a_sphere_better_than_a_plane():
    table = sphere_distances(unit(gauss(20, 3)) @ rotation(9)[:3] + 0.02 * gauss(20, 9))
    assert stress(table, sphere_distances(sphere(table))) < 0.2 * stress(table, distances(mds(table)))


def test_points_at_right_angles_to_the_others_get_a_place():
    """Two close groups and one point: on a circle the two leading eigenvectors belong to the groups."""
    group = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
    table = torch.where(group == group[:, None], 0.5, math.pi / 2).double().fill_diagonal_(0)
    noise = 1e-12 * gauss(8, 8).fill_diagonal_(0)
    for refine in (False, True):
        found = sphere(table, 1, refine)
        assert torch.allclose(found.norm(dim=1), torch.ones(8, dtype=found.dtype))
        assert sphere_distances(found)[0, 4] > 1
    # The place to start from is a choice, not what rounding leaves.
    starts = [sphere(each, 1, refine=False) for each in (table, table + noise + noise.T)]
    assert torch.allclose(*starts, atol=1e-6)


def test_angles_on_the_sphere_are_exact_near_and_far():
    e = torch.eye(3, dtype=torch.float64)
    near = torch.tensor([1, 1e-9, 0], dtype=torch.float64)
    far = torch.tensor([-1, 1e-9, 0], dtype=torch.float64)
    found = sphere_distances(torch.stack([e[0], 2 * e[1], near, far, -3 * e[0]]))
    assert found[0].tolist() == pytest.approx([0, math.pi / 2, 1e-9, math.pi - 1e-9, math.pi], rel=1e-15)
    assert float(found[3, 4]) == pytest.approx(1e-9, rel=1e-12)
    assert torch.equal(found, found.mT)
    x = unit(gauss(9, 5))
    assert torch.allclose(sphere_distances(x), (x @ x.T).clamp(-1, 1).arccos(), atol=1e-7)


def test_stress_is_relative():
    table = distances(gauss(9, 3))
    assert stress(table, table) == 0
    assert float(stress(table, 1.1 * table)) == pytest.approx(0.1) == float(stress(5 * table, 5.5 * table))


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_the_mean_of_two_is_the_middle_and_of_one_itself(metric):
    points = embedded(metric, 2)
    mean = frechet_mean(metric, points)
    half = float(metric.distance(points[0], points[1])) / 2
    assert metric.distance(mean, points).tolist() == pytest.approx([half, half], rel=1e-6)
    for same in (points[:1], points[[0, 0, 0]]):
        assert float(metric.distance(frechet_mean(metric, same), points[0])) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_no_place_near_the_mean_has_a_smaller_sum_of_squares(metric):
    points = embedded(metric)
    mean = frechet_mean(metric, points)
    least = metric.distance(mean, points).square().sum()
    for other in points:
        assert metric.distance(metric.geodesic(mean, other, 0.05), points).square().sum() > least
        assert metric.distance(metric.geodesic(mean, other, -0.05), points).square().sum() > least


def test_shapes_far_apart_have_a_mean_all_the_same():
    metric = AngularShape(components=20)
    points = torch.stack([metric.embed(gauss(60, 30, seed=k)) for k in range(6)])
    mean = frechet_mean(metric, points, 50)
    gradient = metric.log(mean, points).mean(0)
    assert gradient.norm() < 0.01 * metric.distance(mean, points).mean()
