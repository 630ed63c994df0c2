"""Paths: planted ones on a sphere and in a plane, what holds for any path, and the null models against simulation."""

import inspect
import itertools
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from helpers.networks.numerics import stream
from helpers.paths.metrics import AngularCKA, AngularShape, EuclideanShape, Stress
from helpers.paths.path import (
    dtw,
    frechet,
    matched,
    measure,
    parallel,
    random_walk,
    relative_slack,
    shuffled,
    walk_distance,
)

SEEDS = st.integers(0, 2**31 - 1)
nan = pytest.approx(math.nan, nan_ok=True)


class Sphere:
    """Textbook formulas on the unit sphere, with arccos and the law of cosines: an independent check, not a good metric."""

    def distance(self, p, q):
        return (p * q).sum(-1).clamp(-1, 1).arccos()

    def log(self, p, q):
        v = q - (p * q).sum(-1, keepdim=True) * p
        return self.distance(p, q)[..., None] * v / v.norm(dim=-1, keepdim=True)

    def exp(self, p, v):
        long = v.norm(dim=-1, keepdim=True)
        return long.cos() * p + long.sin() * v / long

    def transport(self, v, p, q):
        u = self.log(p, q) / self.distance(p, q)[..., None]
        along = (u * v).sum(-1, keepdim=True)
        omega = self.distance(p, q)[..., None]
        return v + along * ((omega.cos() - 1) * u - omega.sin() * p)

    def inner(self, p, u, v):
        return (u * v).sum(-1)

    def angle(self, p, q, r):
        a, b, c = self.distance(q, p), self.distance(q, r), self.distance(p, r)
        return ((c.cos() - a.cos() * b.cos()) / (a.sin() * b.sin())).clamp(-1, 1).arccos()

    def project(self, r, p, q):
        """By search: the nearest of many places on the great circle."""
        place = torch.linspace(-4, 4, 80001, dtype=torch.float64)[:, None]
        u = self.log(p, q) / self.distance(p, q)
        distance = self.distance(place.cos() * p + place.sin() * u, r[..., None, :])
        least, index = distance.min(-1)
        return place[index, 0] / self.distance(p, q), least


def gauss(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "gauss", *shape), dtype=torch.float64)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def circle(angles):
    """Points at these angles on a great circle of the sphere in six dimensions, in no special position."""
    a, b = torch.linalg.qr(gauss(6, 2)).Q.T
    angles = torch.as_tensor(angles, dtype=torch.float64)[..., None]
    return angles.cos() * a + angles.sin() * b


def representations(k=5, m=12, seed=0):
    """Layers (m, n) of a random network, widths changing, and one-hot labels."""
    x, layers = gauss(m, 9, seed=seed), []
    for depth, width in enumerate([9, 8, 6, 7, 5, 4, 6, 5][:k]):
        layers.append(x)
        x = torch.relu(x @ gauss(x.shape[1], width, seed=100 * seed + depth)) + 0.3 * gauss(m, width, seed=seed + depth)
    return layers, torch.eye(3, dtype=torch.float64)[torch.arange(m) % 3]


def embedded(metric, k=5, seed=0):
    layers, labels = representations(k, seed=seed)
    return torch.stack([metric.embed(x) for x in layers]), metric.embed(labels)


CKA, SHAPE = AngularCKA(), AngularShape(components=4)
METRICS = [CKA, AngularCKA("plug-in"), SHAPE, EuclideanShape(components=4), Stress()]


# One path: planted


