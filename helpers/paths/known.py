"""Representations whose distances are known: what a metric has to find, and what one minus CKA fails to be."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from helpers.networks.numerics import stream
from helpers.paths.metrics import AngularCKA

PLUG_IN = AngularCKA("plug-in")
IMAGES = 300


class Known(NamedTuple):
    """Two representations, and the angle between them in radians: as it is, and as measured."""

    what: str
    known: float
    measured: float


def _drawn(name: str, *shape: int) -> Tensor:
    return torch.randn(shape, generator=stream(0, name), dtype=torch.float64)


def fading(share: float | int, images: int = IMAGES) -> Float[Tensor, "m 2"]:
    """One feature that fades out while another, independent one fades in, as the share goes from 0 to 1."""
    u, v = _drawn("fading", 2, images)
    return torch.stack([(1 - share) * u, share * v], dim=1)


def in_pieces(pieces: int) -> dict[str, float]:
    """The way from one feature to an independent one, added up from so many pieces, by two would-be distances."""
    shares = torch.linspace(0, 1, pieces + 1, dtype=torch.float64).tolist()
    points = torch.stack([PLUG_IN.embed(fading(share)) for share in shares])
    step = PLUG_IN.distance(points[:-1], points[1:])
    return {"angle": float(step.sum()), "one minus CKA": float((1 - step.cos()).sum())}


def answers() -> list[Known]:
    """Ten labels against two groups of five; features on orthogonal directions; a layer turned, scaled and moved; and the
    same from the arc cosine in single precision, which does not see below a thousandth of a radian."""
    layer, turn = _drawn("known", IMAGES, 40), torch.linalg.qr(_drawn("turn", 40, 40)).Q
    digit, half = torch.arange(IMAGES) % 10, IMAGES // 2
    one, other = torch.zeros(2, IMAGES, 4, dtype=torch.float64)
    one[:half] = layer[:half, :4] - layer[:half, :4].mean(0)
    other[half:] = layer[half:, 4:8] - layer[half:, 4:8].mean(0)
    pairs = {
        "labels against groups of labels": (math.acos(1 / 3), F.one_hot(digit).double(), F.one_hot(digit % 2).double()),
        "orthogonal features": (math.pi / 2, one, other),
        "turned, scaled and moved": (0.0, layer, 3 * layer @ turn + 1),
    }
    found = [
        Known(what, angle, float(PLUG_IN.distance(PLUG_IN.embed(a), PLUG_IN.embed(b))))
        for what, (angle, a, b) in pairs.items()
    ]
    a, b = (PLUG_IN.embed(each).float() for each in (layer.float(), 3 * (layer @ turn).float() + 1))
    single = float((a * b).sum().clamp(max=1).arccos())
    return [*found, Known("the same, arc cosine in single precision", 0.0, single)]
