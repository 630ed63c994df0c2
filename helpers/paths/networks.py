"""The path of a network for some images: by every estimator, by any metric and read-out; and of many in one space."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.networks.activations import Point, record
from helpers.paths.embeddings import span
from helpers.paths.geometry import Metric, Sphere
from helpers.paths.metrics import ESTIMATORS, AngularCKA, gram
from helpers.paths.path import evenly, measure, summary, trend, walk_distance

Images = Float[Tensor, "n c h w"]
Labels = Float[Tensor, "n k"]
Grams = dict[Point, Float[Tensor, "n n"]]
COLUMNS = ("step", "to_target", "angle", "aim", "efficiency", "position", "off")


def grams(model: nn.Module, images: Images, points: Sequence[Point]) -> Grams:
    """The Gram matrix of every point, made in the hook: no activation outlives its layer."""
    return record(model, images, points, lambda point, activation: gram(activation))


def embedded(metric: AngularCKA, layers: Mapping[Point, Tensor], target: Labels) -> Float[Tensor, "k1 d"]:
    """The points of a path from their Gram matrices and, last, the target."""
    return torch.stack([*(metric.from_gram(g) for g in layers.values()), metric.embed(target)])


def described(
    model: nn.Module, images: Images, target: Labels, points: Sequence[Point], count: int,
    estimators: Sequence[str] = tuple(ESTIMATORS),
) -> tuple[list[dict], dict[str, float]]:  # fmt: skip
    """A row for each point, and one for the whole path, by each estimator of Angular CKA.

    Args:
        points: input first, output last.
        count: of points, spread evenly, of the shorter path whose `matched_net_slack` is asked for besides.

    Returns:
        Rows with `point`, `depth` (its share of the points) and the fields of `path.Path` of the point, or of the step
        from it (NaN after the last); and what `path.summary` says. Columns end in the estimator's name.
    """
    layers, few = grams(model, images, points), evenly(len(points), count)
    rows, whole = [{"point": p, "depth": k / (len(points) - 1)} for k, p in enumerate(points)], {}
    for estimator in estimators:
        metric = AngularCKA(estimator)
        stack = span(embedded(metric, layers, target))  # in few coordinates: nothing that a path needs is lost
        path = measure(metric, stack[:-1], stack[-1])
        slack = float(metric.distance(stack[few[:-1]], stack[few[1:]]).sum() / path.net_distance)
        numbers = summary(path) | {"matched_net_slack": slack}
        whole |= {f"{name}_{estimator}": value for name, value in numbers.items()}
        for row, *values in zip(rows, *(getattr(path, name).tolist() + [math.nan] for name in COLUMNS)):
            row |= {f"{name}_{estimator}": value for name, value in zip(COLUMNS, values)}
    return rows, whole


def varied(
    model: nn.Module, images: Images, target: Labels, metric: Metric, points: Sequence[Point],
    read: Callable[[Point, Tensor], Tensor] | None = None, count: int = 3,
) -> dict[str, float]:  # fmt: skip
    """What conclusions about a path rest on, from distances alone, by any metric, read-out and choice of points.

    Args:
        read: what of an activation counts, as in `helpers.paths.points`; all of it by default.
        count: of points of the shorter path.

    Returns:
        `slack`, `matched_net_slack`, `straightness` and `tau`, as `described`.
    """
    keep = (lambda point, a: metric.embed(read(point, a))) if read else (lambda point, a: metric.embed(a))
    path = torch.stack([*record(model, images, points, keep).values()])
    goal, few = metric.embed(target), evenly(len(points), count)
    step, nearer = metric.distance(path[:-1], path[1:]), metric.distance(path, goal)
    reached = metric.distance(path[0], path[-1])
    return {
        "slack": float((step.sum() + nearer[-1]) / nearer[0]),
        "matched_net_slack": float(metric.distance(path[few[:-1]], path[few[1:]]).sum() / reached),
        "straightness": float((reached / walk_distance(step, isinstance(metric, Sphere))).log()),
        "tau": trend(nearer[:-1]),
    }


def lost(model: nn.Module, images: Images, points: Sequence[Point], metric: Metric) -> float:
    """Mean relative loss of length of a step that is carried across the next one, of which only the part counts that
    changes the representation (`horizontal`): 0 where transport is parallel.
    """
    path = torch.stack([*record(model, images, points, lambda point, a: metric.embed(a)).values()])
    step = -metric.log(path[1:-1], path[:-2])  # the direction in which the path arrives
    carried = metric.horizontal(path[2:], metric.transport(step, path[1:-1], path[2:]))
    return float((1 - torch.linalg.matrix_norm(carried) / torch.linalg.matrix_norm(step)).mean())


@dataclass(frozen=True)
class Atlas:
    """The points of many paths, and last the target, in coordinates of their span.

    Attributes:
        points: (k + 1, r).
        places: by network, which of the points are its path.
    """

    metric: AngularCKA
    points: Float[Tensor, "k1 r"]
    places: Mapping[Hashable, slice]

    @cached_property
    def distances(self) -> Float[Tensor, "k1 k1"]:
        """Between all points, on the CPU."""
        return self.metric.pairwise(self.points).cpu()

    def path(self, network: Hashable) -> Float[Tensor, "a r"]:
        """The points of a network."""
        return self.points[self.places[network]]

    def cross(self, one: Hashable, other: Hashable) -> Float[Tensor, "a b"]:
        """Distances from the points of one network to those of another."""
        return self.distances[self.places[one], self.places[other]]

    def where(self, networks: Sequence[Hashable]) -> list[int]:
        """The places of all points of these networks and, last, of the target."""
        found = [range(self.places[each].start, self.places[each].stop) for each in networks]
        return [*(place for places in found for place in places), len(self.points) - 1]

    def among(self, networks: Sequence[Hashable]) -> Float[Tensor, "k1 k1"]:
        """Distances between all points of these networks and, last, the target."""
        where = self.where(networks)
        return self.distances[where][:, where]


def together(metric: AngularCKA, layers: Mapping[Hashable, Grams], target: Labels) -> Atlas:
    """Many networks in one space, since all of them saw the same images: their Gram matrices, point by point."""
    ends = torch.tensor([len(each) for each in layers.values()]).cumsum(0).tolist()
    places = {name: slice(end - len(each), end) for (name, each), end in zip(layers.items(), ends)}
    points = [metric.from_gram(g) for each in layers.values() for g in each.values()]
    return Atlas(metric, span(torch.stack([*points, metric.embed(target)])), places)
