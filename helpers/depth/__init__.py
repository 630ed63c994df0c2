"""What a layer's activation gives back of the image: search, Jacobians, decoders, likeness, dense nets."""

from helpers.depth import decoders, dense, image_similarity, jacobians, laws, layers, outcomes, starts
from helpers.depth.gratings import gratings
from helpers.depth.inversion import (
    equivalent_noise,
    inverse_neighbourhood,
    invert,
    measures,
    projection,
    shifted,
    square_root_law,
    start,
)  # fmt: skip
from helpers.depth.optimisers import LITERAL, PRIMARY, STRONG, Inverted, Procedure
from helpers.depth.portrait import profile
