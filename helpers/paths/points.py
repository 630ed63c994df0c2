"""Which points of a network its path goes through, and other ways to read them out."""

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.networks.activations import Point, flat, order
from helpers.networks.models import points as known
from helpers.networks.numerics import double, stream

Images = Float[Tensor, "n c h w"]
POOLS_AND_ACTIVATIONS = (nn.ReLU, nn.GELU, nn.MaxPool2d)


def stops(model: nn.Module, images: Images) -> list[Point]:
    """The points of a path, input first, logits last.

    Between them the stem, the blocks after their activation and the average pool of a ResNet or plain network; the
    activations and pools of a VGG; the hidden layers of an MLP. A network that is not ours goes through all its points.
    """
    if "linear" not in getattr(model, "depths", ()):
        return list(known(model, images[:1]))
    inner = dict.fromkeys(["act1", *list(model.depths)[1:-1]])
    if "stage1" in model.depths:
        inner = [p for p in order(model, images[:2]) if isinstance(model.get_submodule(p), POOLS_AND_ACTIVATIONS)]
    return ["input", *inner, "linear"]


def operations(model: nn.Module, images: Images) -> list[Point]:
    """Every convolution, batch norm, activation and sum of a network, those on its shortcuts left out; input first."""
    names = [p for p in order(model, images[:2]) if "shortcut" not in p and "flatten" not in p]
    sums = {p for p in names if p.startswith("layer") and p.endswith(".act2")}
    return ["input", *(each for p in names for each in ([f"{p}:in", p] if p in sums else [p]))]


def before_activation(model: nn.Module, images: Images) -> list[Point]:
    """`stops` of a ResNet or plain network, with the sums that end its blocks before their activation."""
    return [f"{p}.act2:in" if p.startswith("layer") else p for p in stops(model, images)]


def hidden(model: nn.Module, images: Images) -> list[Point]:
    """`stops` without the input."""
    return stops(model, images)[1:]


def halving(rows: pd.DataFrame, column: str) -> pd.Series:
    """Mean of a column at the first block of each later stage, minus that at the other blocks, by `model` and `seed`.

    Those of a ResNet or plain network, which halve the resolution; other networks have none. One row a `point`.
    """
    rows = rows[rows["point"].str.startswith("layer")]
    first = rows["point"].str.fullmatch(r"layer[2-9]\.0")
    mean = lambda part: part.groupby(["model", "seed"])[column].agg(lambda values: values.mean())
    return mean(rows[first]) - mean(rows[~first])


# --- Read-outs: what is taken of an activation (n, ...) at a point ----------------------------------------------


def pooled(point: Point, activation: Tensor) -> Tensor:
    """Feature maps (n, c, h, w) averaged over space, (n, c); all else, and the input, as it is."""
    return activation.mean((2, 3)) if activation.ndim == 4 and point != "input" else activation


def projected(point: Point, activation: Tensor, size: int) -> Float[Tensor, "n d"]:
    """A random projection on `size` directions, the same for layers of one shape; layers with fewer stay as they are."""
    rows = double(flat(activation))
    if rows.shape[1] <= size:
        return rows
    drawn = torch.randn(rows.shape[1], size, generator=stream(0, "projection", rows.shape[1]), dtype=torch.float64)
    return rows @ drawn.to(rows.device)


def probabilities(point: Point, activation: Tensor) -> Tensor:
    """The softmax of the logits (n, classes) of a network of ours; all else as it is."""
    return double(activation).softmax(1) if point == "linear" else activation


def principal(point: Point, activation: Tensor, kept: int, right: bool = True) -> Float[Tensor, "n kept"]:
    """The leading principal components; or, not `right`, columns of the wrong side of the decomposition.

    Until May 2023 the released code of Lange et al. took the latter, which keep little of the variance.
    """
    rows = double(flat(activation - activation.mean(0)))
    v = torch.linalg.svd(rows.mT @ rows).Vh  # its rows are the principal axes
    return rows @ (v.mT if right else v)[:, :kept]


def share(activation: Tensor, part: Float[Tensor, "n d"]) -> float:
    """How much of the variance over images a part of an activation keeps, 0 to 1."""
    return float(part.square().sum() / double(activation - activation.mean(0)).square().sum())
