"""Pictures of known clouds: exact where an exact one exists, the same in every run, and better than their start."""

import inspect
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from helpers.networks.numerics import stream
from helpers.paths.embeddings import frechet_mean, mds, span, sphere, sphere_distances, stress, tangent_pca
from helpers.paths.metrics import AffineInvariant, AngularCKA, AngularShape, EuclideanShape, Stress

CKA, FLAT = AngularCKA(), Stress()
SEEDS = st.integers(0, 2**31 - 1)


def gauss(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "gauss", *shape), dtype=torch.float64)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def distances(x):
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def rotation(d, seed=0):
    return torch.from_numpy(np.atleast_2d(ortho_group.rvs(d, random_state=seed)))


def cap(k, d, seed=0):
    """Points (k, d) of the unit sphere, most of them within a radian of a pole in no special position."""
    x = 0.5 * gauss(k, d, seed=seed)
    x[:, 0] += 1
    return unit(x) @ rotation(d)


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


# At the mean


def embedded(metric, k=9, m=10, seed=0):
    """Representations that share a part."""
    base = gauss(m, 6, seed=seed)
    return torch.stack([metric.embed(base + 0.5 * gauss(m, 6, seed=seed + k)) for k in range(1, k + 1)])


METRICS = [CKA, AngularCKA("plug-in"), AngularShape(components=4), EuclideanShape(components=4), FLAT, AffineInvariant(0.1)]


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
