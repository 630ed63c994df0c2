"""Networks whose frames are known: invariant, rectified, orthogonal, contracting, dead."""

from frames_shared import *  # noqa: F403


def test_subtracting_the_mean_wipes_out_brightness():
    model, images = nn.Sequential(WithoutMean(), seeded(cnn)).eval(), torch.rand(3, 1, 8, 8, dtype=torch.float64)
    brightness = directions.generators(images, ["brightness"]).vectors
    for found in gram(model, images, brightness, ["0", "1.1", "1.7"]).values():
        assert push_forward.gain(found).max() < 1e-15


@pytest.mark.parametrize(
    ("power", "band", "low", "high"),
    [(1, 7, 0, 1e-13), (2, 7, 0, 1e-13), (3, 5, 0, 1e-13), (3, 7, 0.05, 1)],
)
def test_band_limited_polynomial_networks_are_shift_invariant(power, band, low, high):
    """Zero if and only if power x band < 16: beyond that, frequencies fold back into the mean."""
    assert low <= shift_over_noise(Polynomial(power), band) <= high


def test_rectified_networks_are_not_shift_invariant():
    assert 0.02 < shift_over_noise(nn.ReLU(), 7) < 1
    smooth = [shift_over_noise(nn.GELU(), band, amplitude=0.1) for band in (2, 7)]
    assert smooth[0] < 1e-8 and smooth[0] < 1e-4 * smooth[1] < 1e-4 * 0.02


def test_a_rotation_invariant_network_is_one_in_the_limit_of_fine_grids():
    for n, pilot in ((16, 2.9e-3), (20, 7.5e-4), (32, 8.2e-5), (64, 3e-7)):
        assert rotation_over_noise(n) < pilot


def test_what_central_differences_leave_is_theirs_not_the_networks():
    coarse, fine = rotation_over_noise(16, analytic=False), rotation_over_noise(64, analytic=False)
    assert fine < coarse / 2 and 0.05 < coarse < 0.5
    assert fine > 100 * rotation_over_noise(64)


def test_invariance_to_quarter_turns_is_not_a_vanishing_tangent():
    model, images = FourTurns(seeded(lambda: cnn(nn.GELU))).eval(), torch.rand(4, 1, 12, 12, dtype=torch.float64)
    close(model(images), model(images.rot90(1, (2, 3))))
    rotation = directions.generators(images, ["rotation"]).vectors
    exact = push_forward.noise_gain_at_output(model, images, "model.7#4")
    assert push_forward.relative_gain(gram(Whole(model).eval(), images, rotation, ["model"])["model"], exact).min() > 0.01


def test_probabilities_change_by_zero_in_sum(small):
    model, images, vectors = small
    pushed = push(nn.Sequential(model, nn.Softmax(1)).eval(), images, vectors, ["1"])["1"]
    assert pushed.abs().max() > 1e-4 and pushed.sum(2).abs().max() < 1e-12 * pushed.abs().max()


def test_orthogonal_layers_leave_the_gram(small):
    _, images, vectors = small
    turn = torch.from_numpy(ortho_group.rvs(100, random_state=0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(100, 100, bias=False), Permuted()).double().eval()
    with torch.no_grad():
        model[1].weight.copy_(turn)
    found = gram(model, images, vectors, ["input", "1", "2"])
    for point in ("1", "2"):
        for ours, theirs in zip((found[point].gram, found[point].norm), (found["input"].gram, found["input"].norm)):
            close(ours, theirs, 6e-14)


def test_sum_rule_and_bound():
    """mean |J u|^2 = |J|_F^2 / pixels; no gain above the largest singular value, nor random vectors anywhere near it."""
    model = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.Tanh(), nn.Linear(64, 10)))
    images = normal(2, 1, 16, 16)
    full = jacobian(model, images, "3")
    exact = push_forward.noise_gain_at_output(model, images, "3")
    close(exact, full.square().sum((1, 2)).div(256).sqrt(), 1e-14)
    close(exact, push_forward.noise_gain_at_output(model, images, "3", chunk=1), 1e-14)
    noise = gram(model, images, directions.white_noise(images, 1024, stream(0)), ["3"])["3"]
    close(push_forward.noise_gain(noise) / exact, torch.ones(2).double(), 0.03)
    largest = torch.linalg.svdvals(full)[:, :1]
    assert (push_forward.gain(noise) <= largest).all()
    assert (push_forward.gain(noise).max(1, keepdim=True).values < 0.6 * largest).all()


