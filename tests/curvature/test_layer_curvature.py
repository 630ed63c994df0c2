"""Curvature of a network's layers: known surfaces as layers, batches that do not matter, and what a portrait holds."""

import math

import pytest
import torch
from torch import nn

from helpers import curvature, networks
from helpers.curvature import Ball, layers, portrait, readouts, surfaces
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


def smooth_ball():
    return Ball.drawn(2, 0.3, stream(0), curvature.smooth_chart((1, 8, 8), 2, stream(0)))


@pytest.mark.parametrize("radius", [1.0, 3.0])
def test_a_layer_that_is_a_sphere_has_its_curvature(radius):
    images, eps, sphere = torch.zeros(3, 1, 1, 2, dtype=torch.float64), 0.05, Sphere(radius).requires_grad_(False)
    ball = Ball.drawn(2, eps, stream(0), torch.eye(2, dtype=torch.float64), count=64)
    found = layers.on_ball(sphere, images, ["out"], ball)["out"]
    bend = eps / (2 * radius) * math.sqrt((2 + 2) / (2 + 4))
    assert found["kappa_rms"] == pytest.approx([1 / radius] * 3, rel=5e-3)
    assert found["bend"] == pytest.approx([bend] * 3, rel=5e-3)
    assert layers.invariant(sphere, images, ["out"], ball)["out"]["bend"] == pytest.approx(bend, rel=5e-3)
    exact = layers.by_derivatives(sphere, images, "out", ball)
    assert exact.kappa_rms == pytest.approx([1 / radius] * 3, rel=1e-9)
    assert layers.limit(sphere, images, "out", ball) == pytest.approx(bend / eps, rel=1e-9)


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
    ways, ball = [], smooth_ball()
    for batch in (8, 4):
        monkeypatch.setattr(layers, "BATCH", batch)
        net = networks.double(small())
        corners = layers.on_corners(net, networks.double(images), dims, 4, ["mapc_float64"])
        balls = layers.on_ball(net, networks.double(images), ["act2", "linear"], ball)
        ways.append([corners["act2"]["mapc_float64"], corners["linear"]["median"], balls["linear"]["bend"]])
        assert all(len(values) == 11 for values in ways[-1])
    for one, other in zip(*ways):
        assert torch.allclose(one, other, rtol=1e-7)


def test_a_dimension_above_what_the_box_has_is_lowered():
    found = layers.on_corners(small(), pictures(3), {"act1": 1000, "linear": 1000}, keep=3)
    assert all(values.isfinite().all() for point in found.values() for values in point.values())


def test_read_outs_are_told_at_the_penultimate_point_alone():
    also = lambda z, ball: readouts.random_readouts(z, ball, 4, 5)
    found = layers.on_ball(small(), pictures(3), ["act1", "act2", "linear"], smooth_ball(), also)
    assert [point for point in found if "readout" in found[point]] == ["act2"]
    assert (found["act2"]["readout"] > 0).all()


def test_random_read_outs_of_a_plane_do_not_bend():
    ball = Ball.drawn(2, 1.0, stream(0))
    flat = (ball.coordinates @ torch.randn(2, 30, generator=stream(0), dtype=torch.float64))[None]
    assert float(readouts.random_readouts(flat, ball, 4, 3, stream(1))) < 1e-10
    assert readouts.by_number(flat, ball, [4], 3)[0]["bend"] < 1e-10


def test_read_outs_that_are_more_have_more_normals_and_less_published_curvature():
    """A sphere bends into one normal of 38, and 40 read-outs together nearly keep its lengths, as four do not."""
    z, t = surfaces.sphere(2, 40, 0.1, 64, stream(0))
    few, many = readouts.by_number(z, Ball(t, 0.1), [4, 40], 20)
    assert [few["outputs"], many["outputs"]] == [4, 40]
    assert many["mapc"] == pytest.approx(1 / 38, rel=0.4) and few["mapc"] > 4 * many["mapc"]
    exact = 0.1 / 2 * math.sqrt((2 + 2) / (2 + 4))
    assert many["bend"] == pytest.approx(exact, rel=0.3)
    other = readouts.random_readouts(z, Ball(t, 0.1), 40, 20, stream(0, "read-outs"))
    assert many["bend"] == float(other)  # by default that stream


def test_displacements_are_those_of_the_neighbours():
    ball, net, images = smooth_ball(), networks.double(small()), networks.double(pictures(9))
    found = layers.displacements(net, images, ["act1"], ball)["act1"]
    moved = networks.record(net, ball.around(images)[8], ["act1"])["act1"]
    there = networks.record(net, images[8:], ["act1"])["act1"]
    assert torch.allclose(found[8], networks.flat(moved - there)) and found.shape[:2] == (9, 32)


