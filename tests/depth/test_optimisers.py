"""The steps of a search: where they stop, diverge or stand still, and L-BFGS."""

from inversion_shared import *  # noqa: F403


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
