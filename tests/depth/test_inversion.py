"""Inversion: layers whose inverse is known, batches beside loops, steps as their definitions say."""

from inversion_shared import *  # noqa: F403

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