def test_published_values_are_means_and_invariant_ones_medians():
    images, net = pictures(5), small()
    found = layers.on_corners(net, images, {"act2": 3}, 4)["act2"]
    means = layers.published(net, images, {"act2": 3}, 4)["act2"]
    assert means == {name: pytest.approx(float(values.double().mean())) for name, values in found.items()}
    exact = layers.on_ball(networks.double(small()), images, ["act2"], smooth_ball())["act2"]
    medians = layers.invariant(net, images, ["act2"], smooth_ball())["act2"]
    assert medians == {name: pytest.approx(float(values.median())) for name, values in exact.items()}
    assert net.conv1.weight.dtype == torch.float32  # the network itself stays as it is


def test_solvers_stand_side_by_side():
    images, net, dims = pictures(5), small(), {"act2": 3, "linear": 2}
    found = layers.by_solver(net, images, dims, smooth_ball(), 4)
    assert list(found) == ["act2", "linear"] and list(found["act2"]) == [*layers.SOLVERS, "bend", "scale"]
    assert found["act2"]["mapc"] == layers.published(net, images, dims, 4)["act2"]["mapc"]
    exact = layers.on_corners(networks.double(small()), networks.double(images), dims, 4, ["mapc_float64"])
    assert found["act2"]["mapc_float64"] == pytest.approx(float(exact["act2"]["mapc_float64"].mean()), rel=1e-12)
    forms = layers.invariant(net, images, list(dims), smooth_ball())
    assert found["linear"]["bend"] == forms["linear"]["bend"] and found["act2"]["scale"] == forms["act2"]["scale"]


def test_the_input_is_measured_among_its_nearest_images():
    """Twice as many neighbours as dimensions, of a cloud that has three; in the unit of the pixels."""
    plane = torch.rand(600, 3, generator=stream(0, "cloud"))
    cloud = torch.cat([plane, plane.square().roll(1, 1), torch.zeros(600, 2)], dim=1)
    assert round(curvature.two_nn(cloud)) == 3
    expected = curvature.caml(cloud, curvature.nearest(cloud, 6), 3, dtype=torch.float32).abs().mean()
    images = cloud.reshape(600, 1, 2, 4)
    assert layers.on_nearest(images) == pytest.approx(float(expected), rel=1e-6)
    assert layers.on_nearest(2 * images) == pytest.approx(float(expected) / 2, rel=1e-2)
    assert math.isnan(layers.on_nearest(torch.randn(40, 1, 16, 16, generator=stream(0, "noise"))))


def test_the_box_has_as_many_dimensions_as_singular_values_or_as_are_kept():
    full, low = pictures(3), pictures(12)
    low[:8, :, 3:] = 0  # images of rank 3 in the first batch
    assert [layers.box(full, 5), layers.box(full, 10), layers.box(low[:8], 10)] == [5, 8, 3]
    assert layers.box(low, 10) == 8  # the second batch


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
    found = portrait.profile(net, images[:4], images, ["input", "act2", "linear"], chart, ball, 0.3)
    assert found["input"]["bend"] < 1e-12 and found["act2"]["bend"] > 1e-3  # a chart is flat, ReLUs are not
    activation = networks.record(net, images, ["act2"])["act2"]
    assert found["act2"]["dimension"] == curvature.two_nn(networks.flat(activation))
    assert net.conv1.weight.dtype == torch.float32  # the network itself stays as it is


def test_a_portrait_of_both_estimators():
    images, net, balls = pictures(40), small(), {2: smooth_ball(), 1: Ball.drawn(1, 0.3, stream(0))}
    points, also = ["input", "act2", "linear"], lambda z, ball: readouts.random_readouts(z, ball, 10, 3)
    found = portrait.both(net, images[:4], images, points, balls, 4, also)
    clouds = layers.dimensions(net, images, points)
    dims = {point: max(1, round(clouds[point]["two_nn"])) for point in points[1:]}
    published = layers.published(net, images[:4], dims, 4)
    for point in points:
        assert clouds[point].items() <= found[point].items()
        for q, ball in balls.items():
            form = layers.invariant(net, images[:4], points, ball, also)[point]
            assert {f"{name}_q{q}": value for name, value in form.items()}.items() <= found[point].items()
    assert "mapc" not in found["input"] and found["linear"]["mapc"] == published["linear"]["mapc"]
    assert [point for point in points if "readout_q2" in found[point]] == ["act2"]