@pytest.mark.parametrize(("sides", "slope"), [((1, 0), 1), ((1, -1), 2)])
def test_finite_differences_converge_at_their_order(sides, slope):
    model, images = seeded(lambda: cnn(nn.GELU, pool=nn.AvgPool2d)), normal(2, 1, 10, 10)
    vectors = directions.unit(normal(2, 1, 1, 10, 10))[0]
    exact, errors = push(model, images, vectors, ["7"])["7"][:, 0], []
    model.requires_grad_(False)
    for step in (1e-1, 1e-2, 1e-3):
        high, low = (model(images + side * step * vectors[:, 0]) for side in sides)
        errors.append(float(((high - low) / ((sides[0] - sides[1]) * step) - exact).norm().log10()))
    assert errors[0] - errors[1] == pytest.approx(slope, abs=0.15)
    assert errors[1] - errors[2] == pytest.approx(slope, abs=0.15)


@pytest.mark.parametrize("factor", [0.0, 0.25, 3.0])
def test_a_family_contracted_by_a_known_factor(factor):
    images, d = normal(3, 1, 10, 10), 100
    family, others = normal(4, d, seed=1), normal(3, d, seed=2)
    contracting = Contracting(family, factor)
    others = others - others @ contracting.basis @ contracting.basis.T
    turn = nn.Linear(d, d).double()
    with torch.no_grad():
        turn.weight.copy_(torch.from_numpy(ortho_group.rvs(d, random_state=1)))
    model = nn.Sequential(contracting, turn).double().eval()
    vectors = torch.cat([family, others]).reshape(1, 7, 1, 10, 10).expand(3, -1, -1, -1, -1)
    found = gram(model, images, directions.unit(vectors)[0], ["1"])["1"]
    noise = push_forward.noise_gain_at_output(model, images, "1")
    planted = torch.tensor([factor] * 4 + [1.0] * 3, dtype=torch.float64).expand(3, -1)
    close(push_forward.gain(found), planted, 1e-6)
    expected = math.sqrt((d - 4 + 4 * factor**2) / d)
    close(noise, torch.full((3,), expected, dtype=torch.float64), 1e-12)
    close(push_forward.relative_gain(found, noise), planted / expected, 1e-6)


def test_a_network_without_a_direction_gives_it_no_gain(small):
    """Whatever follows: a vector killed in one layer stays killed."""
    model, images, vectors = small
    blind = nn.Sequential(Contracting(vectors[0, :2].flatten(1), 0.0), nn.Unflatten(1, (1, 10, 10)), model).eval()
    for found in gram(blind, images[:1], vectors[:1], ["0", "2.2", "2.7"]).values():
        assert push_forward.gain(found)[:, :2].max() < 1e-14 and push_forward.gain(found)[:, 2:].min() > 1e-4


@pytest.mark.parametrize("weight", [0.0, math.inf])
def test_a_dead_network_is_not_a_number(small, weight):
    _, images, vectors = small
    model = seeded(cnn)
    with torch.no_grad():
        model[3].weight.fill_(weight), model[3].bias.fill_(0.0)
    found = gram(model, images, vectors, ["input", "7"])
    dead, alive = found["7"], found["input"]
    with torch.no_grad():
        exact = push_forward.noise_gain_at_output(model, images, "7")
    per_image = [
        push_forward.stable_rank(dead), push_forward.participation_ratio(dead), push_forward.effective_rank(dead),
        push_forward.log_volume(dead, alive), push_forward.log_volume(alive, dead), push_forward.principal_angles(dead, [0, 1], [2]),
        push_forward.relative_gain(dead, exact), push_forward.relative_gain(dead, dead), push_forward.radial(dead), push_forward.cosines(dead),
        push_forward.angular_gain(dead), push_forward.rate(dead, dead, dead, dead), push_forward.unit_columns(dead).gram,
        push_forward.stable_rank(push_forward.unit_columns(dead)), push_forward.stable_rank(push_forward.orthonormalised(dead, alive)),
        push_forward.stable_rank(push_forward.orthonormalised(dead, dead)),
    ]  # fmt: skip
    for value in per_image:
        assert len(value) == 5 and value.isnan().all()
    for image in (0, 3):  # one dead image leaves the others as they are
        chosen = torch.arange(5) == image
        mixed = Gram(*(torch.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), d, a) for a, d in zip(alive, dead)))
        ranks = push_forward.stable_rank(mixed)
        assert ranks.isnan().tolist() == [i == image for i in range(5)]
        assert torch.equal(ranks[ranks.isfinite()], push_forward.stable_rank(alive)[ranks.isfinite()])
