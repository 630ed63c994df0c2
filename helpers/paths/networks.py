"""The path of a network for some images: by every estimator, by any metric and read-out; and of many in one space."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.networks.activations import Point, record
from helpers.paths.comparison import between_kinds, dtw, frechet, matched_distance, parallel
from helpers.paths.embeddings import span
from helpers.paths.geometry import Metric, Sphere
from helpers.paths.metrics import ESTIMATORS, AngularCKA, AngularShape, gram
from helpers.paths.path import evenly, measure, summary, trend, walk_distance
from helpers.paths.points import hidden, principal, share, stops

Images = Float[Tensor, "n c h w"]
Labels = Float[Tensor, "n k"]
Points = Callable[[nn.Module, Images], list[Point]]  # which points make the path of a network: `helpers.paths.points`
Grams = dict[Point, Float[Tensor, "n n"]]
DECIMALS = 6  # of what is said of points: a record holds many
COLUMNS = ("step", "to_target", "angle", "aim", "efficiency", "position", "off")


@torch.no_grad()
def grams(model: nn.Module, images: Images, points: Points = stops) -> Grams:
    """The Gram matrix of every point, made in the hook: no activation outlives its layer."""
    return record(model, images, points(model, images), lambda point, activation: gram(activation))


def embedded(metric: AngularCKA, layers: Mapping[Point, Tensor], target: Labels) -> Float[Tensor, "k1 d"]:
    """The points of a path from their Gram matrices and, last, the target."""
    return torch.stack([*(metric.from_gram(g) for g in layers.values()), metric.embed(target)])


@torch.no_grad()
def described(
    model: nn.Module, images: Images, target: Labels, count: int, points: Points = stops,
    estimators: Sequence[str] = tuple(ESTIMATORS),
) -> tuple[list[dict], dict[str, float]]:  # fmt: skip
    """A row for each point, and one for the whole path, by each estimator of Angular CKA.

    Args:
        count: of points, spread evenly, of the shorter path whose `matched_net_slack` is asked for besides.

    Returns:
        Rows with `point`, `depth` (its share of the points) and the fields of `path.Path` of the point, or of the step
        from it (NaN after the last), to six decimals; and what `path.summary` says. Columns end in the estimator's name.
    """
    layers = grams(model, images, points)
    few, last = evenly(len(layers), count), len(layers) - 1
    rows, whole = [{"point": point, "depth": k / last} for k, point in enumerate(layers)], {}
    for estimator in estimators:
        metric = AngularCKA(estimator)
        stack = span(embedded(metric, layers, target))  # in few coordinates: nothing that a path needs is lost
        path = measure(metric, stack[:-1], stack[-1])
        slack = float(metric.distance(stack[few[:-1]], stack[few[1:]]).sum() / path.net_distance)
        numbers = summary(path) | {"matched_net_slack": slack}
        whole |= {f"{name}_{estimator}": value for name, value in numbers.items()}
        for row, *values in zip(rows, *(getattr(path, name).tolist() + [math.nan] for name in COLUMNS)):
            row |= {f"{name}_{estimator}": round(value, DECIMALS) for name, value in zip(COLUMNS, values)}
    return rows, whole


@torch.no_grad()
def varied(
    model: nn.Module, images: Images, target: Labels, metric: Metric, points: Points = stops,
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
    path = torch.stack([*record(model, images, points(model, images), keep).values()])
    goal, few = metric.embed(target), evenly(len(path), count)
    step, nearer = metric.distance(path[:-1], path[1:]), metric.distance(path, goal)
    reached = metric.distance(path[0], path[-1])
    return {
        "slack": float((step.sum() + nearer[-1]) / nearer[0]),
        "matched_net_slack": float(metric.distance(path[few[:-1]], path[few[1:]]).sum() / reached),
        "straightness": float((reached / walk_distance(step, isinstance(metric, Sphere))).log()),
        "tau": trend(nearer[:-1]),
    }


@torch.no_grad()
def reduced(model: nn.Module, images: Images, target: Labels, kept: int, right: bool) -> dict[str, float]:
    """A path of so many principal components of each layer, by the right or the wrong axis (`points.principal`), from the
    first layer on: its `slack` by Angular Shape, and the share of the first layer's `variance` that is kept."""
    read = partial(principal, kept=kept, right=right)
    first = hidden(model, images)[0]  # pixels are too many for a square matrix
    layer = record(model, images, [first])[first]
    slack = varied(model, images, target, AngularShape(kept), hidden, read)["slack"]
    return {"variance": share(layer, read(first, layer)), "slack": slack}


@torch.no_grad()
def lost(model: nn.Module, images: Images, metric: Metric, points: Points = stops) -> float:
    """Mean relative loss of length of a step that is carried across the next one, of which only the part counts that
    changes the representation (`horizontal`): 0 where transport is parallel.
    """
    found = record(model, images, points(model, images), lambda point, a: metric.embed(a))
    path = torch.stack([*found.values()])
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

    def apart(
        self, first: Sequence[Hashable], second: Sequence[Hashable], way: str, count: int
    ) -> Float[np.ndarray, "n"]:
        """`between_kinds` of two kinds of network by a `way` of taking the distance of paths: `matched` (mean over so many
        points, spread evenly), `frechet` or `dtw`. ValueError for any other."""
        ways = {"matched": lambda cross: matched_distance(cross, count), "frechet": frechet, "dtw": dtw}
        if way not in ways:
            raise ValueError(f"way={way!r}: expected one of {', '.join(ways)}")
        return between_kinds(lambda one, other: float(ways[way](self.cross(one, other))), first, second)

    def beside(self, one: Hashable, other: Hashable) -> dict[str, list[float]]:
        """By `depth` (share of the points): the `gap` to the other network, and the `step` from there, NaN after the last.

        ValueError unless both have as many points.
        """
        gap, own = self.cross(one, other), self.cross(one, one)
        if gap.shape != own.shape:
            raise ValueError(f"other: {gap.shape[1]} points, expected as many as one has, {len(gap)}")
        depth = torch.linspace(0, 1, len(gap), dtype=torch.float64).tolist()
        return {"depth": depth, "gap": gap.diagonal().tolist(), "step": [*own.diagonal(1).tolist(), math.nan]}

    def cosines(self, one: Hashable, other: Hashable) -> Float[Tensor, "a b"]:
        """`parallel` of the hidden steps of two networks: neither that from the input nor that to the output."""
        return parallel(self.metric, *(self.path(each)[:-1] for each in (one, other)))[1:, 1:].cpu()


def together(metric: AngularCKA, layers: Mapping[Hashable, Grams], target: Labels) -> Atlas:
    """Many networks in one space, since all of them saw the same images: their Gram matrices, point by point."""
    ends = torch.tensor([len(each) for each in layers.values()]).cumsum(0).tolist()
    places = {name: slice(end - len(each), end) for (name, each), end in zip(layers.items(), ends)}
    points = [metric.from_gram(g) for each in layers.values() for g in each.values()]
    return Atlas(metric, span(torch.stack([*points, metric.embed(target)])), places)
