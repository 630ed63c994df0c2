"""Inversion: layers whose inverse we know, the law of linear maps, loops beside batches, and what goes wrong."""

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


# --- Layers whose inverse we know


@pytest.mark.parametrize("matrix", [torch.eye(48).double(), orthogonal(48)], ids=["identity", "orthogonal"])
def test_layers_that_keep_everything_give_the_image_back(matrix):
    """STRONG, of 200 steps, and plain ones of a decaying rate; PRIMARY's floor is its last step, 0.003 a pixel."""
    images = torch.rand(6, 48, generator=stream(0), dtype=torch.float64)
    begun = inversion.start(images, stream(1))
    strong = replace(STRONG, steps=200, polish=50)
    bounds = {strong: 1e-8, replace(PLAIN, rate=(0.1, 1e-5), constant=1.0): 1e-3, PRIMARY: 0.02}
    for procedure, bound in bounds.items():
        found = invert(linear(matrix), "0", images, begun, procedure)
        assert error(found, images, begun).max() < bound, procedure
        close(found.residual, (found.images - images).norm(dim=1), 1e-9)  # lengths are kept
        assert not found.diverged.any()
    images, begun = (each.view(6, 3, 4, 4) for each in (images, begun))
    assert error(invert(nn.Identity().eval(), "input", images, begun, strong), images, begun).max() < 1e-8


