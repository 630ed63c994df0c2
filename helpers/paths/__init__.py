"""Metrics between representations, their geometry, paths through layers, and pictures of them."""

from helpers.paths import embeddings
from helpers.paths.metrics import AffineInvariant, AngularCKA, AngularShape, EuclideanShape, Stress, gram
from helpers.paths.path import (
    Path,
    dtw,
    frechet,
    matched,
    measure,
    parallel,
    random_walk,
    relative_slack,
    shuffled,
    walk_distance,
)  # fmt: skip
from helpers.paths.portrait import profile
