"""Push-forward: exact derivatives of real architectures, in any chunk, at any point."""

from frames_shared import *  # noqa: F403


@pytest.mark.parametrize("name", NETWORKS)
def test_derivatives_are_those_of_central_differences(name):
    build, size, points = NETWORKS[name]
    model = seeded(build)
    images, vectors = normal(2, 3, size, size), directions.unit(normal(2, 2, 3, size, size))[0]
    exact, differences = push(model, images, vectors, points), central(model, images, vectors, points, 1e-5)
    for point in points:
        error = (exact[point] - differences[point]).norm(dim=2) / differences[point].norm(dim=2)
        assert error.max() < 1e-7, point


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_torchvisions_networks_run(name):
    size, points = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = getattr(zoo, name)(num_classes=7, **({"image_size": 32} if name == "vit_b_16" else {})).eval()
    images = torch.rand(2, 3, size, size, generator=stream(0))
    vectors = directions.white_noise(images, 3, stream(1))
    settings = lambda: (torch.backends.mha.get_fastpath_enabled(), torch.backends.cudnn.allow_tf32, torch.is_grad_enabled())
    before = settings()
    pushed, grams = push(model, images, vectors, points), gram(model, images, vectors, points)
    reached = activations.record(model, images, points)
    for point, found in grams.items():
        assert pushed[point].shape == (2, 3, reached[point][0].numel())
        close(found.gram.float(), pushed[point] @ pushed[point].mT, 1e-4)
        close(found.norm.float(), reached[point].flatten(1).norm(dim=1), 1e-4)
        assert found.gram.isfinite().all()
    assert settings() == before  # left as they were


def test_in_place_networks_are_seen_before_they_overwrite():
    tidy, hasty = seeded(cnn), seeded(lambda: cnn(lambda: nn.ReLU(inplace=True)))
    points = ["0", "1", "3", "7"]
    for n, k in ((3, 4), (1, 4), (3, 1)):
        images, vectors = normal(n, 1, 10, 10), normal(n, k, 1, 10, 10)
        ours, theirs = (push(model, images, vectors, points) for model in (tidy, hasty))
        assert all(torch.equal(ours[point], theirs[point]) for point in points)


def test_input_and_chain_rule(small):
    """Pushing in two stages is pushing in one; at the input a frame is itself."""
    model, images, vectors = small
    whole = push(model, images, vectors, POINTS)
    assert torch.equal(whole["input"], vectors.flatten(2))
    middle = activations.record(model, images, ["2"])["2"]
    tail = model[3:].eval()
    again = push(tail, middle, whole["2"].unflatten(2, middle.shape[1:]), ["5", "7"])
    close(again["5"], whole["5"], 1e-15)
    close(again["7"], whole["7"], 1e-15)


def test_gram_is_that_of_push(small):
    model, images, vectors = small
    pushed, grams = push(model, images, vectors, POINTS), gram(model, images, vectors, POINTS)
    found = activations.record(model, images, POINTS)
    for point in POINTS:
        expected = of(pushed[point], found[point].flatten(1))
        for ours, theirs in zip(grams[point], expected):
            assert ours.dtype == torch.float64
            close(ours, theirs)
        chosen = grams[point].part([4, 0])
        close(chosen.gram, expected.gram[:, [4, 0]][:, :, [4, 0]])
        close(chosen.cross, expected.cross[:, [4, 0]])


@pytest.mark.parametrize("chunk", [1, 2, 5, 9])
def test_chunks_make_no_difference(small, chunk):
    model, images, vectors = small
    for point, whole in gram(model, images, vectors, POINTS, 5).items():
        for ours, theirs in zip(gram(model, images, vectors, POINTS, chunk)[point], whole):
            close(ours, theirs, 1e-14)


def test_together_is_one_image_and_vector_at_a_time(small):
    model, images, vectors = small
    together = push(model, images, vectors, POINTS)
    for i in range(len(images)):
        for k in range(vectors.shape[1]):
            alone = push(model, images[i : i + 1], vectors[i : i + 1, k : k + 1], POINTS)
            for point in POINTS:
                close(alone[point][0, 0], together[point][i, k], 1e-14)


def test_views_stand_in_for_activations(small):
    model, images, vectors = small
    seen = push(model, images, vectors, ["4", "5", "7"], view=push_forward.pooled)
    close(seen["4"], seen["5"])  # the mean over positions is what the network pools next
    close(seen["7"], push(model, images, vectors, ["7"])["7"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, x, v: (m, x[:4], v, ["7"]), r"vectors: \(5, 6, 1, 10, 10\)"),
        (lambda m, x, v: (m, x, v.float(), ["7"]), "vectors: .*float32, expected"),
        (lambda m, x, v: (m, x, v[:, :0], ["7"]), "k at least 1"),
        (lambda m, x, v: (m, x, v, ["9"]), "points: '9' is no point of this network"),
        (lambda m, x, v: (m, x, v, ["7"], 0), "chunk: 0"),
        (lambda m, x, v: (cnn().double(), x, v, ["7"]), "model: it is in training mode"),
    ],
)
def test_bad_input_says_what_was_expected(small, change, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(gram)(*change(*small))  # without the tests' own check of shapes


# --- Networks whose frames we know


def test_deep_linear_network():
    """Singular values of the product of the matrices, at every image the same."""
    widths = [36, 50, 40, 12]
    linear = [nn.Linear(a, b, bias=False) for a, b in zip(widths, widths[1:])]
    model = seeded(lambda: nn.Sequential(nn.Flatten(), *linear))
    vectors = directions.unit(normal(1, 5, 1, 6, 6))[0].expand(3, -1, -1, -1, -1)
    pushed = push(model, normal(3, 1, 6, 6), vectors, ["3"])["3"]
    product = model[3].weight @ model[2].weight @ model[1].weight
    expected = torch.linalg.svdvals(product @ vectors[0].flatten(1).T).expand(3, -1)
    close(push_forward.singular_values(pushed) / expected, torch.ones(3, 5, dtype=torch.float64), 1e-14)
    close(push_forward.singular_values(of(pushed)), expected, 1e-10)


@pytest.mark.parametrize(("n", "k", "draws", "pilot"), [(400, 9, 200, 7.27), (3072, 10, 100, 9.35), (150528, 10, 4, 9.87)])
def test_stable_rank_of_random_frames(n, k, draws, pilot):
    """k / (1 + sqrt(k / n))^2, the edge of the Marchenko-Pastur law, which lies a little low at finite k."""
    frame = directions.unit(normal(draws, k, 1, 1, n))[0].flatten(2)
    found = float(push_forward.stable_rank(of(frame)).mean())
    law = k / (1 + math.sqrt(k / n)) ** 2
    assert law < found < 1.08 * law
    assert found == pytest.approx(pilot, abs=0.2)


def test_euler_in_networks_without_biases():
    """f(cx) = c f(x), so that J x = f(x): the image itself is radial with s(x) = 1 in every layer."""
    model, images = seeded(lambda: cnn(bias=False)), normal(4, 1, 10, 10)
    for found in gram(model, images, images[:, None], POINTS).values():
        one = torch.ones(4, 1, dtype=torch.float64)
        close(push_forward.sensitivity(found), one, 1e-14)
        close(push_forward.radial(found), one, 1e-14)
        assert push_forward.angular_gain(found).max() < 1e-6 * push_forward.gain(found).max()
