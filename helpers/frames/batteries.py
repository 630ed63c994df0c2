"""Batteries: groups of directions at each image that are pushed together, and what a layer does to each of them.

The statistics are those of `helpers.frames.grams`, medians over images; noise is white, or has the image's spectrum.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.frames.directions import matched_noise, white_noise
from helpers.frames.flows import FAMILIES, Images, Vectors, generators
from helpers.frames.grams import (
    Gram,
    PerVector,
    Scalars,
    angular_gain,
    cosines,
    noise_gain,
    principal_angles,
    relative_gain,
    sensitivity,
    stable_rank,
    unit_columns,
)  # fmt: skip
from helpers.frames.push_forward import gram, noise_gain_at_output
from helpers.frames.spans import captured
from helpers.networks.activations import Point

Rows = list[dict[str, str | float]]


@dataclass(frozen=True)
class Battery:
    """Groups of unit vectors at each of n images, one group after the other.

    Attributes:
        names: of the vectors of the group `augmentation`; the vectors of any other group go by its name alone.
        groups: (n, k, c, h, w) by name, `augmentation`, `white` and `matched` noise first.
    """

    names: tuple[str, ...]
    groups: dict[str, Tensor]

    def more(self, **groups: Vectors) -> "Battery":
        """The same with further groups at its end."""
        return replace(self, groups=self.groups | groups)

    @property
    def vectors(self) -> Vectors:
        """All of them, (n, sum of k, c, h, w)."""
        return torch.cat(list(self.groups.values()), dim=1)

    @property
    def families(self) -> dict[str, list[str]]:
        """The names of the augmentations by `flows.FAMILIES`."""
        return {family: [name for name in self.names if name in known] for family, known in FAMILIES.items()}

    def place(self, group: str) -> list[int]:
        """Where the vectors of a group stand among all. ValueError for a group that there is not."""
        if group not in self.groups:
            raise ValueError(f"group: {group!r}, expected one of {', '.join(self.groups)}")
        before = sum(self.groups[name].shape[1] for name in list(self.groups)[: list(self.groups).index(group)])
        return list(range(before, before + self.groups[group].shape[1]))

    def by_name(self, values: PerVector) -> dict[str, Scalars]:
        """Values (n, sum of k) of each augmentation, and the root mean square over each other group, (n,)."""
        single = dict(zip(self.names, values[:, self.place("augmentation")].unbind(1)))
        return single | {name: _rms(values[:, self.place(name)]) for name in self._unnamed}

    def examples(self, image: int = 0) -> dict[str, Float[Tensor, "c h w"]]:
        """Every augmentation's vector at an image, and the first of each other group; on the CPU, to be looked at."""
        single = dict(zip(self.names, self.groups["augmentation"][image].cpu()))
        return single | {name: self.groups[name][image, 0].cpu() for name in self._unnamed}

    def inside(self, *groups: str) -> Rows:
        """The share of each augmentation's energy in the span of each of these groups, of orthonormal vectors.

        One row a group (`span`) and `vector`, the `share` a median over images.
        """
        found = {group: captured(self.groups["augmentation"], self.groups[group]).unbind(1) for group in groups}
        return [
            {"span": group, "vector": name, "share": _median(share)}
            for group, shares in found.items()
            for name, share in zip(self.names, shares)
        ]

    @property
    def _unnamed(self) -> list[str]:
        return [name for name in self.groups if name != "augmentation"]


def battery(images: Images, noises: int, white: torch.Generator, matched: torch.Generator) -> Battery:
    """The augmentations that the images can have, and so many vectors of either noise, from (CPU) generators."""
    named = generators(images)
    noise = {"white": white_noise(images, noises, white), "matched": matched_noise(images, noises, matched)}
    return Battery(named.names, {"augmentation": named.vectors} | noise)


