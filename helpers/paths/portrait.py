"""How far the points of a network go, and how far the target is: the paths' part of a portrait."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.networks.activations import Point, flat, record
from helpers.paths.embeddings import span
from helpers.paths.geometry import Metric
from helpers.paths.path import measure


def profile(
    model: nn.Module, images: Float[Tensor, "n c h w"], target: Float[Tensor, "n k"], points: Sequence[Point], metric: Metric
) -> dict[Point, dict[str, float]]:
    """By point, in the metric's unit: the `step` from the point before, NaN for the first, and the distance to the
    `target`; NaN where the target is the same for all images, as the answers of an untrained network may be."""
    embedded = list(record(model, images, points, lambda point, activation: metric.embed(flat(activation))).values())
    told_apart = len(target.unique(dim=0)) > 1
    stack = span(torch.stack([*embedded, metric.embed(target) if told_apart else embedded[0]]))
    path = measure(metric, stack[:-1], stack[-1])
    far = path.to_target.tolist() if told_apart else [math.nan] * len(points)
    steps = [math.nan, *path.step.tolist()]
    return {point: {"step": step, "target": angle} for point, step, angle in zip(points, steps, far)}