@pytest.mark.parametrize(("width", "distance"), [(1000, 0.005), (2000, 0.1)])
def test_descent_on_linear_maps_ends_at_the_projection(width, distance):
    """And its error is sqrt(1 - rank / pixels), at the paper's size: 2523 pixels, the author's rates."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2523, width)).eval()
    images = torch.rand(16, 2523, generator=stream(0))
    begun = inversion.start(images, stream(1))
    found = invert(model, "0", images, begun, PLAIN)
    ends = inversion.projection(model[0].weight.detach(), images, begun)
    assert (found.images - ends).norm() < distance * (ends - images).norm()
    ratio = error(found, images, begun) / error(found._replace(images=ends), images, begun)
    assert (ratio - 1).abs().max() < 0.005
    law = inversion.square_root_law(width, 2523)
    assert float(error(found, images, begun).mean()) == pytest.approx(law, rel=0.02)
    assert law == pytest.approx(math.sqrt(1 - width / 2523))


def test_adam_breaks_the_law():
    """It scales each pixel by itself and so leaves the row space; plain steps and L-BFGS do not."""
    matrix, images = normal(20, 50) / 7, torch.rand(16, 50, generator=stream(0), dtype=torch.float64)
    begun = inversion.start(images, stream(1))
    ends, adam = inversion.projection(matrix, images, begun), replace(STRONG, steps=300, polish=0)
    for procedure in (adam, POLISH, Procedure("relative", "plain", (0.5, 0.5), steps=300)):
        found = invert(linear(matrix), "0", images, begun, procedure)
        assert (found.residual / found.length).max() < 1e-3
        away = (found.images - ends).norm(dim=1) / (ends - images).norm(dim=1)
        assert away.min() > 0.05 if procedure.step == "adam" else away.max() < 0.005


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, m=st.integers(1, 9), d=st.integers(1, 9), rank=st.integers(0, 9))
def test_projection_is_that_of_the_pseudo_inverse(seed, m, d, rank):
    matrix = normal(m, rank, seed=seed) @ normal(rank, d, seed=seed + 1)
    images, begun = normal(4, d, seed=seed), normal(4, d, seed=seed + 1)
    ends = inversion.projection(matrix, images, begun)
    # Products of thin matrices: what is left of singular values beyond the rank is 1e-16, of the others rarely 1e-6.
    inverse = torch.linalg.pinv(matrix, rtol=1e-12)
    close(ends, begun + (images - begun) @ matrix.T @ inverse.T, 1e-6)
    close(ends @ matrix.T, images @ matrix.T, 1e-8)  # the code is that of the images
    close(inversion.projection(matrix, images, ends), ends, 1e-6)
    if rank == 0:
        assert torch.equal(ends, begun)


def test_square_root_law_has_a_floor():
    assert inversion.square_root_law(0, 10) == 1 and inversion.square_root_law(11, 10) == 0
    with pytest.raises(ValueError, match="rank=-1, pixels=10"):
        inversion.square_root_law(-1, 10)


# --- The procedures


@pytest.mark.parametrize("loss", ["l1", "relative"])
def test_a_plain_step_is_the_gradient_of_the_loss(small, loss):
    """By central differences of losses written out here."""
    model, images, begun = small
    model = nn.Sequential(model[:2], nn.GELU(), model[3:5]).eval()
    y = activations.record(model, images, ["2"])["2"].flatten(1)

    def losses(x):
        away = activations.record(model, x, ["2"])["2"].flatten(1) - y
        return away.abs().sum(1) if loss == "l1" else away.square().sum(1) / y.square().sum(1)

    found = invert(model, "2", images, begun, Procedure(loss, "plain", (0.5, 0.5), steps=1, constant=0.25))
    gradient = (begun - found.images) / 0.125
    for pixel in [(0, 0, 0), (1, 4, 7), (0, 9, 5), (1, 2, 2)]:
        step = torch.zeros_like(begun)
        step[(slice(None), *pixel)] = 1e-6
        close(gradient[(slice(None), *pixel)], (losses(begun + step) - losses(begun - step)) / 2e-6, 1e-5)


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


@pytest.mark.parametrize("name", [name for name in SHORT if name != "strong"])
def test_steps_are_those_of_torchs_optimisers(small, name):
    model, images, begun = small
    found = invert(model, "6", images[:1], begun[:1], SHORT[name])
    # gaussian_blur computes its kernel in float32
    tolerance = 1e-4 if SHORT[name].blur else 1e-9
    close(found.images, by_hand(model, images[:1], begun[:1], SHORT[name], SHORT[name].step == "adam"), tolerance)


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("point", ["6", "8"])
def test_together_is_one_at_a_time_and_in_any_order(small, name, point):
    model, images, begun = small
    together = invert(model, point, images, begun, SHORT[name])
    assert (together.images - begun).flatten(1).norm(dim=1).min() > 0.01
    order = torch.tensor([3, 0, 4, 2, 1])
    turned = invert(model, point, images[order], begun[order], SHORT[name])
    for i in range(len(images)):
        alone = invert(model, point, images[i : i + 1], begun[i : i + 1], SHORT[name])
        for one, many, mixed in zip(alone[:5] + alone[6:], together[:5] + together[6:], turned[:5] + turned[6:]):
            close(one[0], many[i], 1e-4), close(mixed[order.tolist().index(i)], many[i], 1e-4)
        assert alone.steps == together.steps


@pytest.mark.parametrize("name", SHORT)
def test_the_scale_of_a_code_matters_to_plain_steps_alone(small, name):
    _, images, begun = small
    model, doubled = seeded(cnn), seeded(cnn)
    with torch.no_grad():
        doubled[8].weight.mul_(2), doubled[8].bias.mul_(2)
    ours, theirs = (invert(each, "8", images, begun, replace(SHORT[name], blur=None)) for each in (model, doubled))
    # Adam's epsilon is a length beside the gradient of the l1 loss
    same = SHORT[name].step == "normalised" or SHORT[name].loss == "relative"
    difference = (ours.images - theirs.images).abs().max()
    assert difference < 1e-9 if same else difference > (1e-9 if SHORT[name].step == "adam" else 1e-3)
    close(theirs.length, 2 * ours.length)
    if SHORT[name].step != "plain":
        constant = invert(model, "8", images, begun, replace(SHORT[name], blur=None, constant=7.0))
        assert torch.equal(constant.images, ours.images)


def test_the_schedule_has_both_ends():
    procedure = Procedure(rate=(0.4, 0.2), blur=(2.0, 1.0), steps=5)
    assert procedure.at(0) == (0.4, 2.0) and procedure.at(4) == pytest.approx((0.2, 1.0))
    assert procedure.at(2) == pytest.approx((0.3, 1.5))
    assert replace(procedure, decay="cosine").at(1) == pytest.approx((0.3 + 0.1 / math.sqrt(2), 1.75))
    assert replace(procedure, steps=1).at(0) == (0.4, 2.0)


def smoothed(images, sigma):
    """A blur seen through `invert`: one step of no length worth mention."""
    still = Procedure(step="plain", rate=(1e-300, 1e-300), steps=1, blur=(sigma, sigma))
    return invert(nn.Identity().eval(), "input", torch.zeros_like(images), images, still).images


def test_blur():
    for sigma, side, centre in ((2.4, 0.324, 0.353), (0.4, 0.040, 0.919)):
        point = torch.zeros(1, 2, 5, 6, dtype=torch.float64)
        point[0, 0, 2, 3] = 1
        taps = torch.tensor([0, side, centre, side, 0]).double()
        close(smoothed(point, sigma)[0, 0], taps[:, None] * F.pad(taps, (1, 0)), 1e-3)
        assert not smoothed(point, sigma)[0, 1].any()  # channels do not mix
        images = normal(3, 2, 4, 5)
        close(smoothed(images, sigma), gaussian_blur(images, [3, 3], [sigma, sigma]), 1e-6)
        close(smoothed(torch.full_like(images, 0.7), sigma), torch.full_like(images, 0.7))


# --- What comes back


def test_what_comes_back_belongs_together(small):
    model, images, begun = small
    distance = lambda x: (activations.record(model, x, ["6"])["6"] - y).flatten(1).norm(dim=1)
    y = activations.record(model, images, ["6"])["6"]
    found = invert(model, "6", images, begun, replace(LITERAL, steps=60, constant=0.3), logged=7)
    assert found.steps == [0, 1, 2, 5, 12, 26, 60]
    close(found.residual, distance(found.images)), close(found.best_residual, distance(found.best))
    close(found.length, y.flatten(1).norm(dim=1))
    close(found.residuals[:, 0], distance(begun)), close(found.residuals[:, -1], found.residual)
    close(found.errors[:, 0], (begun - images).flatten(1).norm(dim=1))
    close(found.errors[:, -1], (found.images - images).flatten(1).norm(dim=1))
    assert (found.best_residual <= found.residuals.amin(1)).all() and (found.best_residual < found.residual).any()
    assert torch.equal(found.diverged, found.residual > found.residuals[:, 0])
    perfect = invert(model, "6", images, images, replace(LITERAL, steps=20))  # blurred away from where it began
    assert torch.equal(perfect.best, images) and perfect.diverged.all() and not perfect.best_residual.any()
    for name in ("primary", "strong"):
        still = invert(model, "6", images, images, SHORT[name])  # gradients of zero
        assert torch.equal(still.images, images) and not still.diverged.any()


def test_a_target_stands_in_for_the_code(small):
    model, images, begun = small
    y = activations.record(model, images, ["4"])["4"]
    ours = invert(model, "4", images.roll(1, 0), begun, SHORT["strong"], target=y)
    theirs = invert(model, "4", images, begun, SHORT["strong"])
    assert torch.equal(ours.images, theirs.images) and torch.equal(ours.residuals, theirs.residuals)
    close(ours.errors[:, -1], (ours.images - images.roll(1, 0)).flatten(1).norm(dim=1))


class Refusing(nn.Module):
    def forward(self, x):
        raise AssertionError("the pass should have stopped")


def test_the_pass_stops_at_the_layer(small):
    model, images, begun = small
    found = invert(nn.Sequential(model[:5], Refusing()).eval(), "0.4", images, begun, SHORT["strong"])
    assert torch.equal(found.images, invert(model, "4", images, begun, SHORT["strong"]).images)
    hasty = seeded(lambda: cnn(lambda: nn.ReLU(inplace=True)))
    assert torch.equal(invert(hasty, "1", images, begun, SHORT["cosine"]).images,
                       invert(model, "1", images, begun, SHORT["cosine"]).images)  # fmt: skip


def test_float32_is_not_rounded():
    kinds, seen = (torch.backends.cudnn.conv, torch.backends.cuda.matmul), set()
    watching = through(lambda x: seen.update(kind.fp32_precision for kind in kinds) or x)
    images, usual = torch.rand(2, 3, generator=stream(0)), [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "tf32"
        inversion.shifted(watching, "0", images, stream(0)), invert(watching, "0", images, images, SHORT["strong"])
        assert seen == {"ieee"} and [kind.fp32_precision for kind in kinds] == ["tf32", "tf32"]
    finally:
        for kind, value in zip(kinds, usual):
            kind.fp32_precision = value


def test_everything_is_left_as_it_was(small):
    _, images, begun = small
    model = seeded(cnn)
    model[0].bias.requires_grad_(False)
    flags = lambda: [weight.requires_grad for weight in model.parameters()]
    state = lambda: (
        flags(), torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision,
        torch.is_grad_enabled(), torch.get_rng_state().tolist(), begun.sum().item(),
    )  # fmt: skip
    before = state()
    found = invert(model, "8", images, begun, SHORT["strong"])
    inversion.equivalent_noise(model, "8", images, found.residual, stream(0), draws=1)
    with pytest.raises(ValueError, match="no point of this network"):
        invert(model, "9", images, begun)
    assert state() == before and sum(flags()) == len(flags()) - 1
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(each.requires_grad for each in found if isinstance(each, torch.Tensor))


# --- Divergence


def test_what_diverges_is_flagged_and_kept():
    """Plain steps on squares blow up from far away; the others go on as if they were alone."""
    images = torch.full((3, 4), 0.5)
    begun = torch.tensor([0.7, 40.0, 0.6])[:, None].expand(3, 4).contiguous()
    steps = Procedure(loss="relative", step="plain", rate=(0.1, 0.1), steps=50)
    for procedure in (steps, replace(steps, polish=5)):
        found = invert(through(torch.square), "0", images, begun, procedure)
        assert found.diverged.tolist() == [False, True, False]
        assert all(each.isfinite().all() for each in (*found[:5], *found[6:]))
        close(found.residual, (found.images**2 - images**2).norm(dim=1), 1e-6)
        assert found.residual[1] > found.residuals[1, 0] == found.best_residual[1]
        alone = invert(through(torch.square), "0", images[[0, 2]], begun[[0, 2]], procedure)
        close(found.images[[0, 2]], alone.images, 1e-5)  # float32: sums of two or of three images may be taken otherwise


def test_literal_steps_that_are_too_long_diverge():
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 64, 3), nn.Conv2d(64, 64, 3)))
    images = torch.rand(3, 1, 8, 8, generator=stream(0), dtype=torch.float64)
    found = invert(model, "1", images, images / 2, replace(LITERAL, constant=50.0, steps=60))
    assert found.diverged.all() and found.images.isfinite().all() and torch.equal(found.best, images / 2)


def test_what_has_left_where_codes_are_finite_is_not_polished():
    """Beyond 2 there are no codes. The first image steps over; the second would not have to."""
    images, begun = torch.full((2, 4), 0.5), torch.tensor([[1.9] * 4, [0.6] * 4])
    steps = Procedure(step="plain", rate=(10.0, 10.0), steps=4, loss="relative")
    root = through(lambda x: torch.sqrt(2 - x))
    images[0] = 1.99
    found, unpolished = (invert(root, "0", images, begun, replace(steps, polish=polish)) for polish in (9, 0))
    assert found.diverged.tolist() == unpolished.diverged.tolist() == [True, False]
    assert torch.equal(found.images[0], unpolished.images[0]) and found.images[0].max() < 2
    assert found.residual[1] < 0.01 * unpolished.residual[1]


@pytest.mark.parametrize("steps", [0, 20])
def test_a_start_without_a_finite_code_stays(steps):
    images, begun = torch.full((3, 4), 0.5), torch.tensor([[0.7] * 4, [1e30] * 4, [-1e30] * 4])
    model = through(lambda x: x.square().where(x > 0, math.nan))
    found = invert(model, "0", images, begun, replace(STRONG, steps=steps, polish=5))
    assert found.diverged.tolist() == [False, True, True] and torch.equal(found.images[1:], begun[1:])
    assert (found.residuals[1:] == math.inf).all() and found.residual[0] < 0.1


def test_a_gradient_that_is_not_finite_holds_an_image_where_it_is():
    """The code of the second image is finite, its gradient is not; and so is that of infinity."""
    images, begun = torch.full((2, 4), 0.5), torch.tensor([[0.7] * 4, [0.0] * 4])
    for procedure in (SHORT["plain"], SHORT["strong"]):
        found = invert(through(lambda x: 1 / (1 + x.sqrt())), "0", images, begun, procedure)
        assert found.diverged.tolist() == [False, True] and torch.equal(found.images[1], begun[1])
        expected = 2 - 2 / (1 + math.sqrt(0.5))
        close(found.residuals[1], torch.full_like(found.residuals[1], expected), 1e-6)


# --- L-BFGS


def test_lbfgs_solves_least_squares():
    images = torch.rand(4, 10, generator=stream(0), dtype=torch.float64)
    begun = inversion.start(images, stream(1))
    found = invert(linear(conditioned(10, 1e3)), "0", images, begun, POLISH, logged=1000)
    assert (found.residual / found.length).max() < 1e-8 and error(found, images, begun).max() < 1e-6
    assert found.steps == list(range(201))
    assert (found.residuals.diff() <= 0).all()
    assert torch.equal(found.images, found.best)


def test_lbfgs_knows_no_units():
    """Neither of pixels nor of codes: the first step is no exception."""
    images = torch.rand(4, 12, generator=stream(0), dtype=torch.float64)
    begun, procedure = inversion.start(images, stream(1)), replace(POLISH, polish=15)
    ours = invert(linear(conditioned(12, 10)), "0", images, begun, procedure)
    for pixels, codes in ((2.0**10, 1.0), (2.0**-10, 1.0), (1.0, 2.0**10)):
        theirs = invert(linear(codes / pixels * conditioned(12, 10)), "0", pixels * images, pixels * begun, procedure)
        close(theirs.images / pixels, ours.images, 1e-9)
    assert (ours.residual < 0.1 * ours.residuals[:, 0]).all()


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


def test_lbfgs_is_no_worse_than_torchs(small):
    model, images, begun = small
    found = invert(model, "6", images, begun, replace(POLISH, polish=40))
    theirs = torch.stack([torchs(model, images[i : i + 1], begun[i : i + 1], 40) for i in range(len(images))])
    assert (found.residual / theirs).log().mean() < 0.1  # one image may be luckier here than there


def test_an_image_that_cannot_improve_stands_still(small):
    """One is there already; one has a gradient of zero; the last goes on as if alone."""
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU()).double().eval()
    images = normal(3, 6) + 1
    begun = images + torch.tensor([0, 0, 0.1], dtype=torch.float64)[:, None]
    with torch.no_grad():
        model[0].weight.copy_(orthogonal(6)), model[0].bias.fill_(2.0)
        begun[1] = -100 * orthogonal(6).sum(0)  # every unit is off
    found = invert(model, "1", images, begun, replace(POLISH, polish=40))
    assert torch.equal(found.images[:2], begun[:2]) and not found.diverged.any()
    assert found.residual[0] == 0 and found.residual[2] < 0.01 * found.residuals[2, 0]
    alone = invert(model, "1", images[2:], begun[2:], replace(POLISH, polish=40))
    close(found.images[2], alone.images[0], 1e-9)
    dead = invert(model, "1", begun[1:2], images[1:2], SHORT["strong"])  # a target of zeros has a scale of 1
    assert dead.length == 0 and dead.residual < 0.01 * dead.residuals[0, 0] and not dead.diverged


def test_passes_of_lbfgs():
    """Full steps are nearly always good ones; and after everybody has arrived there are none."""
    model, images, passes = linear(conditioned(30, 1e3)), torch.rand(4, 30, generator=stream(0)).double(), []
    model.register_forward_pre_hook(lambda module, inputs: passes.append(len(inputs[0])))
    invert(model, "0", images, inversion.start(images, stream(1)), replace(POLISH, polish=60))
    assert 60 < sum(passes) / len(images) < 80
    passes.clear()
    invert(model, "0", images, images, POLISH)
    assert sum(passes) < 25 * len(images)


def test_lbfgs_leaves_plateaus():
    """Far out the loss is concave, and a pair of a step and the gradient's change says nothing of where to go."""
    flat, images = through(lambda x: x / (1 + x.square()).sqrt()), torch.zeros(12, 3).double()
    begun = torch.linspace(0.5, 8, 12).double()[:, None] * torch.tensor([1, 0.7, 0.3])
    found = invert(flat, "0", images, begun, replace(POLISH, polish=60))
    assert found.residual.max() < 1e-6


