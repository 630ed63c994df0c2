"""Statistics of frames: known frames, what they do not change by, and how far a tangent holds."""

from frames_shared import *  # noqa: F403

# --- Statistics


def test_statistics_of_a_known_frame():
    vectors = torch.tensor([[[3.0, 0, 0], [0, 4.0, 0], [0, 1.0, 1.0]]], dtype=torch.float64)
    h = torch.tensor([[0, 2.0, 0]], dtype=torch.float64)
    g = of(vectors, h)
    root = math.sqrt(2)
    close(push_forward.gain(g), torch.tensor([[3, 4, root]], dtype=torch.float64))
    close(push_forward.gain(g, of(2 * vectors)), torch.full((1, 3), 0.5).double())
    close(push_forward.sensitivity(g), torch.tensor([[1.5, 2, root / 2]], dtype=torch.float64))
    close(push_forward.radial(g), torch.tensor([[0, 1, 1 / root]], dtype=torch.float64))
    close(push_forward.angular_gain(g), torch.tensor([[3.0, 0, 1]]).double())
    close(push_forward.cosines(g)[0, 1], torch.tensor([0, 1, 1 / root], dtype=torch.float64))
    close(push_forward.noise_gain(g), torch.tensor([math.sqrt(27 / 3)], dtype=torch.float64))
    close(push_forward.relative_gain(g, of(2 * vectors)), push_forward.gain(g) / 6)
    assert float(push_forward.log_volume(g, of(torch.eye(3).double()[None]))) == pytest.approx(math.log(12) / 3)
    assert float(push_forward.stable_rank(g.part([0, 1]))) == pytest.approx(25 / 16)
    assert float(push_forward.participation_ratio(g.part([0, 1]))) == pytest.approx(25**2 / (81 + 256))
    shares = torch.tensor([3 / 7, 4 / 7])
    assert float(push_forward.effective_rank(g.part([0, 1]))) == pytest.approx(float(torch.special.entr(shares).sum().exp()))


def test_rates_add_up_and_are_free_of_a_layers_scale():
    a, b, c = (normal(4, 3, 9, seed=s) for s in range(3))
    noise = [normal(4, 6, 9, seed=s) for s in range(3, 6)]
    g, n = [of(each) for each in (a, b, c)], [of(each) for each in noise]
    close(push_forward.rate(g[0], g[1], n[0], n[1]) + push_forward.rate(g[1], g[2], n[1], n[2]), push_forward.rate(g[0], g[2], n[0], n[2]))
    close(push_forward.rate(g[0], of(7 * b), n[0], of(7 * noise[1])), push_forward.rate(g[0], g[1], n[0], n[1]))


def test_pilot_facts_about_frames_of_digits():
    images = datasets.load("digits20").test_images[:100].double() / 255
    vectors = directions.generators(images).vectors.flatten(2)
    for rank, pilot in zip(RANKS, (4.22, 6.05, 8.19)):
        assert float(rank(of(vectors)).mean()) == pytest.approx(pilot, abs=0.1)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, k=st.integers(1, 6), d=st.integers(7, 12), scale=st.floats(0.01, 100))
def test_what_statistics_do_not_change_by(seed, k, d, scale):
    """Scale and rotation of a layer: neither ratio to noise, cosines, ranks, nor angles change. Linear maps: all do."""
    frame, noise, h = normal(3, k, d, seed=seed), normal(3, 8, d, seed=seed + 1), normal(3, d, seed=seed + 2)
    turn = torch.linalg.qr(normal(d, d, seed=seed)).Q
    statistics = [
        lambda f, n, h: push_forward.relative_gain(of(f, h), of(n)), lambda f, n, h: push_forward.cosines(of(f)),
        lambda f, n, h: push_forward.sensitivity(of(f, h)), lambda f, n, h: push_forward.radial(of(f, h)),
        lambda f, n, h: push_forward.log_volume(of(f), of(n)), lambda f, n, h: push_forward.principal_angles(of(n), [0, 1], [2, 3, 4]),
        *(lambda f, n, h, rank=rank: rank(of(f)) for rank in RANKS),
    ]  # fmt: skip
    for statistic in statistics:
        before, after = statistic(frame, noise, h), statistic(*(scale * each @ turn for each in (frame, noise, h)))
        close(before, after, 1e-6)
    skew = torch.diag(torch.logspace(0, 1, d).double())
    changed = [statistic(*(each @ skew for each in (frame, noise, h))) for statistic in statistics[:1]]
    assert (changed[0] - statistics[0](frame, noise, h)).abs().max() > 1e-6
    for rank in RANKS:
        assert (1 - 1e-9 <= rank(of(frame))).all() and (rank(of(frame)) <= k + 1e-9).all()
        close(rank(of(frame)), rank(frame), 1e-6)


