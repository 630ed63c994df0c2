"""What searches and exact inverses make of dense networks, as tables: one row a seed, medians over images.

`images` (m, D) are the same for all seeds; `weights` is "torch's" or "orthogonal".
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor

from helpers.depth import dense
from helpers.depth.inversion import inverse_neighbourhood, projection, square_root_law
from helpers.depth.optimisers import Procedure
from helpers.networks.datasets import Dataset
from helpers.networks.numerics import stream

Rows = Float[Tensor, "m D"]
Table = list[dict[str, float | int | str]]
WEIGHTS = ("torch's", "orthogonal")


def searched(
    images: Rows, widths: Sequence[int], seeds: Sequence[int], procedure: Procedure, weights: str = WEIGHTS[0],
    relu: bool = False, logged: int = 0,
) -> Table:  # fmt: skip
    """`error` of a search through dense layers of these widths, and, if `logged`, the `steps` to a tenth of the start.

    Besides, of linear layers the `condition` of their product, of others the Jacobian's `rank` over the pixels.
    """
    net = _network([images.shape[1], *widths], seeds, weights, relu).to(images)
    every = images.repeat(len(seeds), 1)
    found, begin = dense.descended(net, every, procedure, logged or 20)
    columns = {"error": net.medians(dense.error(found.images, every, begin))}
    if logged:
        columns["steps"] = dense.first_below(net, found, every, begin)
    if relu:
        ranks = net.medians(dense.rank_through(net, every).double())
        columns["rank"] = [rank / images.shape[1] for rank in ranks]
    else:
        columns["condition"] = torch.linalg.cond(net.matrices()).tolist()
    return [{"seed": seed} | {name: of[k] for name, of in columns.items()} for k, seed in enumerate(seeds)]


def one_layer(images: Rows, width: int, seeds: Sequence[int], procedures: Mapping[str, Procedure]) -> Table:
    """`error` after one linear layer by `search`, each of the procedures and the pseudo-inverse; and its `law`."""
    pixels = images.shape[1]
    net = _network([pixels, width], seeds, WEIGHTS[0]).to(images)
    every, errors = images.repeat(len(seeds), 1), {}
    for search, procedure in procedures.items():
        found, begin = dense.descended(net, every, procedure)
        errors[search] = dense.error(found.images, every, begin)
    parts = zip(net.weights[0], net.parts(every), net.parts(begin))
    exact = torch.cat([projection(*each) for each in parts])
    errors["pseudo-inverse"] = dense.error(exact, every, begin)
    law = square_root_law(width, pixels)
    return [
        {"search": search, "seed": seed, "error": round(median, 9), "law": law}
        for search, error in errors.items()
        for seed, median in zip(seeds, net.medians(error))
    ]


def neighbourhoods(side: int, layers: int, seeds: Sequence[int], weights: str, deviation: float = 1e-3) -> Table:
    """Distance of pre-images of codes that differ by noise, through square layers, by `precision`: `low` (a tenth), the
    median `distance` and `high` (nine tenths)."""
    net, rows = _network([side] * (layers + 1), seeds, weights), []
    for k, seed in enumerate(seeds):
        for precision in (torch.float64, torch.float32):
            matrices, draw = [weight[k] for weight in net.weights], stream(seed, "neighbours")
            far = inverse_neighbourhood(matrices, deviation, 64, draw, precision)
            low, mid, high = np.percentile(far.cpu().double(), (10, 50, 90)).tolist()
            name = str(precision).removeprefix("torch.")
            rows.append({"seed": seed, "precision": name, "low": low, "distance": mid, "high": high})
    return rows


def steadiness(
    pixels: int, classes: int, seeds: Sequence[int], lesson: Dataset | None = None, batch: int = 128
) -> Table:  # fmt: skip
    """`amplification` of noise by the inverse of three square layers, before training or, given a lesson, after it."""
    net = _network([pixels] * 4 + [classes], seeds, WEIGHTS[0])
    if lesson is not None:
        images = lesson.train_images.flatten(1) / 255
        net = dense.learned(net.to(images), images, lesson.train_labels, batch)
    return [{"seed": seed, "amplification": value} for seed, value in zip(seeds, dense.amplified(net))]


def needed(widths: ArrayLike, passed: ArrayLike) -> float:
    """log2 of the smallest width that passes; of twice the largest if none does."""
    widths = np.asarray(widths, dtype=float)
    enough = widths[np.asarray(passed)]
    return float(np.log2(enough.min() if len(enough) else 2 * widths.max()))


def widths_needed(table: pd.DataFrame, passed: pd.Series) -> pd.DataFrame:
    """`needed` of a table's `width`, one row a `seed`, one column a number of `layers`; `passed` says which rows do."""
    by = table.assign(passed=passed).groupby(["seed", "layers"])
    found = pd.Series({at: needed(rows["width"], rows["passed"]) for at, rows in by})
    return found.rename_axis(["seed", "layers"]).unstack()


def growth(widths: pd.DataFrame) -> pd.Series:
    """What a further layer adds to each row of widths: the slope on the numbers of layers, the columns."""
    return widths.apply(lambda row: np.polyfit(row.index, row, 1)[0], axis=1)


def _network(widths: Sequence[int], seeds: Sequence[int], weights: str, relu: bool = False) -> dense.Dense:
    if weights not in WEIGHTS:
        raise ValueError(f"weights={weights!r}: expected one of {', '.join(WEIGHTS)}")
    return dense.Dense(widths, seeds, relu, weights == "orthogonal")