# --- Yardsticks


def test_start_is_normal_noise():
    images = torch.rand(50, 1, 20, 20, generator=stream(0))
    begun = inversion.start(images, stream(1))
    assert begun.shape == images.shape and begun.dtype == images.dtype
    assert float(begun.mean()) == pytest.approx(0.7, abs=0.002) and float(begun.std()) == pytest.approx(0.05, rel=0.02)
    assert torch.equal(begun, inversion.start(images, stream(1)))
    assert not torch.equal(begun, inversion.start(images, stream(2)))
    close(inversion.start(images, stream(1), 0.5, 0.1), 0.5 + 2 * (begun - 0.7), 1e-6)


def chi(d):
    return math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))


def test_shift_of_linear_maps():
    images = normal(8, 48)
    for factor in (1.0, 3.0):
        shift = inversion.shifted(linear(factor * orthogonal(48)), "0", images, stream(0), draws=64, deviation=0.1)
        close(shift.embedding, factor * shift.pixels, 1e-9)
        assert float(shift.pixels.mean()) == pytest.approx(0.1 * chi(48), rel=0.02)
    # Onto 12 of 48 dimensions: noise is normal there too.
    shift = inversion.shifted(linear(orthogonal(48)[:12]), "0", images, stream(0), draws=64)
    assert float(shift.embedding.mean()) == pytest.approx(chi(12) / 18, rel=0.02)
    assert float(shift.pixels.mean()) == pytest.approx(chi(48) / 18, rel=0.02)


