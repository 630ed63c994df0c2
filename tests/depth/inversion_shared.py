"""What the tests of inversion share."""

import inspect
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.transforms.functional import gaussian_blur  # after helpers, which makes it importable without CUDA

from helpers.depth import inversion
from helpers.depth.inversion import LITERAL, PRIMARY, STRONG, Inverted, Procedure, Shift, invert
from helpers.networks import activations
from helpers.networks.numerics import stream

SEEDS = st.integers(0, 2**31 - 1)
PLAIN = Procedure(step="plain", rate=(0.1, 1e-4), constant=0.35, steps=300)  # the author's, for linear layers
POLISH = Procedure(steps=0, polish=200)
SHORT = {
    "plain": Procedure(step="plain", steps=25, rate=(0.01, 0.001)),
    "primary": replace(PRIMARY, steps=25),
    "cosine": replace(PRIMARY, steps=25, decay="cosine", loss="relative"),
    "literal": replace(LITERAL, steps=25, constant=0.01),
    "adam": Procedure(step="adam", steps=25, blur=(1.0, 0.4)),
    "strong": replace(STRONG, steps=15, polish=15),
}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "normal", *shape), dtype=torch.float64)


def seeded(build, seed=0):
    torch.manual_seed(seed)
    return build().double().eval()


def cnn(activation=nn.ReLU):
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), activation(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3),
        nn.BatchNorm2d(8), activation(), nn.Flatten(), nn.Linear(72, 5),
    )  # fmt: skip
    for norm in (model[1], model[5]):
        nn.init.uniform_(norm.running_mean, -0.3, 0.3), nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return model


def linear(matrix):
    layer = nn.Linear(*matrix.T.shape, bias=False, dtype=matrix.dtype)
    with torch.no_grad():
        layer.weight.copy_(matrix)
    return nn.Sequential(layer).eval()


def orthogonal(d, seed=0):
    return torch.linalg.qr(normal(d, d, seed=seed)).Q


def conditioned(d, condition):
    return orthogonal(d) @ torch.diag(torch.logspace(0, -math.log10(condition), d).double()) @ orthogonal(d, 1)


class Through(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


def through(function):
    return nn.Sequential(Through(function)).eval()


@pytest.fixture(scope="module")
def small():
    """A network, images, and starts."""
    images = torch.rand(5, 2, 10, 10, generator=stream(0, "images"), dtype=torch.float64)
    return seeded(cnn), images, inversion.start(images, stream(0, "start"))


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def error(found, images, start):
    return (found.images - images).flatten(1).norm(dim=1) / (start - images).flatten(1).norm(dim=1)


def by_hand(model, images, begun, procedure, adam):
    """One image with torch's own optimisers and schedules, and torchvision's blur; the images of the last steps."""
    x = begun.clone().requires_grad_()
    y = activations.record(model, images, ["6"])["6"]
    first, last = procedure.rate
    optimiser = (torch.optim.Adam if adam else torch.optim.SGD)([x], lr=first)
    count = procedure.steps - 1
    for step in range(procedure.steps):
        away = activations.record(model, x, ["6"], lambda point, activation: activation)["6"] - y
        loss = away.abs().sum() if procedure.loss == "l1" else away.square().sum() / y.square().sum()
        (x.grad,) = torch.autograd.grad(procedure.constant * loss, x)
        if procedure.step == "normalised":
            x.grad /= x.grad.square().mean().sqrt()
        share = {"linear": 1 - step / count, "cosine": (1 + math.cos(math.pi * step / count)) / 2}[procedure.decay]
        optimiser.param_groups[0]["lr"] = last + (first - last) * share
        optimiser.step()
        if procedure.blur:
            sigma = procedure.blur[0] + (procedure.blur[1] - procedure.blur[0]) * step / count
            x.data = gaussian_blur(x.data, [3, 3], [sigma, sigma])
    return x.detach()


def smoothed(images, sigma):
    """A blur seen through `invert`: one step of no length worth mention."""
    still = Procedure(step="plain", rate=(1e-300, 1e-300), steps=1, blur=(sigma, sigma))
    return invert(nn.Identity().eval(), "input", torch.zeros_like(images), images, still).images


class Refusing(nn.Module):
    def forward(self, x):
        raise AssertionError("the pass should have stopped")


def torchs(model, images, begun, steps):
    """The same loss with torch's L-BFGS and its line search, of one image; the residual."""
    x, y = begun.clone().requires_grad_(), activations.record(model, images, ["6"])["6"]
    optimiser = torch.optim.LBFGS([x], max_iter=steps, max_eval=10**6, tolerance_grad=0, tolerance_change=0,
                                  history_size=20, line_search_fn="strong_wolfe")  # fmt: skip

    def loss():
        away = activations.record(model, x, ["6"], lambda point, activation: activation)["6"] - y
        value = away.square().sum() / y.square().sum()
        (x.grad,) = torch.autograd.grad(value, x)
        return value

    optimiser.step(loss)
    return (activations.record(model, x.detach(), ["6"])["6"] - y).norm()


def chi(d):
    return math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))


def by_measure(images, a, begun, residual, length, shift):
    fields = dict.fromkeys(Inverted._fields) | {"images": images, "residual": residual, "length": length}
    return inversion.measures(Inverted(**fields), a, begun, shift)


def half_trained():
    model = seeded(cnn)
    model[1].train()
    return model


def overflowing():
    model = seeded(cnn)
    nn.init.constant_(model[0].weight, math.inf)
    return model


NAN = torch.full((5, 2, 10, 10), math.nan).double()
