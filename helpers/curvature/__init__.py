"""How curved the image manifold is at a layer: CAML as published, an invariant estimator, and neighbourhoods."""

from helpers.curvature import surfaces
from helpers.curvature.dimension import pca_dimension, two_nn
from helpers.curvature.layers import (
    SOLVERS,
    by_derivatives,
    dimensions,
    median,
    on_ball,
    on_corners,
    profile,
    random_readouts,
    through,
)
from helpers.curvature.neighbourhoods import ball, nearest, neighbours, pca_chart, smooth_chart, svd_chart, svd_corners
from helpers.curvature.published import caml
from helpers.curvature.pull_back import Form, second_fundamental_form