def test_noise_that_is_equivalent_to_its_own_shift(small):
    model, images, _ = small
    noise = lambda residual, net=model, point="8": inversion.equivalent_noise(net, point, images, residual, stream(7))
    # Exact where the grid is; between, and below where a kink is very near, within a few per cent.
    for sigma, tolerance in ((1e-3, 1e-9), (10**-1.5, 1e-9), (1.0, 1e-9), (1 / 18, 0.01), (0.7, 0.04), (2e-5, 0.05)):
        planted = inversion.shifted(model, "8", images, stream(7), deviation=sigma).embedding
        close(noise(planted) / sigma, torch.ones_like(planted), tolerance)
    beyond = 1.1 * inversion.shifted(model, "8", images, stream(7), deviation=1.0).embedding
    assert (noise(beyond * 10) == math.inf).all() and not noise(torch.zeros(5).double()).any()
    straight = nn.Sequential(nn.Flatten(), nn.Linear(200, 7)).double().eval()
    for sigma in (3e-6, 4e-4, 0.0123, 0.9):
        planted = inversion.shifted(straight, "1", images, stream(7), deviation=sigma).embedding
        close(noise(planted, straight, "1") / sigma, torch.ones_like(planted), 1e-9)


def test_noise_at_layers_that_do_not_see_it(small):
    _, images, _ = small
    model = nn.Sequential(nn.Threshold(1.5, 0.0), nn.Flatten()).eval()  # only strong noise crosses the threshold
    residual = torch.tensor([0.0, 0.5, 1.0, 1e6, 2.0], dtype=torch.float64)
    found = inversion.equivalent_noise(model, "1", images, residual, stream(0))
    assert found[0] == 0 and found[3] == math.inf and ((0.1 < found[[1, 2, 4]]) & (found[[1, 2, 4]] < 1)).all()
    dead = nn.Sequential(nn.Threshold(1e6, 0.0)).eval()
    found = inversion.equivalent_noise(dead, "0", images, residual, stream(0))
    assert found[0] == 0 and (found[1:] == math.inf).all()


