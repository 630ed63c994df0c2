"""Metrics between representations, their geometry, paths through layers, and pictures of them."""

from helpers.paths import bias, embeddings, points
from helpers.paths.comparison import between_kinds, dtw, frechet, matched_distance, parallel, random_walk, shuffled
from helpers.paths.geometry import Sphere
from helpers.paths.metrics import ESTIMATORS, AffineInvariant, AngularCKA, AngularShape, EuclideanShape, Stress, gram
from helpers.paths.networks import Atlas, described, grams, lost, together, varied
from helpers.paths.path import Path, evenly, matched, measure, relative_slack, summary, walk_distance
from helpers.paths.points import stops
from helpers.paths.portrait import profile
