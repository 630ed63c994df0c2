"""What a path is compared with: a random walk with its steps, its layers in random order, and another path.

`random_walk` and `shuffled` are null models of one path (the first in the mean: `path.walk_distance`); `frechet`, `dtw`,
`matched_distance` and `parallel` compare two, `between_kinds` two kinds of network (Lange et al. 2022, arXiv:2206.10999).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from helpers.networks.numerics import stream
from helpers.paths.path import evenly, finite, lengths, points_of, ratio, walk_distance

# --- Chance ----------------------------------------------------------------------------------------------------


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
    steps = lengths(steps, True)
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
    distances = finite("distances", distances, "(k, k)", 2)
    if distances.shape != (len(distances),) * 2 or len(distances) < 2 or draws < 1:
        raise ValueError(f"distances, draws: {tuple(distances.shape)}, {draws}, expected (k, k), k >= 2, and at least 1")
    last = len(distances) - 1
    inner = torch.rand(draws, last - 1, generator=generator, device=generator.device).argsort(1) + 1
    order = pad(pad(inner, (1, 0), value=0), (0, 1), value=last).to(distances.device)
    return distances[order[:, :-1], order[:, 1:]].sum(1)


def against_chance(
    distances: Float[Tensor, "k k"], dimension: int, seed: int, walks: int = 1000, orders: int = 200
) -> dict[str, float]:
    """Net slack of a path in a space of angles, and of what it is compared with.

    Args:
        distances: between all its points, input first, output last.
        dimension: of the sphere that walks are simulated on.
        seed: of the streams `walk` and `orders`.

    Returns:
        `observed`; with the `same steps`, a walk by closed form; `simulated`, the mean of such walks; `shuffled`, the mean
        over random orders of the layers.
    """
    step, reached = distances.diagonal(1), distances[0, -1]
    simulated = random_walk(step, dimension, walks, stream(seed, "walk"))
    return {
        "observed": float(step.sum() / reached),
        "same steps": float(step.sum() / walk_distance(step)),
        "simulated": float(step.sum() / simulated.mean()),
        "shuffled": float((shuffled(distances, stream(seed, "orders"), orders) / reached).mean()),
    }


# --- Two paths -------------------------------------------------------------------------------------------------


def _diagonals(cross: Tensor) -> Float[Tensor, "ab *batch a"]:
    """The antidiagonals, one after another: entry i of the d-th is cross[i, d - i], infinite beyond the matrix.

    Every row is shifted by its own number: rows of length a + b, written one after another, are read at length a + b - 1.
    """
    cross = finite("cross", cross, "(..., a, b)", 2)
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


def matched_distance(cross: Float[Tensor, "a b"], count: int) -> float:
    """Mean distance of `count` points of one path from as many of the other, both spread evenly (`evenly`)."""
    few = min(*cross.shape, count)
    rows, columns = (evenly(points, few) for points in cross.shape)
    return float(cross[rows, columns].mean())


def between_kinds(
    distance: Callable[[Any, Any], float], first: Sequence[Any], second: Sequence[Any]
) -> Float[np.ndarray, "n"]:
    """How much farther apart two kinds of network are than two networks of one kind, a value for each place.

    Args:
        distance: of two networks.
        first, second: networks of two kinds, n each, in one order of seeds; each is compared with the next, the last with
            the first, so that no pair shares a seed.

    ValueError unless there are as many of both.
    """
    if len(first) != len(second):
        raise ValueError(f"second: {len(second)} networks, expected as many as first, {len(first)}")
    after = [[*kind[1:], *kind[:1]] for kind in (first, second)]
    mixed = [[distance(a, d), distance(b, c)] for a, b, c, d in zip(first, second, *after)]
    alike = [[distance(a, c), distance(b, d)] for a, b, c, d in zip(first, second, *after)]
    return np.mean(mixed, axis=1) - np.mean(alike, axis=1)


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
    first, second = points_of("first", first), points_of("second", second)
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(f"second: points of shape {tuple(second.shape[1:])}, expected that of first, {tuple(first.shape[1:])}")
    here, own = second[None, :-1], metric.log(second[:-1], second[1:])[None]
    carried = metric.transport(metric.log(first[:-1], first[1:])[:, None], first[:-1, None], here)
    long = (metric.inner(here, v, v).clamp(min=0).sqrt() for v in (own, carried))
    return ratio(ratio(metric.inner(here, carried, own), next(long)), next(long)).clamp(-1, 1)


def on_diagonal(cosines: Float[Tensor, "a a"]) -> tuple[float, float]:
    """Mean cosine of matched steps, as `parallel` gives them, and of those that do not match; steps without count not."""
    same = torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    return float(cosines[same].nanmean()), float(cosines[~same].nanmean())