def test_noise_where_more_moves_less():
    """The smallest deviation counts, on the way up."""
    bump, images = through(lambda x: x * (-(x / 0.005).square()).exp()), torch.zeros(1, 9).double()
    shift = lambda sigma: inversion.shifted(bump, "0", images, stream(0), deviation=sigma, draws=32).embedding
    assert shift(10**-1.5) < shift(0.002) < shift(0.004)
    found = inversion.equivalent_noise(bump, "0", images, shift(0.002), stream(0), draws=32)
    assert found.item() == pytest.approx(0.002, rel=0.05)


def by_measure(images, a, begun, residual, length, shift):
    fields = dict.fromkeys(Inverted._fields) | {"images": images, "residual": residual, "length": length}
    return inversion.measures(Inverted(**fields), a, begun, shift)


def test_measures_of_known_distances():
    a = torch.zeros(3, 2)
    begun, ended = torch.tensor([[3.0, 4.0]] * 3), torch.tensor([[0.0, 2.0], [3.0, 4.0], [0.0, 0.5]])
    shift = Shift(torch.tensor([2.0, 2.0, 4.0]), torch.ones(3))
    found = by_measure(ended, a, begun, torch.tensor([0.2, 4.0, 1.0]), torch.tensor([10.0, 10.0, 5.0]), shift)
    expected = {
        "error": [0.4, 1.0, 0.1], "residual": [0.02, 0.4, 0.2], "rho_in": [2.0, 5.0, 0.5], "rho_out": [0.1, 2.0, 0.25],
        "collision": [1.0, 0.0, 0.0], "nonuniqueness": [math.log10(20), math.log10(2.5), math.log10(2)],
        "memory": [1 - math.sqrt(13) / 5, 1.0, 1 - math.hypot(3, 3.5) / 5],
    }  # fmt: skip
    assert list(found) == list(expected)
    for name, values in expected.items():
        close(found[name], torch.tensor(values, dtype=torch.float64), 1e-7)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, unit=st.floats(0.01, 100), scale=st.floats(0.01, 100))
