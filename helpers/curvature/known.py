"""What estimators say of surfaces whose curvature is known: dilution, a cut-off, and corners that hide squares."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.curvature import surfaces
from helpers.curvature.layers import SOLVERS
from helpers.curvature.neighbourhoods import ball
from helpers.curvature.published import at_origin
from helpers.curvature.pull_back import second_fundamental_form
from helpers.networks.numerics import double, stream

Q, RADIUS, NEIGHBOURS = 5, 0.05, 100  # of the unit sphere
AXES, SIDE = 6, 0.1  # of the box


def sphere(features: int) -> tuple[Float[Tensor, "1 K D"], Float[Tensor, "K q"]]:
    """A unit sphere of five dimensions in a space of so many, near one of its points."""
    return surfaces.sphere(Q, features, RADIUS, NEIGHBOURS, stream(0, "sphere", features))


def in_spaces(features: Sequence[int]) -> list[dict[str, int | float]]:
    """Published (`mapc`) and invariant (`kappa_rms`) curvature of the sphere, 1 / radius, by dimension of the space."""
    rows = []
    for count in features:
        z, t = sphere(count)
        kappa = second_fundamental_form(z, t, RADIUS).kappa_rms
        rows.append({"features": count, "mapc": float(at_origin(z, Q).abs().mean()), "kappa_rms": float(kappa)})
    return rows


def in_units(scales: Sequence[float | int], features: int = 64) -> list[dict[str, float]]:
    """Scale times the curvature that each of the SOLVERS finds on the sphere with its coordinates multiplied by it."""
    z, _ = sphere(features)
    mapc = lambda scale, solver: float(double(at_origin(scale * z, Q, **solver).abs()).mean())
    return [
        {"scale": scale} | {name: scale * mapc(scale, solver) for name, solver in SOLVERS.items()} for scale in scales
    ]


def from_corners() -> list[dict[str, str | float]]:
    """Norm of the second derivatives of quadratic forms that only bend along their axes, or only twist.

    As it is (`true`), and as CAML finds it from a `ball` and from the `corners` of a box.
    """
    corners = SIDE * (torch.arange(2**AXES - 1)[:, None] >> torch.arange(AXES) & 1).double()
    near = {"ball": SIDE * ball(AXES, 2**AXES, stream(0, "ball against corners")), "corners": corners}
    forms = torch.randn(2 * AXES, AXES, AXES, generator=stream(0, "hessians"), dtype=torch.float64)
    forms, squares = (forms + forms.mT) / 2, torch.eye(AXES, dtype=torch.float64)
    rows = []
    for name, part in {"squares (f = u²)": squares, "products (f = uv)": 1 - squares}.items():
        found = {where: float(at_origin(surfaces.quadric(t, forms * part), AXES).norm()) for where, t in near.items()}
        rows.append({"map": name, "true": float((forms * part).norm())} | found)
    return rows