def test_orthonormalised_frames_depend_on_their_span_alone(small):
    model, images, vectors = small
    mixed = torch.einsum("jk,nkchw->njchw", normal(6, 6), vectors)
    redundant = torch.cat([mixed, vectors[:, :2]], dim=1)
    spectra = []
    for frame in (vectors, mixed, redundant):
        found = gram(model, images, frame, ["input", "4"])
        spectra.append(push_forward.singular_values(push_forward.orthonormalised(found["4"], found["input"])))
    close(spectra[0], spectra[1], 1e-9)
    close(spectra[0], spectra[2][:, :6], 1e-6)
    assert spectra[2][:, 6:].max() < 1e-6
    basis = torch.linalg.qr(vectors.flatten(2).mT).Q.mT.reshape(vectors.shape)
    close(spectra[0], push_forward.singular_values(push(model, images, basis, ["4"])["4"]), 1e-9)


def test_principal_angles_are_scipys():
    vectors = normal(4, 5, 9)
    found = push_forward.principal_angles(of(vectors), [0, 1], [2, 3, 4])
    for one, ours in zip(vectors, found):
        close(ours, torch.from_numpy(subspace_angles(one[:2].T.numpy(), one[2:].T.numpy())[::-1].copy()), 1e-9)
    same = push_forward.principal_angles(of(torch.cat([vectors, vectors[:, :1] + vectors[:, 1:2]], 1)), [0, 1], [5])
    assert same.max() < 1e-7
    flat = torch.cat([vectors, 2 * vectors[:, :1]], dim=1)
    assert push_forward.principal_angles(of(flat), [0, 5], [1, 2]).isnan().tolist() == [[False, True]] * 4
    with pytest.raises(ValueError, match="at least one vector"):
        push_forward.principal_angles(of(vectors), [], [1])


def test_log_volume_is_of_as_many_noise_vectors():
    frame, noise = normal(3, 4, 9), normal(3, 7, 9, seed=1)
    expected = torch.linalg.svdvals(frame).log().mean(1) - torch.linalg.svdvals(noise[:, :4]).log().mean(1)
    close(push_forward.log_volume(of(frame), of(noise)), expected)
    assert push_forward.log_volume(of(frame @ normal(9, 3)), of(noise)).isnan().all()  # fewer dimensions than vectors
    with pytest.raises(ValueError, match="noise: 2 vectors, expected at least 4"):
        push_forward.log_volume(of(frame), of(noise[:, :2]))


# --- Where a tangent stops being one


def test_validity_of_small_and_of_large_changes():
    model, images = seeded(lambda: cnn(nn.GELU)), directions.shapes(6, 16, stream(0), torch.float64).images
    strengths = [1e-3, 1e-2, 0.5]
    named = directions.generators(images, ["rotation"])
    tangent = (named.vectors * named.norm[..., None, None, None])[:, 0]
    moved = torch.stack([directions.apply(images, "rotation", s) for s in strengths], dim=1)
    tangents = torch.stack([s * tangent for s in strengths], dim=1)
    for found in (push_forward.validity(model, images, moved, tangents, ["input", "1", "7"], chunk=c) for c in (None, 4)):
        for point in ("input", "1", "7"):
            cosine, departure = found[point]
            assert cosine.shape == (6, 3) and (cosine[:, 0] > 0.998).all() and (cosine.median(0).values[2] < 0.95)
            assert (departure[:, 1] > 2 * departure[:, 0]).all()  # it grows with the strength
    plane = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 5)))
    moved = directions.apply(images, "brightness", 0.7)[:, None]
    found = push_forward.validity(plane, images, moved, torch.full_like(moved, 0.7), ["1"])["1"]
    close(found.cosine, torch.ones(6, 1).double()), close(found.departure, torch.zeros(6, 1).double())
    with pytest.raises(ValueError, match="moved: shape"):
        inspect.unwrap(push_forward.validity)(plane, images, moved[:, :, :, :5], moved, ["1"])


def test_a_relu_network_is_its_tangent_within_a_region():
    model, images = seeded(cnn), normal(3, 1, 10, 10)
    step = 1e-6 * normal(3, 1, 1, 10, 10)
    # The answers' rounding, 1e-16, over a step of 1e-6; a tangent that is wrong departs by about 1.
    assert push_forward.validity(model, images, images[:, None] + step, step, ["7"])["7"].departure.max() < 1e-7
    assert F.relu(images).min() == 0