@pytest.mark.parametrize("metric", [Sphere(), CKA])
def test_a_great_circle_is_straight(metric):
    angles = [0, 0.2, 0.5, 0.9, 1.2]
    path = measure(metric, circle(angles), circle(1.5))
    close = dict(abs=1e-6 if metric is not CKA else 1e-12)
    assert path.step.tolist() == pytest.approx([0.2, 0.3, 0.4, 0.3], **close)
    assert path.from_input.tolist() == pytest.approx(angles, **close)
    assert path.to_target.tolist() == pytest.approx([1.5 - angle for angle in angles], **close)
    assert path.angle[1:].tolist() == pytest.approx([math.pi] * 4, **close) and path.angle[0].isnan()
    assert path.aim.tolist() == pytest.approx([0] * 4, **close)
    assert path.efficiency.tolist() == pytest.approx([1] * 4, **close)
    near = dict(abs=1e-4 if metric is not CKA else 1e-12)
    assert path.off.tolist() == pytest.approx([0] * 5, **near)
    assert path.position.tolist() == pytest.approx([angle / 1.5 for angle in angles], **near)
    assert [float(x) for x in (path.length, path.net_length, path.distance, path.net_distance, path.last_hop)] == (
        pytest.approx([1.5, 1.2, 1.5, 1.2, 0.3], **close)
    )
    assert [float(x) for x in (path.slack, path.net_slack, path.turning)] == pytest.approx([1, 1, math.pi], **close)


def test_two_sides_of_an_octant():
    pole, east, target = torch.eye(3, dtype=torch.float64)
    path = measure(CKA, torch.stack([pole, east]), target)
    assert float(path.slack) == pytest.approx(2) and float(path.net_slack) == pytest.approx(1)
    assert float(path.angle[1]) == pytest.approx(math.pi / 2) == float(path.aim[0])
    assert float(path.efficiency[0]) == pytest.approx(0, abs=1e-12)
    assert path.off.tolist() == pytest.approx([0, math.pi / 2])
    assert path.position[0].abs() < 1e-12 and path.position[1].isnan()  # as far from every point of the geodesic
    assert path.turning.isnan()  # nothing lies between input and output


def test_there_and_back():
    path = measure(CKA, circle([0, 0.5, 0.25]), circle(0.75))
    assert path.angle[1:].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert path.aim.tolist() == pytest.approx([0, math.pi], abs=1e-12)
    assert path.efficiency.tolist() == pytest.approx([1, -1])
    assert float(path.slack) == pytest.approx(1.25 / 0.75) and float(path.net_slack) == pytest.approx(3)
    assert float(path.clumping) == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_a_layer_that_changes_nothing_has_a_length_but_no_direction(metric):
    points, target = embedded(metric)
    path, without = measure(metric, points[[0, 1, 2, 2, 3, 4]], target), measure(metric, points, target)
    assert path.step[2] < 1e-12 and path.efficiency[2].isnan() and path.aim[2].isnan()
    assert path.angle.isnan().tolist() == [True, False, True, True, False, False]
    assert float(path.length) == pytest.approx(float(without.length))
    assert float(path.slack) == pytest.approx(float(without.slack))
    assert path.turning == path.angle[[1, 4]].mean()  # the last vertex, towards the target, does not count


def test_a_path_that_ends_where_it_began_has_no_slack():
    path = measure(CKA, circle([0, 0.5, 0]), circle(0))
    assert path.slack.isnan() and path.net_slack.isnan() and path.position.isnan().all()
    assert relative_slack(path).isnan() and float(path.length) == pytest.approx(1)
    assert measure(CKA, circle([1, 1, 1]), circle(0)).clumping.isnan()


def test_the_fields_are_those_of_one_point_at_a_time():
    points, target = embedded(CKA)
    path, slow = measure(CKA, points, target), Sphere()
    for i in range(5):
        assert float(path.to_target[i]) == pytest.approx(float(slow.distance(points[i], target)))
        assert float(path.from_input[i]) == pytest.approx(float(slow.distance(points[i], points[0])), abs=1e-7)
        position, off = slow.project(points[i], points[0], target)
        assert float(path.position[i]) == pytest.approx(float(position), abs=2e-4)
        assert float(path.off[i]) == pytest.approx(float(off), abs=2e-4)
    for i in range(4):
        step = float(slow.distance(points[i], points[i + 1]))
        assert float(path.step[i]) == pytest.approx(step)
        assert float(path.efficiency[i]) == pytest.approx(float(path.to_target[i] - path.to_target[i + 1]) / step)
        assert float(path.aim[i]) == pytest.approx(float(slow.angle(points[i + 1], points[i], target)))
    for i, after in zip((1, 2, 3, 4), (*points[2:], target)):
        assert float(path.angle[i]) == pytest.approx(float(slow.angle(points[i - 1], points[i], after)))


