"""Metrics between representations, their geometry, paths through layers, and pictures of them."""

from helpers.paths import bias, embeddings, known, points
from helpers.paths.comparison import (
    against_chance,
    between_kinds,
    dtw,
    frechet,
    matched_distance,
    on_diagonal,
    parallel,
    random_walk,
    shuffled,
)  # fmt: skip
from helpers.paths.metrics import (
    ESTIMATORS,
    AffineInvariant,
    AngularCKA,
    AngularShape,
    EuclideanShape,
    Stress,
    by_name,
    gram,
    unseen,
)  # fmt: skip
from helpers.paths.networks import Atlas, described, grams, lost, reduced, together, varied
from helpers.paths.path import Path, evenly, matched, measure, relative_slack, summary, walk_distance
from helpers.paths.points import stops
from helpers.paths.portrait import profile
