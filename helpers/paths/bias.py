"""How many images an estimator of Angular CKA needs: clouds of which everything is known, and subsets of real images.

The clouds are those of the authors' diagnostics: x Gaussian, y and z each x plus its own noise (Lange et al. 2023).
"""

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from helpers.networks.numerics import stream
from helpers.paths.metrics import ESTIMATORS, AngularCKA, gram

NOISE = 4 / 32  # variance, as in the authors' diagnostics


def cloud(images: int, features: int, generator: torch.Generator, noise: float = NOISE) -> list[Float[Tensor, "m m"]]:
    """Gram matrices of x, y and z, of so many images and features, the last two x with noise of this variance added."""
    drawn = torch.randn(3, images, features, generator=generator, dtype=torch.float64)
    return [gram(drawn[0] + (noise**0.5 * drawn[k] if k else 0)) for k in range(3)]


def expected_length(images: int, features: int, estimator: str, noise: float = NOISE) -> float:
    """Closed form, leading order, of the length of the path x, y, z by an estimator; the true one if it is "unbiased"."""
    share = {"plug-in": features / images, "low-bias": features / images**2}.get(estimator, 0)
    spread = (1 + noise) ** np.array([1, 2])  # one over the true cosines
    return float(np.arccos((1 + spread * share) / (spread * (1 + share))).sum())


def subset(g: Float[Tensor, "m m"], chosen: Int64[Tensor, "k"]) -> Float[Tensor, "k k"]:
    """Gram matrix of some of the images, centred again."""
    g = g[chosen][:, chosen]
    return g - g.mean(0) - g.mean(1, keepdim=True) + g.mean()


def by_estimator(layers: Sequence[Float[Tensor, "m m"]]) -> list[dict]:
    """Length of a path of Gram matrices, and mean angle at the points inside, in radians: one row an estimator."""
    rows = []
    for estimator in ESTIMATORS:
        metric = AngularCKA(estimator)
        points = torch.stack([metric.from_gram(g) for g in layers])
        angle = metric.angle(points[:-2], points[1:-1], points[2:]).nanmean()
        length = metric.distance(points[:-1], points[1:]).sum()
        rows.append({"estimator": estimator, "length": float(length), "angle": float(angle)})
    return rows


def clouds(seed: int, images: int, features: int, repeats: int) -> list[dict]:
    """`by_estimator` of so many draws of a `cloud`, each from a stream of its own."""
    streams = (stream(seed, "bias", images, draw) for draw in range(repeats))
    return [row for each in streams for row in by_estimator(cloud(images, features, each))]


def subsets(seed: int, layers: Iterable[Float[Tensor, "m m"]], counts: Sequence[int], repeats: int) -> list[dict]:
    """`by_estimator` of a path from some of its images: so many draws for each of the numbers that there are."""
    layers, rows = list(layers), []
    total, device = len(layers[0]), layers[0].device
    for images, draw in product([count for count in counts if count <= total], range(repeats)):
        chosen = torch.randperm(total, generator=stream(seed, "subset", images, draw))[:images].to(device)
        rows += [row | {"images": images} for row in by_estimator([subset(g, chosen) for g in layers])]
    return rows


def biases(draws: pd.DataFrame) -> pd.DataFrame:
    """Mean `length` and `angle` over draws by `estimator`, `seed` and number of `images`; and, as `length_bias` and
    `angle_bias`, their relative difference from the unbiased estimator on the same images."""
    means = draws.groupby(["estimator", "seed", "images"])[["length", "angle"]].mean()
    usual = means.xs("unbiased").reindex(means.index.droplevel("estimator")).to_numpy()
    return means.join((means / usual - 1).abs().rename(columns="{}_bias".format)).reset_index()


def falling(biases: pd.DataFrame, estimator: str) -> pd.Series:
    """Slope of the log bias of the length on the log number of images, by seed; NaN where there is one number alone."""
    rows = biases[biases["estimator"] == estimator]
    return pd.Series({seed: _slope(part) for seed, part in rows.groupby("seed")}).rename_axis("seed")


def _slope(rows: pd.DataFrame) -> float:
    if rows["images"].nunique() < 2:
        return float("nan")
    return float(np.polyfit(np.log(rows["images"]), np.log(rows["length_bias"]), 1)[0])


def excess(biases: pd.DataFrame, estimator: str) -> pd.Series:
    """Decades by which the bias of the length exceeds that of the angle at the fewest images, by seed."""
    rows = biases[(biases["estimator"] == estimator) & (biases["images"] == biases["images"].min())].set_index("seed")
    return np.log10(rows["length_bias"] / rows["angle_bias"])
