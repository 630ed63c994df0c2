"""One path: planted ones on a sphere and in a plane, what holds for any path, and equal numbers of points."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_paths import CKA, METRICS, SHAPE, Sphere, circle, embedded, gauss, representations, unit

from helpers.paths.metrics import AngularShape
from helpers.paths.path import evenly, matched, measure, relative_slack, summary, trend

SEEDS = st.integers(0, 2**31 - 1)


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


# The path in a few numbers


def test_places_spread_evenly():
    assert evenly(5, 3) == [0, 2, 4] and evenly(4, 9) == [0, 1, 2, 3] and evenly(7, 2) == [0, 6]


def test_a_straight_path_in_numbers():
    angles = [0, 0.2, 0.5, 0.9, 1.2]
    found = summary(measure(CKA, circle(angles), circle(1.5)))
    walk = math.acos(math.cos(0.2) * math.cos(0.3) * math.cos(0.4) * math.cos(0.3))
    assert found == pytest.approx({
        "length": 1.5, "net_length": 1.2, "slack": 1, "net_slack": 1, "straightness": math.log(1.2 / walk), "angle": 180,
        "last_hop": 0.3, "aim": 0, "aim_all": 0, "reached": 0.6, "tau": -1, "tau_all": -1,
    }, abs=1e-9)  # fmt: skip


def test_the_last_step_counts_where_it_is_said():
    found = summary(measure(CKA, circle([0, 0.5, 1.0, 0.2]), circle(1.5)))
    assert (found["aim"], found["aim_all"]) == pytest.approx((0, 60), abs=1e-9)
    assert found["tau"] == -1 and found["tau_all"] == pytest.approx(-1 / 3)


def test_what_does_not_vary_has_no_trend():
    assert math.isnan(trend(torch.ones(4))) and trend(torch.tensor([1.0, 2.0, 4.0])) == 1