def test_measures_have_no_units(seed, unit, scale):
    """Neither of pixels, nor of codes; and turning all images changes nothing."""
    a, begun, ended, other = (normal(6, 4, seed=seed + i) for i in range(4))
    lengths = other.abs().T
    before = by_measure(ended, a, begun, lengths[0], lengths[1], Shift(lengths[2], lengths[3]))
    turn = unit * orthogonal(4, seed)
    shift = Shift(scale * lengths[2], unit * lengths[3])
    after = by_measure(ended @ turn, a @ turn, begun @ turn, scale * lengths[0], scale * lengths[1], shift)
    for name, values in before.items():
        close(after[name], values, 1e-9)


# --- Pre-images of noisy codes


def test_neighbourhood_of_orthogonal_layers_is_the_noise():
    weights = [orthogonal(40, seed) for seed in range(3)]
    found = inversion.inverse_neighbourhood(weights, 0.01, 2000, stream(0))
    assert float(found.mean()) == pytest.approx(0.01 * chi(40), rel=0.01)
    close(found, inversion.inverse_neighbourhood([torch.eye(40)], 0.01, 2000, stream(0)), 1e-9)


def test_neighbourhood_is_that_of_the_explicit_inverse():
    weights = [normal(30, 30, seed=seed) for seed in range(3)]
    noise = 0.3 * torch.randn(50, 30, generator=stream(0), dtype=torch.float64)
    inverse = torch.linalg.inv(weights[2] @ weights[1] @ weights[0])
    found = inversion.inverse_neighbourhood(weights, 0.3, 50, stream(0))
    close(found / (noise @ inverse.T).norm(dim=1), torch.ones(50, dtype=torch.float64), 1e-6)
    assert (found > 3 * (noise @ inverse).norm(dim=1).min()).any()


