"""A network as a path: from the pixels, layer by layer, to the output and on to the labels.

Every point of the path is a layer, embedded in a space of representations by a metric of `helpers.paths.metrics` (any
object with its methods will do). `measure` says how far each layer goes, where to, and how straight; `random_walk`,
`walk_distance` and `shuffled` are what that is compared with; `frechet`, `dtw` and `parallel` compare two paths
(Lange et al. 2022, arXiv:2206.10999; Lange et al. 2023, PMLR 221:102).

Lengths are in the metric's unit (radians for the angular ones), angles in radians, pi meaning straight on. What is not
defined is NaN, never zero: a layer that changes nothing has no direction.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import pad

from helpers.networks.activations import Point
from helpers.networks.numerics import double

CLOSE = 1e-7  # steps below this are rounding: they have a length but no direction


def _finite(name: str, value: Tensor, shape: str, rank: int) -> Tensor:
    """The value in float64, refused if it is empty, of a lower rank, or not finite."""
    if value.ndim < rank or not value.numel():
        raise ValueError(f"{name}: shape {tuple(value.shape)}, expected {shape}, not empty")
    if not value.isfinite().all():
        raise ValueError(f"{name}: holds NaN or infinite values, expected finite numbers")
    return double(value)


def _path(name: str, points: Tensor) -> Tensor:
    if len(points := _finite(name, points, "(k, ...)", 1)) < 2:
        raise ValueError(f"{name}: {len(points)} of them, expected at least 2: input and output")
    return points


def _ratio(over: Tensor, under: Tensor) -> Tensor:
    """over / under, NaN where `under` is only rounding."""
    return torch.where(under < CLOSE, math.nan, over / under)


# --- One path --------------------------------------------------------------------------------------------------


class Path(NamedTuple):
    """Lengths, directions and progress of a path of k points: input, layers, output; then the target."""

    step: Tensor  # (k-1,) distance from each point to the next
    last_hop: Tensor  # () distance from the output to the target
    to_target: Tensor  # (k,) distance to the target
    from_input: Tensor  # (k,) distance from the input
    angle: Tensor  # (k,) at each point, between the previous and the next (after the output: the target); pi = straight
    aim: Tensor  # (k-1,) between a step and the geodesic to the target; 0 = straight at it
    efficiency: Tensor  # (k-1,) decrease of the distance to the target over the step, in [-1, 1]
    position: Tensor  # (k,) coordinate of the projection on the geodesic input-target: 0 input, 1 target, unclamped
    off: Tensor  # (k,) distance from that geodesic

    @property
    def length(self) -> Tensor:
        """Length of the whole path, with the last hop."""
        return self.net_length + self.last_hop

    @property
    def net_length(self) -> Tensor:
        """Length from the input to the output, what the network itself does."""
        return self.step.sum()

    @property
    def distance(self) -> Tensor:
        """Distance of input and target."""
        return self.to_target[0]

    @property
    def net_distance(self) -> Tensor:
        """Distance of input and output."""
        return self.from_input[-1]

    @property
    def slack(self) -> Tensor:
        """Length over distance, at least 1; 1 is a geodesic. Grows with the number of points."""
        return _ratio(self.length, self.distance)

    @property
    def net_slack(self) -> Tensor:
        """Net length over net distance: slack without the last hop."""
        return _ratio(self.net_length, self.net_distance)

    @property
    def turning(self) -> Tensor:
        """Mean angle at the points between input and output, pi = straight; those without an angle do not count."""
        return self.angle[1:-1].nanmean()

    @property
    def clumping(self) -> Tensor:
        """Coefficient of variation of the steps: 0 if all are equally long."""
        return _ratio(self.step.std(correction=0), self.step.mean())


def measure(metric: Any, points: Float[Tensor, "k ..."], target: Float[Tensor, "..."]) -> Path:
    """Everything about one path (lengths, angles and projections as in Lange et al. 2022; the definitions are ours).

    Args:
        metric: `distance`, `angle` and `project` of `helpers.paths.metrics`, broadcasting over leading dimensions.
        points: (k, ...), embedded points in order: input, layers, output; k at least 2. Where they are vectors, their
            `embeddings.span` (together with the target) gives the same path several times faster.
        target: (...), one embedded point, the labels.

    Raises:
        ValueError: fewer than two points, another rank of target, NaN.
    """
    points, target = _path("points", points), _finite("target", target, "(...)", 0)
    if target.ndim != points.ndim - 1:
        raise ValueError(f"target: shape {tuple(target.shape)}, expected one point like {tuple(points.shape[1:])}")
    before, after = points[:-1], points[1:]
    step, to_target = metric.distance(before, after), metric.distance(points, target)
    # The target is not stacked with the points: a metric may give it fewer columns.
    inner, last = metric.angle(before[:-1], before[1:], after[1:]), metric.angle(before[-1], after[-1], target)
    angle = torch.cat([last.new_full((1,), math.nan), inner, last[None]])
    aim, efficiency = metric.angle(after, before, target), _ratio(to_target[:-1] - to_target[1:], step)
    position, off = metric.project(points, points[0], target)
    from_input = metric.distance(points[0], points)
    return Path(step, to_target[-1], to_target, from_input, angle, aim, efficiency, position, off)


def matched(depths: Mapping[Point, float], count: int) -> list[Point]:
    """`count` points spread evenly over depth, so that paths of different networks have equally many.

    Slack grows with every point added, so paths are compared at equal numbers of points. Input and output stay; the
    others are those that, taken together, lie nearest to equally spaced depths, each once, in order. `depths` are
    relative, input first, output last, as `models.points` gives them.

    Raises:
        ValueError: a count not from 2 to the number of points, or depths that decrease.
    """
    names, values = list(depths), torch.tensor(list(depths.values()), dtype=torch.float64)
    if not 2 <= count <= len(names):
        raise ValueError(f"count: {count}, expected 2 to {len(names)}, the number of points")
    if not (values.diff() >= 0).all():
        raise ValueError(f"depths: {list(depths.values())}, expected depths that do not decrease from input to output")
    wanted = torch.linspace(float(values[0]), float(values[-1]), count, dtype=torch.float64)[1:-1]
    _, inner = linear_sum_assignment((wanted[:, None] - values[None, 1:-1]).abs().numpy())
    return [names[0], *(names[1 + k] for k in sorted(inner.tolist())), names[-1]]


# --- What a path is compared with ------------------------------------------------------------------------------


def _steps(steps: Tensor, curved: bool) -> Tensor:
    steps = _finite("steps", steps, "(..., hops)", 1)
    least, most, limit = float(steps.min()), float(steps.max()), math.pi if curved else math.inf
    if not 0 <= least <= most <= limit:
        raise ValueError(f"steps: from {least:.4g} to {most:.4g}, expected lengths from 0 to {limit:.4g}")
    return steps


def walk_distance(steps: Float[Tensor, "*batch hops"], curved: bool = True) -> Float[Tensor, "*batch"]:
    """How far a random walk with these steps comes: each in a direction that knows nothing of the ones before.

    Curved: on the unit sphere the mean cosine of the distance is the product of the cosines, in any dimension, and in
    many dimensions every walk comes as far as that. Flat: the root of the sum of squares, likewise.

    Raises:
        ValueError: no steps, negative ones, or on the sphere any beyond pi; NaN.
    """
    steps = _steps(steps, curved)
    if not curved:
        return torch.linalg.vector_norm(steps, dim=-1)
    # A product of cosines, in haversines (1 - cos) / 2: near 1 the cosines themselves would lose the digits.
    total = torch.zeros_like(steps[..., 0])
    for each in (steps / 2).sin().square().unbind(-1):
        total = total + each - 2 * total * each
    return 2 * total.clamp(0, 1).sqrt().asin()


def relative_slack(path: Path, curved: bool = True) -> Tensor:
    """Net slack over that of the random walk with the same steps: below 1 is straighter than chance, above is tangled."""
    return _ratio(walk_distance(path.step, curved), path.net_distance)


def random_walk(
    steps: Float[Tensor, "hops"], dimension: int, walks: int, generator: torch.Generator
) -> Float[Tensor, "walks"]:
    """End-to-end distances, in radians, of random walks with these steps on the unit sphere of that dimension.

    Each step is a geodesic in a direction uniform in the tangent space. Where a walk is does not matter, only how far
    from its start, and of the direction only the component u along the geodesic from there: two numbers a walk and step,
    in any dimension. By the haversine formula, which loses no digits anywhere, a step s from distance r ends at
    hav r' = hav(r - s) + sin r sin s (1 - u) / 2.

    Raises:
        ValueError: steps as for `walk_distance`, a dimension below 2 (the globe), no walks.
    """
    steps = _steps(steps, True)
    if dimension < 2 or walks < 1:
        raise ValueError(f"dimension, walks: {dimension}, {walks}, expected at least 2 and at least 1")
    draws = torch.rand(2, len(steps), walks, generator=generator, dtype=torch.float64, device=generator.device)
    # Two coordinates of a uniform direction in n dimensions: their radius is sqrt(1 - U^(2 / (n - 2))), 1 in the plane.
    radius, turn = draws.to(steps.device)
    power = 2 / (dimension - 2) if dimension > 2 else math.inf
    along = (-torch.expm1(power * radius.log())).sqrt() * (2 * math.pi * turn).cos()
    distance = steps.new_zeros(walks)
    for step, u in zip(steps, along):
        product = distance.sin() * step.sin() / 2
        near = ((distance - step) / 2).sin().square() + product * (1 - u)
        far = ((distance + step) / 2).cos().square() + product * (1 + u)
        distance = 2 * torch.atan2(near.clamp(min=0).sqrt(), far.clamp(min=0).sqrt())
    return distance


def shuffled(distances: Float[Tensor, "k k"], generator: torch.Generator, draws: int) -> Float[Tensor, "draws"]:
    """Net lengths of the path when the layers between input and output come in random order.

    `distances` are those of all points, input first, output last; the last hop, the same in any order, is not among them.

    Raises:
        ValueError: not a square matrix, NaN, no draws.
    """
    distances = _finite("distances", distances, "(k, k)", 2)
    if distances.shape != (len(distances),) * 2 or len(distances) < 2 or draws < 1:
        raise ValueError(f"distances, draws: {tuple(distances.shape)}, {draws}, expected (k, k), k >= 2, and at least 1")
    last = len(distances) - 1
    inner = torch.rand(draws, last - 1, generator=generator, device=generator.device).argsort(1) + 1
    order = pad(pad(inner, (1, 0), value=0), (0, 1), value=last).to(distances.device)
    return distances[order[:, :-1], order[:, 1:]].sum(1)


# --- Two paths -------------------------------------------------------------------------------------------------


def _diagonals(cross: Tensor) -> Float[Tensor, "ab *batch a"]:
    """The antidiagonals, one after another: entry i of the d-th is cross[i, d - i], infinite beyond the matrix.

    Every row is shifted by its own number: rows of length a + b, written one after another, are read at length a + b - 1.
    """
    cross = _finite("cross", cross, "(..., a, b)", 2)
    a, b = cross.shape[-2:]
    rows = pad(cross, (0, a), value=math.inf).flatten(-2)
    return rows[..., : a * (a + b - 1)].unflatten(-1, (a, a + b - 1)).movedim(-1, 0)


def _predecessors(last: Tensor, before: Tensor) -> Tensor:
    """For each cell of an antidiagonal the three from which it is reached: along b, along a, and along both."""
    return torch.stack([last, *(pad(cells[..., :-1], (1, 0), value=math.inf) for cells in (last, before))])


def frechet(cross: Float[Tensor, "*batch a b"]) -> Float[Tensor, "*batch"]:
    """Discrete Frechet distance of two paths: the shortest leash with which both are walked, neither turning back.

    Args:
        cross: (..., a, b), distances from the points of one path to those of the other (Eiter & Mannila 1994, CD-TR 94/64).

    Raises:
        ValueError: fewer than two dimensions, no points, NaN.
    """
    last, *others = _diagonals(cross)
    before = torch.full_like(last, math.inf)
    for cells in others:
        last, before = torch.maximum(cells, _predecessors(last, before).amin(0)), last
    return last[..., -1]


def dtw(cross: Float[Tensor, "*batch a b"]) -> Float[Tensor, "*batch"]:
    """Dynamic time warping: the mean distance of the matched pairs in the matching of least total distance.

    The matching keeps both orders and leaves out no point (Sakoe & Chiba 1978, IEEE TASSP 26:43). Of several that are
    equally good the one with the fewest pairs counts, so that the mean does not depend on which is found. `cross` and
    errors as for `frechet`.
    """
    cost, *others = _diagonals(cross)
    pairs, cost_before, pairs_before = torch.ones_like(cost), torch.full_like(cost, math.inf), torch.ones_like(cost)
    for cells in others:
        costs, counts = _predecessors(cost, cost_before), _predecessors(pairs, pairs_before)
        best = costs.amin(0)
        cost, cost_before = best + cells, cost
        pairs, pairs_before = torch.where(costs == best, counts, math.inf).amin(0) + 1, pairs
    return cost[..., -1] / pairs[..., -1]


def parallel(
    metric: Any, first: Float[Tensor, "a ..."], second: Float[Tensor, "b ..."]
) -> Float[Tensor, "a_hops b_hops"]:
    """Whether two paths go in parallel: the cosine of each step of `first`, transported, with each step of `second`.

    Step i of `first` is carried along the geodesic from first[i] to second[j], and compared there with step j of
    `second`, by the metric's `log`, `transport` and `inner`; matched steps stand on the diagonal. 1 is the same
    direction, NaN a step of length zero. The shape metrics transport only approximately (see there): prefer Angular CKA.

    Raises:
        ValueError: points of different shapes, fewer than two points, NaN.
    """
    first, second = _path("first", first), _path("second", second)
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(f"second: points of shape {tuple(second.shape[1:])}, expected that of first, {tuple(first.shape[1:])}")
    here, own = second[None, :-1], metric.log(second[:-1], second[1:])[None]
    carried = metric.transport(metric.log(first[:-1], first[1:])[:, None], first[:-1, None], here)
    long = (metric.inner(here, v, v).clamp(min=0).sqrt() for v in (own, carried))
    return _ratio(_ratio(metric.inner(here, carried, own), next(long)), next(long)).clamp(-1, 1)
