"""What of an error a layer sees: errors planted in known directions, thresholds, input gradients."""

from jacobians_shared import *  # noqa: F403


def test_the_noise_gain_is_that_of_noise():
    model, images = network(cnn).double(), normal(1, *SHAPE)
    found = spectrum(model, "2", images)
    units = nn.functional.normalize(normal(40_000, 24), dim=1)
    lengths = ((units @ found.directions[0].T) * found.values[0]).square().sum(1)
    error = lengths.std() / len(lengths) ** 0.5
    assert abs(lengths.mean() - jacobians.noise_gain(found)[0] ** 2) < 4 * error


@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_measures_do_not_depend_on_the_scale(scale, seed):
    values = normal(3, 6, seed=seed).abs().sort(1, descending=True).values
    for measure in (jacobians.rank, jacobians.participation_ratio, jacobians.dimension, jacobians.condition):
        close(measure(values), measure(scale * values), 1e-9)
    assert (jacobians.participation_ratio(values) <= 6 + 1e-9).all() and (jacobians.dimension(values) >= 1).all()


def test_planted_errors_fall_where_they_belong():
    found, missing, right = planted()
    weights = torch.tensor([[3.0, 2, 1, 1], [0, 1, 0, 2]], dtype=torch.float64)
    parts = torch.stack([right[2], right[9], right[15], missing[4]])
    seen = split(found, (weights @ parts).view(2, *SHAPE))
    expected = torch.tensor([[2, 4, 9], [12, 3, 0]], dtype=torch.float64) / 15
    close(torch.stack(seen, dim=1), expected, 1e-9)


def test_the_two_thresholds_move_the_borders():
    found, _, right = planted()
    difference = (right[2] + right[9] + right[15]).expand(2, -1)
    shares = lambda **options: [round(3 * share[0].item(), 6) for share in split(found, difference, **options)]
    assert shares() == [1, 1, 1]
    assert shares(tolerance=1e-12) == [0, 2, 1]
    assert shares(tolerance=0.1) == [2, 0, 1]
    assert shares(weak=1e-3) == [1, 0, 2] and shares(weak=10.0) == [1, 2, 0]


@given(seed=st.integers(0, 1000), point=st.sampled_from(["2", "5", "7"]), scale=st.floats(1e-8, 1e8))
@settings(max_examples=25, deadline=None)
def test_the_shares_sum_to_one_and_have_no_scale(seed, point, scale):
    found = spectrum(network(cnn), point, normal(3, *SHAPE, seed=seed))
    difference = normal(3, *SHAPE, seed=seed + 1)
    seen = split(found, difference)
    close(sum(seen), torch.ones(3))
    assert all((share >= 0).all() for share in seen)
    for a, b in zip(seen, split(found, scale * difference)):
        close(a, b, 1e-9)


def test_noise_is_lost_in_proportion_to_the_missing_directions():
    found = spectrum(linear(normal(6, 24)), "1", torch.zeros(4000, *SHAPE, dtype=torch.float64))
    null = split(found, normal(4000, 24)).null
    assert abs(null.mean() - 18 / 24) < 4 * null.std() / len(null) ** 0.5


def test_a_map_that_is_zero_loses_everything_and_no_error_has_no_shares():
    model = linear(torch.zeros(30, 24, dtype=torch.float64))
    found = spectrum(model, "1", normal(2, *SHAPE))
    assert split(found, normal(2, 24)).null.tolist() == [1, 1]
    assert all(share.isnan().all() for share in split(found, torch.zeros(2, 24)))


# --- The input gradient


def test_the_gradient_of_a_linear_map_is_known():
    matrix, start, images = normal(9, 24), normal(3, *SHAPE, seed=1), normal(3, *SHAPE, seed=2)
    found = jacobians.input_gradient(linear(matrix), "1", images, start)
    signs = ((start - images).flatten(1) @ matrix.T).sign()
    close(found, (signs @ matrix).abs().mean(1))


def test_the_gradient_is_that_of_differences():
    model, start, images = network(cnn).double(), normal(2, *SHAPE, seed=1), normal(2, *SHAPE, seed=2)
    loss = lambda x: (model(x) - model(images[:1])).abs().sum(1)
    step = 1e-7 * torch.eye(24, dtype=torch.float64).view(-1, *SHAPE)
    with torch.no_grad():
        differences = (loss(start[:1] + step) - loss(start[:1] - step)) / 2e-7
        found = jacobians.input_gradient(model, "7", images, start)
    assert found[0].item() == pytest.approx(differences.abs().mean().item(), rel=1e-6)
    assert found.shape == (2,) and jacobians.input_gradient(model, "7", images, images).tolist() == [0, 0]


# --- Bad input


def test_bad_networks_and_images_are_named():
    model, images = network(cnn), normal(2, *SHAPE)
    for measure in (spectrum, lambda *args: jacobians.input_gradient(*args, images)):
        with pytest.raises(ValueError, match="training mode"):
            measure(cnn(), "7", images)
        with pytest.raises(ValueError, match="no point"):
            measure(model, "eight", images)
        for wrong in (images[:0], images.clone().fill_(math.nan)):
            with pytest.raises(ValueError, match="images: shape"):
                measure(model, "7", wrong)
    for wrong in (images[:1], images * math.inf):
        with pytest.raises(ValueError, match="start: shape"):
            jacobians.input_gradient(model, "7", images, wrong)
    with pytest.raises(ValueError, match="chunk: 0"):
        spectrum(model, "7", images, chunk=0)
    nn.init.constant_(model[7].weight, math.nan)
    with pytest.raises(ValueError, match="derivative"):
        spectrum(model, "7", images)


def test_bad_differences_and_shares_are_named():
    found = spectrum(network(cnn), "7", normal(2, *SHAPE))
    for wrong in (normal(1, *SHAPE), normal(2, 23)):
        with pytest.raises(ValueError, match="difference: shape"):
            split(found, wrong)
    with pytest.raises(ValueError, match="not finite"):
        split(found, normal(2, 24) * math.nan)
    for share in (0.0, 1.5, math.nan):
        with pytest.raises(ValueError, match="share"):
            jacobians.dimension(found.values, share)