def test_float32_fails_where_float64_does_not():
    torch.manual_seed(0)
    weights = [nn.Linear(200, 200).weight.detach() for _ in range(4)]
    inverse = torch.linalg.inv(torch.linalg.multi_dot([weight.double() for weight in reversed(weights)]))
    noise = 1e-9 * torch.randn(64, 200, generator=stream(0), dtype=torch.float64)
    true = (noise @ inverse.T).norm(dim=1)
    errors = {
        dtype: (inversion.inverse_neighbourhood(weights, 1e-9, 64, stream(0), dtype).double() / true - 1).abs().median()
        for dtype in (torch.float32, torch.float64)
    }
    assert errors[torch.float64] < 1e-4 and errors[torch.float32] > 0.5


# --- Bad input


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": "l2"}, "loss='l2': expected one of l1, relative"),
        ({"step": "sgd"}, "step='sgd': expected one of plain"),
        ({"decay": "none"}, "decay='none': expected one of linear"),
        ({"rate": (0.1, -0.1)}, r"rate=\(0.1, -0.1\): expected positive"),
        ({"blur": (math.nan, 0.4)}, "blur=.*expected positive"),
        ({"constant": 0.0}, "constant=0.0"),
        ({"steps": -1, "polish": 3}, "steps=-1, polish=3"),
        ({"steps": 0}, "at least one step"),
    ],
)
def test_procedures_say_what_was_expected(values, message):
    with pytest.raises(ValueError, match=message):
        Procedure(**values)


