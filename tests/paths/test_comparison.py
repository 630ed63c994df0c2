"""What a path is compared with: the null models against simulation, other orders, and other paths."""

import inspect
import itertools
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_paths import CKA, METRICS, Sphere, circle, embedded, gauss, unit
from scipy.stats import ks_2samp

from helpers.networks.numerics import stream
from helpers.paths.comparison import dtw, frechet, parallel, random_walk, shuffled
from helpers.paths.metrics import Stress
from helpers.paths.path import measure, relative_slack, walk_distance

SEEDS = st.integers(0, 2**31 - 1)
nan = pytest.approx(math.nan, nan_ok=True)


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