# One path: what always holds


@pytest.mark.parametrize("metric", METRICS, ids=repr)
@pytest.mark.parametrize("k", [2, 3, 8])
@given(SEEDS)
@settings(max_examples=4, deadline=None)
def test_no_path_is_shorter_than_its_distance(metric, k, seed):
    path = measure(metric, *embedded(metric, k, seed % 1000))
    assert path.slack >= 1 - 1e-12 and path.net_slack >= 1 - 1e-12
    assert (path.efficiency.abs() <= 1 + 1e-9).all() and (path.aim <= math.pi).all()
    assert [field.shape[0] for field in path if field.ndim] == [k - 1, k, k, k, k - 1, k - 1, k, k]
    assert all(field.dtype == torch.float64 for field in path)


@given(SEEDS, st.integers(0, 6))
@settings(max_examples=25, deadline=None)
def test_refining_a_path_never_shortens_it(seed, left_out):
    points, target = unit(gauss(8, 5, seed=seed)), unit(gauss(5, seed=seed + 1))
    kept = [k for k in range(8) if k != left_out + 1]
    fine, coarse = measure(CKA, points, target), measure(CKA, points[kept], target)
    assert fine.length >= coarse.length - 1e-12
    if kept[-1] == 7:
        assert fine.net_length >= coarse.net_length - 1e-12


@given(SEEDS, st.floats(0.05, 0.95))
@settings(max_examples=25, deadline=None)
def test_a_point_on_a_geodesic_of_the_path_adds_nothing(seed, t):
    points, target = unit(gauss(4, 5, seed=seed)), unit(gauss(5, seed=seed + 1))
    between = CKA.geodesic(points[1], points[2], t)
    path = measure(CKA, torch.cat([points[:2], between[None], points[2:]]), target)
    assert float(path.length) == pytest.approx(float(measure(CKA, points, target).length), rel=1e-12)
    assert float(path.angle[2]) == pytest.approx(math.pi, abs=1e-7)


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_pythagoras_on_the_sphere(seed):
    """cos r = cos o cos((1 - t) w): distance to the target, off the geodesic, and position on it, jointly."""
    path = measure(CKA, unit(gauss(6, 5, seed=seed)), unit(gauss(5, seed=seed + 1)))
    along = (1 - path.position) * path.distance
    assert torch.allclose(path.to_target.cos(), path.off.cos() * along.cos(), atol=1e-12)


@pytest.mark.parametrize("metric", [CKA, SHAPE], ids=repr)
def test_a_path_does_not_see_what_its_metric_does_not_see(metric):
    layers, labels = representations()
    moved = [3 * x @ torch.linalg.qr(gauss(x.shape[1], x.shape[1], seed=k)).Q - 7 for k, x in enumerate(layers)]
    here, there = (measure(metric, torch.stack([metric.embed(x) for x in each]), metric.embed(labels))
                   for each in (layers, moved))  # fmt: skip
    for a, b in zip(here, there):
        assert torch.allclose(a, b, atol=1e-7, equal_nan=True)


def test_a_target_may_have_fewer_columns():
    layers, labels = representations(3)
    metric, narrow = AngularShape(components=4), AngularShape()
    points = torch.stack([metric.embed(x) for x in layers])
    assert narrow.embed(labels).shape[1] < 4
    for a, b in zip(measure(metric, points, metric.embed(labels)), measure(metric, points, narrow.embed(labels))):
        assert torch.allclose(a, b, atol=1e-9, equal_nan=True)


def test_single_precision_is_computed_in_double():
    points, target = (x.float() for x in embedded(CKA))
    for a, b in zip(measure(CKA, points, target), measure(CKA, points.double(), target.double())):
        assert a.dtype == torch.float64 and torch.equal(a.nan_to_num(9), b.nan_to_num(9))


# Equal numbers of points


def test_matched_points_keep_both_ends_and_spread_over_depth():
    depths = {"input": 0.0, "a": 0.1, "b": 0.2, "c": 0.55, "d": 0.9, "linear": 1.0}
    assert matched(depths, 2) == ["input", "linear"]
    assert matched(depths, 3) == ["input", "c", "linear"]
    assert matched(depths, 4) == ["input", "b", "c", "linear"]
    assert matched(depths, 6) == list(depths)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.data())