def described(
    model: nn.Module,
    images: Images,
    battery: Battery,
    depths: Mapping[Point, float],
    *,
    exact: bool = True,
    by_image: str = "",
) -> dict[str, Rows]:
    """What a network does to a battery: tables of rows, which begin with `point` and `depth`.

    `vectors` has a row for each point and name (`Battery.by_name`) with the medians over images of `gains`; `ranks` one
    for each point, `ranks`. With `by_image`, the name of a vector, `images` has the `gains` of it at the last point,
    one row an `image`.

    Args:
        depths: the relative depth of each point, in order.
        exact: take the gain of white noise at the last point in expectation, with one reverse pass an output.
    """
    last, tables = list(depths)[-1], {"vectors": [], "ranks": []}
    white = {last: noise_gain_at_output(model, images, last)} if exact else {}
    for point, pushed in gram(model, images, battery.vectors, list(depths)).items():
        place = {"point": point, "depth": depths[point]}
        found = {name: battery.by_name(each) for name, each in gains(pushed, battery, white.get(point)).items()}
        for vector in found["rho"]:
            medians = {name: _median(values[vector]) for name, values in found.items()}
            tables["vectors"].append(place | {"vector": vector} | medians)
        tables["ranks"].append(place | ranks(pushed, battery))
        if by_image and point == last:
            columns = {name: values[by_image].tolist() for name, values in found.items()}
            rows = (dict(zip(columns, row)) for row in zip(*columns.values()))
            tables["images"] = [place | {"image": image} | row for image, row in enumerate(rows)]
    return tables


def gains(gram: Gram, battery: Battery, white: Scalars | None = None) -> dict[str, PerVector]:
    """What a layer does to each vector of a battery, (n, k).

    `rho` and `matched` are gains relative to white noise and to noise with the image's spectrum; `angular_matched` is
    as `matched` of the part across the activation, of the noise as well; `sensitivity` and `angular_sensitivity` are
    lengths, whole and across, over that of the activation.

    Args:
        white: the gain of white noise (n,), where it is known better than from the battery's own vectors.
    """
    angular, noise = angular_gain(gram), battery.place("matched")
    return {
        "rho": relative_gain(gram, gram.part(battery.place("white")) if white is None else white),
        "matched": relative_gain(gram, noise_gain(gram.part(noise))),
        "sensitivity": sensitivity(gram),
        "angular_matched": angular / _rms(angular[:, noise])[:, None],
        "angular_sensitivity": angular / gram.norm[:, None],
    }


def ranks(gram: Gram, battery: Battery) -> dict[str, float]:
    """How distinct a pushed battery is, medians over images.

    `sr_GROUP` is the stable rank of the augmentations, of local principal directions where there are any, and of as
    many vectors of either noise as there are augmentations; `sr_unit` that of the augmentations scaled to length one.
    `cosine` is the mean absolute cosine between two augmentations; `angle` the smallest one between the spans of the
    groups `local` and `generated`, in degrees.
    """
    k, frame = len(battery.names), gram.part(battery.place("augmentation"))
    parts = {name: gram.part(battery.place(name)[:k]) for name in ("white", "matched")} | {"augmentation": frame}
    if "local" in battery.groups:
        parts["local"] = gram.part(battery.place("local"))
    found = {f"sr_{name}": _median(stable_rank(part)) for name, part in parts.items()}
    cosine = (cosines(frame).abs().sum((1, 2)) - k) / (k * (k - 1))
    found |= {"sr_unit": _median(stable_rank(unit_columns(frame))), "cosine": _median(cosine)}
    if {"local", "generated"} <= set(battery.groups):
        angles = principal_angles(gram, battery.place("local"), battery.place("generated"))
        found["angle"] = _median(torch.rad2deg(angles[:, 0]))
    return found


def _rms(values: PerVector) -> Scalars:
    return values.square().mean(1).sqrt()


def _median(values: Scalars) -> float:
    """Over the images where there is a value."""
    return float(values.nanmedian())
