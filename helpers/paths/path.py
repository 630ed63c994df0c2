"""A network as a path: from the pixels, layer by layer, to the output and on to the labels.

Every point of the path is a layer, embedded in a space of representations by a metric of `helpers.paths.metrics` (any
object with its methods will do). `measure` says how far each layer goes, where to, and how straight (Lange et al. 2022,
arXiv:2206.10999; Lange et al. 2023, PMLR 221:102). What that is compared with: `helpers.paths.comparison`.

Lengths are in the metric's unit (radians for the angular ones), angles in radians, pi meaning straight on. What is not
defined is NaN, never zero: a layer that changes nothing has no direction.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.stats import kendalltau
from torch import Tensor

from helpers.networks.activations import Point
from helpers.networks.numerics import double

CLOSE = 1e-7  # steps below this are rounding: they have a length but no direction


def finite(name: str, value: Tensor, shape: str, rank: int) -> Tensor:
    """The value in float64, refused if it is empty, of a lower rank, or not finite."""
    if value.ndim < rank or not value.numel():
        raise ValueError(f"{name}: shape {tuple(value.shape)}, expected {shape}, not empty")
    if not value.isfinite().all():
        raise ValueError(f"{name}: holds NaN or infinite values, expected finite numbers")
    return double(value)


def points_of(name: str, points: Tensor) -> Tensor:
    """The points (k, ...) of a path in float64, refused unless there are two, all finite."""
    if len(points := finite(name, points, "(k, ...)", 1)) < 2:
        raise ValueError(f"{name}: {len(points)} of them, expected at least 2: input and output")
    return points


def ratio(over: Tensor, under: Tensor) -> Tensor:
    """over / under, NaN where `under` is only rounding."""
    return torch.where(under < CLOSE, math.nan, over / under)


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
        return ratio(self.length, self.distance)

    @property
    def net_slack(self) -> Tensor:
        """Net length over net distance: slack without the last hop."""
        return ratio(self.net_length, self.net_distance)

    @property
    def turning(self) -> Tensor:
        """Mean angle at the points between input and output, pi = straight; those without an angle do not count."""
        return self.angle[1:-1].nanmean()


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
    points, target = points_of("points", points), finite("target", target, "(...)", 0)
    if target.ndim != points.ndim - 1:
        raise ValueError(f"target: shape {tuple(target.shape)}, expected one point like {tuple(points.shape[1:])}")
    before, after = points[:-1], points[1:]
    step, to_target = metric.distance(before, after), metric.distance(points, target)
    # The target is not stacked with the points: a metric may give it fewer columns.
    inner, last = metric.angle(before[:-1], before[1:], after[1:]), metric.angle(before[-1], after[-1], target)
    angle = torch.cat([last.new_full((1,), math.nan), inner, last[None]])
    aim, efficiency = metric.angle(after, before, target), ratio(to_target[:-1] - to_target[1:], step)
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


def evenly(points: int, count: int) -> list[int]:
    """The places of `count` points (or of all, if there are fewer) spread evenly over a path of so many points."""
    names = {str(place): place / (points - 1) for place in range(points)}
    return [int(name) for name in matched(names, min(count, points))]


def lengths(steps: Tensor, curved: bool) -> Tensor:
    """Steps (..., hops) in float64, refused if there are none, or any that no space has; `curved` is the sphere."""
    steps = finite("steps", steps, "(..., hops)", 1)
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
    steps = lengths(steps, curved)
    if not curved:
        return torch.linalg.vector_norm(steps, dim=-1)
    # A product of cosines, in haversines (1 - cos) / 2: near 1 the cosines themselves would lose the digits.
    total = torch.zeros_like(steps[..., 0])
    for each in (steps / 2).sin().square().unbind(-1):
        total = total + each - 2 * total * each
    return 2 * total.clamp(0, 1).sqrt().asin()


def relative_slack(path: Path, curved: bool = True) -> Tensor:
    """Net slack over that of the random walk with the same steps: below 1 is straighter than chance, above is tangled."""
    return ratio(walk_distance(path.step, curved), path.net_distance)


def summary(path: Path, curved: bool = True) -> dict[str, float]:
    """What is said of a whole path, in the metric's unit and in degrees; what is not defined is NaN.

    `length`, `net_length`, `last_hop`, `slack` and `net_slack` of `Path`; `straightness`, the log of the distance covered
    over that of a random walk with the same steps (`curved` as for `walk_distance`); `angle`, mean over the points between
    input and output; `aim`, mean over the steps but the last, `aim_all` with it; `reached`, the position of the last point
    before the output; `tau`, rank correlation of depth and distance to the target up to that point, `tau_all` over all.
    """
    degrees, nearer = torch.rad2deg, path.to_target.cpu()
    numbers = {
        "length": path.length, "net_length": path.net_length, "slack": path.slack, "net_slack": path.net_slack,
        "straightness": -relative_slack(path, curved).log(), "angle": degrees(path.turning), "last_hop": path.last_hop,
        "aim": degrees(path.aim[:-1].nanmean()), "aim_all": degrees(path.aim.nanmean()), "reached": path.position[-2],
        "tau": trend(nearer[:-1]), "tau_all": trend(nearer),
    }  # fmt: skip
    return {name: float(value) for name, value in numbers.items()}


def trend(values: Float[Tensor, "k"]) -> float:
    """Rank correlation (Kendall's tau) of values with their order: -1 where they only fall; NaN where they do not vary."""
    return float(kendalltau(range(len(values)), values.cpu()).statistic)