@settings(max_examples=50, deadline=None)
def test_matched_points_lie_nearest_to_equal_spacing(values, data):
    depths = {"input": 0.0, **{f"{k}": v for k, v in enumerate(sorted(values))}, "out": 1.0}
    count = data.draw(st.integers(2, len(depths)))
    points = matched(depths, count)
    assert len(set(points)) == count and points == [name for name in depths if name in points]
    assert (points[0], points[-1]) == ("input", "out")
    wanted = [k / (count - 1) for k in range(1, count - 1)]
    cost = [sum(abs(a - b) for a, b in zip(wanted, some)) for some in itertools.combinations(sorted(values), count - 2)]
    found = sum(abs(a - depths[point]) for a, point in zip(wanted, points[1:-1]))
    assert found == pytest.approx(min(cost), abs=1e-9)


@pytest.mark.parametrize("count", [1, 4])
def test_more_points_than_there_are_cannot_be_matched(count):
    with pytest.raises(ValueError, match=f"count: {count}, expected 2 to 3, the number of points"):
        matched({"input": 0.0, "a": 0.5, "linear": 1.0}, count)


def test_depths_that_decrease_are_refused():
    with pytest.raises(ValueError, match=r"depths: \[0.0, 0.7, 0.5\], expected depths that do not decrease"):
        matched({"input": 0.0, "a": 0.7, "linear": 0.5}, 2)


# Random walks


def walked(steps, dimension, walks, generator):
    """The walk itself, coordinate by coordinate: what `random_walk` leaves out."""
    start = torch.zeros(walks, dimension + 1, dtype=torch.float64)
    start[:, 0] = 1
    at = start
    for step in steps:
        v = torch.randn(at.shape, generator=generator, dtype=torch.float64)
        v = unit(v - (v * at).sum(1, keepdim=True) * at)
        at = step.cos() * at + step.sin() * v
    return (at * start).sum(1).clamp(-1, 1).arccos()


STEPS = torch.tensor([0.3, 0.8, 0.2, 1.4, 0.5], dtype=torch.float64)


@pytest.mark.parametrize("dimension", [2, 3, 4, 7])
def test_the_walk_is_distributed_as_one_in_coordinates(dimension):
    ours = random_walk(STEPS, dimension, 20000, stream(0, "ours"))
    assert ks_2samp(ours.numpy(), walked(STEPS, dimension, 20000, stream(0, "theirs")).numpy()).pvalue > 0.001


@pytest.mark.parametrize("dimension", [2, 3, 50, 500_000])
def test_the_mean_cosine_is_the_product_of_cosines(dimension):
    cosine = random_walk(STEPS, dimension, 20000, stream(1, "walk")).cos()
    error = float(cosine.std()) / math.sqrt(20000)
    assert float(cosine.mean()) == pytest.approx(float(walk_distance(STEPS).cos()), abs=4 * error)


def test_in_many_dimensions_every_walk_comes_equally_far():
    few, many = (random_walk(STEPS, dimension, 2000, stream(2, "walk")) for dimension in (10, 1_000_000))
    assert torch.allclose(many, walk_distance(STEPS), atol=0.01) and few.std() > 0.1


def test_walks_that_chance_does_not_touch():
    assert random_walk(torch.tensor([0.7]), 3, 5, stream(0)).tolist() == pytest.approx([0.7] * 5)
    assert random_walk(torch.zeros(4), 3, 5, stream(0)).eq(0).all()
    there_and_back = random_walk(torch.tensor([math.pi, math.pi], dtype=torch.float64), 3, 5, stream(0))
    assert there_and_back.tolist() == pytest.approx([0] * 5, abs=1e-7)
    tiny = random_walk(torch.tensor([1e-9], dtype=torch.float64), 3, 5, stream(0))
    assert tiny.tolist() == pytest.approx([1e-9] * 5, rel=1e-12)
    assert torch.equal(random_walk(STEPS, 5, 9, stream(3)), random_walk(STEPS, 5, 9, stream(3)))


