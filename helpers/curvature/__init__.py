"""How curved the image manifold is at a layer: CAML as published, an invariant estimator, and neighbourhoods."""

from helpers.curvature import known
from helpers.curvature.along_depth import courses, last_steps
from helpers.curvature.dimension import pca_dimension, two_nn
from helpers.curvature.layers import box, by_solver, displacements, invariant, limit, on_nearest
from helpers.curvature.neighbourhoods import (
    Ball,
    ball,
    charts,
    nearest,
    neighbours,
    pca_chart,
    smooth_chart,
    svd_chart,
    svd_corners,
)
from helpers.curvature.portrait import both, profile
from helpers.curvature.published import caml
from helpers.curvature.pull_back import Form, second_fundamental_form
from helpers.curvature.readouts import by_number, random_readouts
