"""Where searches at a layer end, told for tables: rows of medians over images."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.depth import decoders, image_similarity, layers
from helpers.depth.inversion import invert, measures, shifted, start
from helpers.depth.optimisers import Inverted, Procedure
from helpers.networks import models
from helpers.networks.activations import Point
from helpers.networks.numerics import stream

Images = Float[Tensor, "n c h w"]
Row = dict[str, float | str | list]


class Judged(NamedTuple):
    """What results of a search are held against: a classifier, other images, and named parts of those sought."""

    judge: Callable[[Images], Tensor]
    manifold: Tensor  # (m, c, h, w) in [0, 1]
    parts: Mapping[str, slice]


def told(
    model: nn.Module, point: Point, images: Images, found: Inverted, begin: Images, seed: int, by: Judged
) -> tuple[list[Row], Row]:
    """How near a search came, one row for each `part` of the images, and its `layers.way`.

    A row has `layers.summary` of `layers.likeness` and `layers.agreement`; and `mmd`, to the manifold.
    """
    values = layers.likeness(model, point, images, found, begin, seed)
    values |= layers.agreement(by.judge, found.images, images, stream(seed, "copies"))
    off = image_similarity.off_manifold(found.images, by.manifold, by.parts)
    rows = [{"part": part, "mmd": off[part]} | layers.summary(values, of) for part, of in by.parts.items()]
    return rows, layers.way(found, values)


def searched(
    model: nn.Module, images: Images, asked: Sequence[tuple[str, Point, Procedure]], seed: int, by: Judged,
    looked_at: Mapping[str, int],
) -> dict[str, list[Row]]:  # fmt: skip
    """Tables of searches from the seed's noise, each with its name, point and procedure: `rows` and `ways` as `told`.

    And `spectra`: what the layer sees (`layers.seen`) at so many of the images, for the searches that are `looked_at`.
    """
    tables = {"rows": [], "ways": [], "spectra": []}
    for search, point, procedure in asked:
        where = {"search": search, "point": point}
        found = layers.seek(model, point, images, procedure, seed)
        rows, way = told(model, point, images, *found, seed, by)
        tables["rows"] += [where | row for row in rows]
        tables["ways"].append(where | way)
        if search in looked_at:
            seen = layers.seen(model, point, images, *found, seed, looked_at[search])
            tables["spectra"].append({"point": point} | seen)
    return tables


def outcome(
    model: nn.Module, point: Point, images: Images, begin: Images, procedure: Procedure, seed: int, noise: Images
) -> Row:
    """Where a search ends that begins at `begin`: medians over images, and of images the share that is a `collision`.

    `error` is the distance of images over that of the noise; `residual` that of codes, and `relative` the same over the
    length of the target's code.
    """
    found = invert(model, point, images, begin, procedure)
    shift = shifted(model, point, images, stream(seed, "shift"))
    values = measures(found, images, begin, shift)
    return {
        "error": float((found.errors[:, -1] / _distance(noise, images)).median()),
        "residual": float(found.residual.median()),
        "relative": float((found.residual / found.length).median()),
        "collision": float(values["collision"].mean()),
    }


def reading(
    model: nn.Module, point: Point, images: Images, seen: Float[Tensor, "m c h w"], noise: Images, seed: int,
    procedure: Procedure, **how: int | float,
) -> tuple[Row, Images]:  # fmt: skip
    """What a decoder reads that has `seen` other images (`how` it is trained: `decoders.read`), and the search from it.

    Returns:
        Median distances over that of the noise, of what is read, `error`, and of what is then sought, `then`, with the
        first picture of each, `read` and `sought`; and all that is read, (n, c, h, w).
    """
    read = decoders.read(model, point, images, seen, seed, **how)
    then = invert(model, point, images, read, procedure).images
    far = lambda pictures: float((_distance(pictures, images) / _distance(noise, images)).median())
    pictures = {"read": read[0].tolist(), "sought": then[0].tolist()}
    return {"error": far(read), "then": far(then)} | pictures, read


def readings(
    model: nn.Module, points: Sequence[Point], images: Images, seen: Float[Tensor, "m c h w"], noise: Images, seed: int,
    procedure: Procedure, **how: int | float,
) -> tuple[list[Row], dict[Point, Images]]:  # fmt: skip
    """A `reading` at each of the points: the rows, with their `point`, and by point all that is read."""
    found = {point: reading(model, point, images, seen, noise, seed, procedure, **how) for point in points}
    rows = [{"point": point} | row for point, (row, _) in found.items()]
    return rows, {point: read for point, (_, read) in found.items()}


def blind(images: Images, seen: Float[Tensor, "m c h w"], noise: Float[Tensor, "k n c h w"]) -> dict[str, float]:
    """Median distances, over the mean of those of k noises, of what knows no code.

    The mean of the images that were `seen`, and the nearest of them, which takes the target itself to find.
    """
    away = torch.stack([_distance(each, images) for each in noise]).mean(0)
    flat, rows = seen.flatten(1), images.flatten(1)
    mean, nearest = (flat.mean(0) - rows).norm(dim=1), image_similarity.nearest(rows, flat)
    found = {"mean training image": mean, "nearest training image": nearest}
    return {name: float((far / away).median()) for name, far in found.items()}


def one_by_one(model: nn.Module, images: Images, last: str, procedure: Procedure, seed: int) -> list[Row]:
    """Median relative `error` of the search after each `operation`, by kind, up to the first of the last kind."""
    error = lambda point: layers.seek(model, point, images, procedure, seed)[0].relative_error.median()
    kinds = layers.operations(model, images, last)
    return [{"operation": kind, "error": float(error(point))} for point, kind in kinds.items()]


def added(table: pd.DataFrame, by: Sequence[str] = ("condition", "seed")) -> pd.DataFrame:
    """What operations one after the other (`one_by_one`) add to the `error`, one row a network.

    `all` is the error after the last less that after the first; `last` what the last adds, less the most of the others.
    """
    place = table.groupby(list(by)).cumcount()
    after = table.assign(place=place).set_index([*by, "place"])["error"].unstack()
    steps = after.diff(axis=1).iloc[:, 1:]
    most = steps.iloc[:, :-1].max(axis=1).fillna(0)
    return pd.DataFrame({"all": after.iloc[:, -1] - after.iloc[:, 0], "last": steps.iloc[:, -1] - most})


def sampled(model: nn.Module, images: Images, procedure: Procedure, count: int) -> list[Row]:
    """Searches at `count` points, evenly from the first after the input to the last: `point` and `layers.summary`."""
    begin = start(images, stream(0, "photographs"))
    points, rows = list(models.points(model, images[:1]))[1:], []
    for k in np.linspace(0, len(points) - 1, count).round().astype(int):
        found = invert(model, points[k], images, begin, procedure)
        shift = shifted(model, points[k], images, stream(0, "shift"))
        rows.append({"point": points[k]} | layers.summary(measures(found, images, begin, shift)))
    return rows


def _distance(a: Images, b: Images) -> Float[Tensor, "n"]:
    return (a - b).flatten(1).norm(dim=1)