@pytest.mark.parametrize("scale", [1e-9, 1e-4])
def test_small_steps_do_not_feel_the_curvature(scale):
    assert float(walk_distance(scale * STEPS)) == pytest.approx(float(walk_distance(scale * STEPS, curved=False)), rel=1e-7)


def test_how_far_a_walk_comes():
    steps = torch.tensor([[0.2, 0.3, 0.0], [0.5, 0.5, 2.0]], dtype=torch.float64)
    assert torch.allclose(walk_distance(steps), steps.cos().prod(1).arccos())
    assert torch.allclose(walk_distance(steps, curved=False), steps.norm(dim=1))
    assert float(walk_distance(torch.full((9,), 2.0), curved=False)) == pytest.approx(6)
    assert float(walk_distance(torch.tensor([math.pi / 2, 0.3], dtype=torch.float64))) == pytest.approx(math.pi / 2)
    assert float(walk_distance(torch.tensor([math.pi, 0.3], dtype=torch.float64))) == pytest.approx(math.pi - 0.3)


def test_relative_slack_is_one_for_a_walk_and_less_for_a_straight_path():
    steps = torch.full((20,), 0.2, dtype=torch.float64)
    at = unit(gauss(20000))
    points = [at]
    for k in range(20):
        v = gauss(20000, seed=k + 1)
        v = unit(v - (v @ points[-1]) * points[-1])
        points.append(math.cos(0.2) * points[-1] + math.sin(0.2) * v)
    path = measure(CKA, torch.stack(points), unit(gauss(20000, seed=99)))
    assert path.step.tolist() == pytest.approx(steps.tolist())
    assert float(relative_slack(path)) == pytest.approx(1, abs=0.02)
    assert float(path.turning) == pytest.approx(math.pi / 2, abs=0.02)
    straight = measure(CKA, circle([0, 0.2, 0.4, 0.6]), circle(1))
    assert float(relative_slack(straight)) == pytest.approx(math.acos(math.cos(0.2) ** 3) / 0.6)
    assert float(relative_slack(straight, curved=False)) == pytest.approx(1 / math.sqrt(3))


@pytest.mark.parametrize(("curved", "most"), [(True, "3.142"), (False, "inf")])
def test_steps_that_are_no_lengths_are_refused(curved, most):
    with pytest.raises(ValueError, match=f"steps: from -1 to 0.5, expected lengths from 0 to {most}"):
        walk_distance(torch.tensor([0.5, -1]), curved)
    with pytest.raises(ValueError, match="steps: holds NaN or infinite"):
        walk_distance(torch.tensor([0.5, math.nan]), curved)
    with pytest.raises(ValueError, match=r"steps: shape \(0,\), expected \(..., hops\), not empty"):
        walk_distance(torch.zeros(0), curved)
    if curved:
        with pytest.raises(ValueError, match="steps: from 0.5 to 4, expected"):
            random_walk(torch.tensor([0.5, 4]), 3, 10, stream(0))


@pytest.mark.parametrize(("dimension", "walks"), [(1, 10), (3, 0)])
def test_walks_without_room_are_refused(dimension, walks):
    with pytest.raises(ValueError, match=f"dimension, walks: {dimension}, {walks}, expected at least 2 and at least 1"):
        random_walk(STEPS, dimension, walks, stream(0))


# Layers in random order


def test_every_order_of_the_layers_is_drawn_equally_often():
    distances = torch.cdist(gauss(5, 3), gauss(5, 3))
    lengths = shuffled(distances, stream(0), 6000)
    orders = [[0, *order, 4] for order in itertools.permutations([1, 2, 3])]
    every = sorted(float(sum(distances[a, b] for a, b in itertools.pairwise(order))) for order in orders)
    values, counts = lengths.round(decimals=9).unique(return_counts=True)
    assert values.tolist() == pytest.approx(every) and counts.min() > 850 and counts.max() < 1150


def test_on_a_line_the_right_order_is_the_shortest():
    x = torch.arange(7, dtype=torch.float64)[:, None]
    lengths = shuffled(torch.cdist(x, x), stream(0), 2000)
    assert lengths.min() >= 6 and lengths.mean() > 10


