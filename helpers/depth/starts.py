"""Searches from several starts for each image: does what comes back depend on where one begins?"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.depth.inversion import invert, start
from helpers.depth.optimisers import Procedure
from helpers.networks.activations import Point
from helpers.networks.numerics import stream

Images = Float[Tensor, "n c h w"]


def starts(images: Images, seed: int) -> dict[str, Images]:
    """Five starts by name: the author's noise twice, wide noise, another of the images, grey."""
    draw = lambda number: stream(seed, "starts", number)
    return {
        "noise": start(images, draw(1)),
        "noise again": start(images, draw(2)),
        "wide noise": start(images, draw(3), 0.5, 0.25),
        "another image": images.roll(1, 0),
        "grey": torch.full_like(images, 0.5),
    }


def from_starts(
    model: nn.Module, point: Point, images: Images, procedures: Mapping[str, Procedure], seed: int
) -> tuple[list[dict], dict[str, Float[Tensor, "n k c h w"]]]:
    """Where searches end that begin at the `starts`.

    Returns:
        One row a search, image and start: `code`, the distance of codes over the length of the target's, and `pixels`,
        that of images over the start's. And by procedure the images it ends at, (n, 5, c, h, w).
    """
    begun = torch.stack(list(starts(images, seed).values()), dim=1)
    names, rows, ends = list(starts(images, seed)), [], {}
    away = (begun - images[:, None]).flatten(2).norm(dim=2).flatten()
    wanted = images.repeat_interleave(len(names), 0)
    for how, procedure in procedures.items():
        end = invert(model, point, wanted, begun.flatten(0, 1), procedure)
        code, pixels = (end.residual / end.length).tolist(), (end.errors[:, -1] / away).tolist()
        each = zip(names * len(images), code, pixels)
        rows += [{"how": how, "start": name, "code": c, "pixels": p} for name, c, p in each]
        ends[how] = end.images.unflatten(0, (len(images), -1))
    return rows, ends


def apart(images: Images, seed: int, ends: Float[Tensor, "n k c h w"]) -> Float[Tensor, "m m"]:
    """Root mean square distances between the image, its starts and its ends, in this order, mean over images."""
    begun = torch.stack(list(starts(images, seed).values()), dim=1)
    every = torch.cat([each.flatten(2) for each in (images[:, None], begun, ends)], dim=1)
    return (torch.cdist(every, every) / every.shape[-1] ** 0.5).mean(0)


def told(
    model: nn.Module, point: Point, images: Images, procedures: Mapping[str, Procedure], seed: int, of: str
) -> dict[str, list[dict]]:
    """The rows of `from_starts` as `searches`, and `apart`, the distances among one procedure's ends, a row each."""
    rows, ends = from_starts(model, point, images, procedures, seed)
    begun, table = list(starts(images, seed)), apart(images, seed, ends[of]).tolist()
    names = ["target", *begun, *(f"from {name}" for name in begun)]
    return {"searches": rows, "apart": [{"name": name, "distances": row} for name, row in zip(names, table)]}
