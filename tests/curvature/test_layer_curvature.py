"""Curvature of a network's layers: known surfaces as layers, batches that do not matter, and what a portrait holds."""

import math

import pytest
import torch
from torch import nn

from helpers import curvature, networks
from helpers.curvature import layers, surfaces
from helpers.networks import models
from helpers.networks.numerics import stream


class Sphere(nn.Module):
    """Flat images (n, 1, 1, 2) wrapped onto a sphere of a radius; `out` is the sphere."""

    def __init__(self, radius):
        super().__init__()
        self.radius, self.out = nn.Parameter(torch.tensor(float(radius), dtype=torch.float64)), nn.Identity()

    def forward(self, x):
        x = x.flatten(1) / self.radius
        height = (1 - x.square().sum(1, keepdim=True)).sqrt()
        return self.out(self.radius * torch.cat([x, height], dim=1))


def small():
    return models.build("cnn4-w4", classes=10).eval().requires_grad_(False)


def pictures(n=11):
    return torch.rand(n, 1, 8, 8, generator=stream(0, "pictures"))


@pytest.mark.parametrize("radius", [1.0, 3.0])
def test_a_layer_that_is_a_sphere_has_its_curvature(radius):
    images, eps, sphere = torch.zeros(3, 1, 1, 2, dtype=torch.float64), 0.05, Sphere(radius).requires_grad_(False)
    chart, ball = torch.eye(2, dtype=torch.float64), eps * curvature.ball(2, 64, stream(0))
    found = layers.on_ball(sphere, images, ["out"], lambda part: chart, ball, eps)["out"]
    bend = eps / (2 * radius) * math.sqrt((2 + 2) / (2 + 4))
    assert found["kappa_rms"] == pytest.approx([1 / radius] * 3, rel=5e-3)
    assert found["bend"] == pytest.approx([bend] * 3, rel=5e-3)
    exact = layers.by_derivatives(sphere, images, "out", chart, ball, eps)
    assert exact.kappa_rms == pytest.approx([1 / radius] * 3, rel=1e-9)


@pytest.mark.parametrize("q", [2, 5])
def test_known_surfaces_are_what_they_say(q):
    z, t = surfaces.sphere(q, 12, 0.1, 200, stream(0))
    assert z.shape == (1, 200, 12) and t.shape == (200, q)
    assert curvature.second_fundamental_form(z, t, 0.1).kappa_rms == pytest.approx([1.0], rel=1e-2)
    # The point itself lies at distance 1 from the centre, one along the first normal below it.
    chord = z[0].square().sum(1)
    assert torch.allclose(chord, 2 - 2 * (1 - t.square().sum(1)).sqrt())
    forms = torch.diag(torch.arange(1.0, q + 1, dtype=torch.float64))[None]
    flat = surfaces.quadric(t, forms)
    assert torch.allclose(flat[0, :, q], (t.square() * torch.arange(1.0, q + 1)).sum(1) / 2)
    found = curvature.second_fundamental_form(flat, t, 0.1)
    assert found.norm == pytest.approx([float(forms.norm())], rel=5e-2)


def test_batches_of_images_do_not_matter(monkeypatch):
    """But for the box, whose rank is the least in a batch: all these images have the full one."""
    images, dims = pictures(), {"act2": 3, "linear": 2}
    chart, ball = curvature.smooth_chart((1, 8, 8), 2, stream(0)), 0.3 * curvature.ball(2, 32, stream(0))
    ways = []
    for batch in (8, 4):
        monkeypatch.setattr(layers, "BATCH", batch)
        net = networks.double(small())
        corners = layers.on_corners(net, networks.double(images), dims, 4, ["mapc_float64"])
        balls = layers.on_ball(net, networks.double(images), ["act2", "linear"], lambda part: chart, ball, 0.3)
        ways.append([corners["act2"]["mapc_float64"], corners["linear"]["median"], balls["linear"]["bend"]])
        assert all(len(values) == 11 for values in ways[-1])
    for one, other in zip(*ways):
        assert torch.allclose(one, other, rtol=1e-7)


def test_a_dimension_above_what_the_box_has_is_lowered():
    found = layers.on_corners(small(), pictures(3), {"act1": 1000, "linear": 1000}, keep=3)
    assert all(values.isfinite().all() for point in found.values() for values in point.values())


def test_read_outs_are_told_at_the_penultimate_point_alone():
    chart, ball = curvature.smooth_chart((1, 8, 8), 2, stream(0)), 0.3 * curvature.ball(2, 32, stream(0))
    also = lambda z: layers.random_readouts(z, ball, 0.3, 4, 5, stream(0, "read-outs"))
    found = layers.on_ball(small(), pictures(3), ["act1", "act2", "linear"], lambda part: chart, ball, 0.3, also)
    assert [point for point in found if "readout" in found[point]] == ["act2"]
    assert (found["act2"]["readout"] > 0).all()


def test_random_read_outs_of_a_plane_do_not_bend():
    ball = curvature.ball(2, 32, stream(0))
    flat = (ball @ torch.randn(2, 30, generator=stream(0), dtype=torch.float64))[None]
    assert float(layers.random_readouts(flat, ball, 1.0, 4, 3, stream(1))) < 1e-10


def test_activations_that_differ_by_rounding_are_taken_again_in_double_precision():
    class Faint(nn.Module):
        """Images that are told apart in float64 only."""

        def __init__(self):
            super().__init__()
            self.scale, self.out = nn.Parameter(torch.tensor(1e-9)), nn.Identity()

        def forward(self, x):
            return self.out(1 + self.scale * x.flatten(1)[:, :3])

    found = layers.dimensions(Faint().requires_grad_(False), pictures(60), ["out"])["out"]
    exact = curvature.two_nn(1 + 1e-9 * pictures(60).flatten(1)[:, :3].double())
    assert found["features"] == 3 and found["two_nn"] == pytest.approx(exact, rel=1e-2)


def test_the_median_of_what_is_not_finite_is_not_a_number():
    assert layers.median(torch.tensor([3.0, 1.0, 2.0])) == 2.0
    assert math.isnan(layers.median(torch.tensor([1.0, math.inf])))


def test_a_portrait_holds_bend_and_dimension_by_point():
    chart, ball = curvature.smooth_chart((1, 8, 8), 2, stream(0)), 0.3 * curvature.ball(2, 32, stream(0))
    images, net = pictures(40), small()
    found = layers.profile(net, images[:4], images, ["input", "act2", "linear"], chart, ball, 0.3)
    assert found["input"]["bend"] < 1e-12 and found["act2"]["bend"] > 1e-3  # a chart is flat, ReLUs are not
    activation = networks.record(net, images, ["act2"])["act2"]
    assert found["act2"]["dimension"] == curvature.two_nn(networks.flat(activation))
    assert net.conv1.weight.dtype == torch.float32  # the network itself stays as it is