@pytest.mark.parametrize("k", [2, 3])
def test_without_choice_the_order_is_the_one_there_is(k):
    distances = torch.cdist(gauss(k, 3), gauss(k, 3))
    assert torch.allclose(shuffled(distances, stream(0), 4), distances.diagonal(1).sum())


def test_a_matrix_that_is_no_table_of_distances_is_not_shuffled():
    for shape, draws in (((3, 4), 2), ((1, 1), 2), ((3, 3), 0), ((3, 3, 3), 2)):
        message = f"distances, draws: {shape}, {draws}, expected (k, k), k >= 2, and at least 1"
        with pytest.raises(ValueError, match=re.escape(message)):
            inspect.unwrap(shuffled)(torch.zeros(shape), stream(0), draws)
    with pytest.raises(ValueError, match=r"distances: shape \(3,\), expected \(k, k\), not empty"):
        inspect.unwrap(shuffled)(torch.zeros(3), stream(0), 2)
    with pytest.raises(ValueError, match="distances: holds NaN"):
        shuffled(torch.full((3, 3), math.nan), stream(0), 2)


# Two paths


def couplings(a, b):
    """All ways to walk two paths of a and b points together, as lists of pairs."""
    if a == b == 1:
        return [[(0, 0)]]
    last = (a - 1, b - 1)
    return [each + [last] for p, q in ((a - 1, b), (a, b - 1), (a - 1, b - 1)) if p and q for each in couplings(p, q)]


@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 4), (3, 1), (2, 2), (3, 5), (5, 4)])
@given(SEEDS)
@settings(max_examples=8, deadline=None)
def test_both_distances_are_the_least_over_all_couplings(a, b, seed):
    cross = gauss(a, b, seed=seed).abs()
    every = [[float(cross[pair]) for pair in pairs] for pairs in couplings(a, b)]
    assert float(frechet(cross)) == pytest.approx(min(max(costs) for costs in every))
    best = min(every, key=sum)
    assert float(dtw(cross)) == pytest.approx(sum(best) / len(best))


@pytest.mark.parametrize("distance", [frechet, dtw])
def test_a_batch_of_pairs_is_one_pair_at_a_time(distance):
    cross = gauss(2, 3, 5, 4).abs()
    together = distance(cross)
    assert together.shape == (2, 3) and together.dtype == torch.float64
    for i, j in itertools.product(range(2), range(3)):
        assert together[i, j] == distance(cross[i, j])
    assert torch.allclose(together, distance(cross.mT)) and torch.allclose(together, distance(cross.flip(-1, -2)))


@pytest.mark.parametrize("distance", [frechet, dtw])
def test_the_speed_along_a_path_does_not_matter(distance):
    x = gauss(6, 3)
    slow = x[[0, 0, 1, 2, 2, 2, 3, 4, 5]]
    assert distance(torch.cdist(x, slow, compute_mode="donot_use_mm_for_euclid_dist")) == 0
    assert float(distance(torch.cdist(x, x + 1))) <= math.sqrt(3) + 1e-12
    assert distance(torch.cdist(x, x.flip(0))) > 0.5


def test_of_equally_good_matchings_the_one_with_fewest_pairs_counts():
    assert float(dtw(torch.tensor([[1.0, 1], [0, 1]]))) == 2 / 2  # or 2 / 3 around the corner


@pytest.mark.parametrize("distance", [frechet, dtw])
def test_tables_without_pairs_are_refused(distance):
    with pytest.raises(ValueError, match=r"cross: shape \(3,\), expected \(..., a, b\)"):
        inspect.unwrap(distance)(torch.zeros(3))
    with pytest.raises(ValueError, match=r"cross: shape \(3, 0\), expected \(..., a, b\)"):
        distance(torch.zeros(3, 0))
    with pytest.raises(ValueError, match="cross: holds NaN"):
        distance(torch.full((3, 3), math.nan))


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_a_path_is_parallel_to_itself(metric):
    points, _ = embedded(metric)
    assert parallel(metric, points, points).diagonal().tolist() == pytest.approx([1] * 4)