def half_trained():
    model = seeded(cnn)
    model[1].train()
    return model


def overflowing():
    model = seeded(cnn)
    nn.init.constant_(model[0].weight, math.inf)
    return model


NAN = torch.full((5, 2, 10, 10), math.nan).double()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda m, x, s: (m, "9", x, s), {}, "points: '9' is no point of this network"),
        (lambda m, x, s: (cnn().double(), "6", x, s), {}, "model: it is in training mode"),
        (lambda m, x, s: (half_trained(), "6", x, s), {}, "model: its 1 is in training mode"),
        (lambda m, x, s: (m, "6", x[:4], s), {}, r"start: shape \(5, 2, 10, 10\)"),
        (lambda m, x, s: (m, "6", x, s.float()), {}, "start: .*float32, expected"),
        (lambda m, x, s: (m, "6", x.float(), s.float()), {}, "images: torch.float32, expected the network's precision"),
        (lambda m, x, s: (m, "6", x[:0], s[:0]), {}, "images: .*not empty"),
        (lambda m, x, s: (m, "6", x, NAN), {}, "start: holds NaN"),
        (lambda m, x, s: (m, "6", x, s, LITERAL), {"target": NAN}, r"target: \(5, 2, 10, 10\), expected \(5, 72\)"),
        (lambda m, x, s: (m, "input", x, s), {"target": NAN}, "target: holds NaN"),
        (lambda m, x, s: (overflowing(), "6", x, s), {}, "images: their codes hold NaN"),
        (lambda m, x, s: (m, "6", x, s), {"logged": 1}, "logged: 1"),
        (lambda m, x, s: (nn.Identity().eval(), "input", x[:, 0, 0], s[:, 0, 0], LITERAL), {}, "to be blurred"),
        (lambda m, x, s: (nn.Identity().eval(), "input", x[..., :1], s[..., :1], LITERAL), {}, "to be blurred"),
    ],
)
def test_bad_input_says_what_was_expected(small, change, options, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(invert)(*change(*small), **options)  # without the tests' own check of shapes


def test_yardsticks_say_what_was_expected(small):
    model, images, _ = small
    shifted, noise = inversion.shifted, inversion.equivalent_noise
    for call, message in [
        (lambda: shifted(model, "6", images, stream(0), deviation=0.0), "deviation: 0.0"),
        (lambda: shifted(model, "6", images, stream(0), draws=0), "draws: 0"),
        (lambda: shifted(cnn(), "6", images, stream(0)), "training mode"),
        (lambda: noise(model, "6", images, torch.tensor([0.0, 1, 2, 3, -1]), stream(0)), "residual: .*none negative"),
        (lambda: noise(model, "6", NAN, torch.ones(5), stream(0)), "images: holds NaN"),
        (lambda: inversion.projection(normal(3, 2), normal(1, 2) / 0, normal(1, 2)), "expected finite numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    solve = inspect.unwrap(inversion.inverse_neighbourhood)
    for weights, options, message in [
        ([], {}, "weights: shapes"), ([normal(3, 4)], {}, r"weights: shapes \[\(3, 4\)\]"),
        ([normal(3, 3), normal(4, 4)], {}, "weights"), ([torch.zeros(3, 3)], {}, "singular"),
        ([normal(3, 3)], {"draws": 0}, "draws=0"), ([normal(3, 3)], {"deviation": -1.0}, "deviation=-1.0"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            solve(weights, **({"deviation": 0.1, "draws": 3, "generator": stream(0)} | options))