def test_a_turned_copy_goes_in_the_same_direction():
    """Transport along a great circle is the rotation that carries its start to its end."""
    p, q, step = unit(gauss(5, seed=1)), unit(gauss(5, seed=2)), unit(gauss(5, seed=3))
    basis = torch.linalg.qr(torch.stack([p, q], dim=1)).Q
    a, b = (basis.T @ p), (basis.T @ q)
    turn = math.atan2(float(a[0] * b[1] - a[1] * b[0]), float(a @ b))
    plane = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], dtype=torch.float64)
    rotation = torch.eye(5, dtype=torch.float64) + basis @ (plane - torch.eye(2)) @ basis.T
    assert torch.allclose(rotation @ p, q)
    first = torch.stack([p, step])
    for metric in (CKA, Sphere()):
        assert float(parallel(metric, first, first @ rotation.T)) == pytest.approx(1)
        back = torch.stack([q, metric.exp(q, -metric.log(q, rotation @ step))])
        assert float(parallel(metric, first, back)) == pytest.approx(-1)


def test_cosines_between_steps_are_those_of_the_slow_formula():
    first, second = unit(gauss(6, 5, seed=1)), unit(gauss(4, 5, seed=2))
    slow, found = Sphere(), parallel(CKA, first, second)
    assert found.shape == (5, 3)
    for i, j in itertools.product(range(5), range(3)):
        u = slow.transport(slow.log(first[i], first[i + 1]), first[i], second[j])
        v = slow.log(second[j], second[j + 1])
        assert float(found[i, j]) == pytest.approx(float(u @ v / u.norm() / v.norm()))


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_every_step_against_every_step_is_one_pair_at_a_time(metric):
    points, _ = embedded(metric)
    other = points[[3, 1, 4, 0, 2]]
    together = parallel(metric, points, other)
    for i, j in itertools.product(range(4), repeat=2):
        one = parallel(metric, points[i : i + 2], other[j : j + 2])
        assert float(together[i, j]) == pytest.approx(float(one), abs=1e-9)


def test_in_flat_space_parallel_is_parallel():
    metric, points = Stress(), gauss(5, 7)
    assert parallel(metric, points, 3 * points + gauss(7, seed=1)).diagonal().tolist() == pytest.approx([1] * 4)
    assert parallel(metric, points, -points).diagonal().tolist() == pytest.approx([-1] * 4)
    cosine = torch.nn.functional.cosine_similarity(points.diff(dim=0)[:, None], points.flip(0).diff(dim=0)[None], dim=-1)
    assert torch.allclose(parallel(metric, points, points.flip(0)), cosine)


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_a_step_of_length_zero_is_parallel_to_none(metric):
    points, _ = embedded(metric)
    still = points[[0, 1, 1, 3, 4]]
    for first, second in ((points, still), (still, points)):
        assert parallel(metric, first, second).diagonal().isnan().tolist() == [False, True, False, False]


# Bad input


@pytest.mark.parametrize(
    ("points", "target", "message"),
    [
        (torch.tensor(1.0), torch.ones(3), r"points: shape \(\), expected \(k, ...\), not empty"),
        (torch.ones(1, 3), torch.ones(3), "points: 1 of them, expected at least 2"),
        (torch.ones(3, 0), torch.ones(0), r"points: shape \(3, 0\), expected \(k, ...\), not empty"),
        (torch.full((3, 3), math.nan), torch.ones(3), "points: holds NaN or infinite values, expected finite numbers"),
        (torch.ones(3, 3), torch.full((3,), math.inf), "target: holds NaN or infinite values"),
        (torch.ones(3, 3), torch.ones(1, 3), r"target: shape \(1, 3\), expected one point like \(3,\)"),
    ],
)
def test_a_path_that_cannot_be_measured_is_refused(points, target, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(measure)(CKA, points, target)


def test_points_of_different_images_are_not_compared():
    points, _ = embedded(CKA)
    with pytest.raises(ValueError, match=r"second: points of shape \(65,\), expected that of first, \(66,\)"):
        inspect.unwrap(parallel)(CKA, points, points[:, :65])
