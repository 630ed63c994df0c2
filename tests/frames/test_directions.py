"""Directions at an image: groups, spectra of noise, planes of data, Jacobians."""

from directions_shared import *  # noqa: F403


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, h=st.integers(2, 13), w=st.integers(2, 13), channels=st.sampled_from([1, 3]), keep=st.booleans())
def test_matched_noise_has_the_spectra_of_the_image(seed, h, w, channels, keep):
    images = torch.rand(2, channels, h, w, generator=stream(seed, "images"), dtype=torch.float64)
    noise = directions.matched_noise(images, 3, stream(seed, "noise"), keep_mean=keep)
    wanted = torch.fft.fft2(images)
    if not keep:
        wanted[..., 0, 0] = 0
        assert noise.mean((3, 4)).abs().max() < 1e-14
    wanted = wanted / wanted.flatten(1).norm(dim=1)[:, None, None, None] * math.sqrt(h * w)
    found = torch.fft.fft2(noise)
    torch.testing.assert_close(found.abs(), wanted.abs()[:, None].expand_as(found), rtol=0, atol=1e-10)
    # One phase field for all channels: how they vary together is kept.
    cross = found[:, :, :1] * found.conj()
    torch.testing.assert_close(cross, (wanted[:, :1] * wanted.conj())[:, None].expand_as(cross), rtol=0, atol=1e-10)


def test_the_mean_makes_noise_into_brightness():
    images = coloured() / 10 + 0.5
    brightness = generators(images, ["brightness"]).vectors
    for keep, low, high in ((True, 0.9, 1), (False, 0, 1e-12)):
        noise = directions.matched_noise(images, 4, stream(0), keep_mean=keep)
        share = (flat(noise) @ flat(brightness).mT).abs()
        assert low <= share.min() and share.max() <= high + 1e-12


def test_constant_images_have_no_matched_noise():
    assert directions.matched_noise(torch.full((2, 1, 6, 6), 0.7), 2, stream(0)).abs().max() == 0


# --- Neighbours, the loss, shapes


def test_local_tangents_find_the_plane_of_their_class():
    """Two classes on planes of their own: each image's directions span that of its class."""
    planes = torch.linalg.qr(torch.randn(2, 36, 3, generator=stream(0, "planes"))).Q.mT
    coordinates = torch.randn(2, 100, 3, generator=stream(0, "coordinates")) * torch.tensor([3.0, 2.0, 1.0])
    images = (coordinates @ planes).reshape(200, 1, 6, 6)
    labels = torch.arange(2).repeat_interleave(100)
    chosen = torch.randperm(200, generator=stream(0))[:70]
    found = directions.local_tangents(images[chosen], labels[chosen], images, labels, neighbours=99, count=4)
    assert found.shape == (70, 4, 1, 6, 6)
    inside = flat(found) @ planes[labels[chosen]].mT
    torch.testing.assert_close(inside[:, :3].norm(dim=2), torch.ones(70, 3))
    assert found[:, 3].abs().max() == 0  # a plane of 3 dimensions has no fourth


def test_local_tangents_are_those_of_one_image_at_a_time(digits):
    images, train = digits.test_images[:8].double() / 255, digits.train_images.double() / 255
    labels = digits.test_labels[:8]
    found = flat(directions.local_tangents(images, labels, train, digits.train_labels, 30, 5))
    for x, label, ours in zip(images, labels, found):
        same = train[digits.train_labels == label].flatten(1)
        near = same[(same - x.flatten()).norm(dim=1).argsort()[:30]]
        theirs = torch.linalg.svd(near - near.mean(0), full_matrices=False).Vh[:5]
        torch.testing.assert_close((ours @ theirs.T).abs(), torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-9)


def test_too_few_neighbours_of_a_class(digits):
    train, labels = digits.train_images[:200] / 255, digits.train_labels[:200]
    with pytest.raises(ValueError, match="neighbours: 90, expected at most .* class"):
        directions.local_tangents(train[:3], labels[:3], train, labels, neighbours=90)
    with pytest.raises(ValueError, match="count: 10, expected 1 to 4"):
        directions.local_tangents(train[:3], labels[:3], train, labels, neighbours=5)


def test_the_loss_gradient_is_the_steepest_direction():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(108 * 3, 16), nn.Tanh(), nn.Linear(16, 4)).double().eval()
    images, labels = coloured(), torch.tensor([0, 1, 2])
    loss = lambda x, y: torch.nn.functional.cross_entropy(model(x), y, reduction="none")
    steepest = directions.loss_gradient(model, images, labels)
    assert steepest.shape == (3, 1, 3, 12, 9)
    noise = directions.white_noise(images, 20, stream(0))
    rise = lambda v: (loss(images + 1e-6 * v, labels) - loss(images - 1e-6 * v, labels)) / 2e-6
    assert all((rise(steepest[:, 0]) > rise(noise[:, k])).all() for k in range(20))
    own = directions.loss_gradient(model, images)
    torch.testing.assert_close(own, directions.loss_gradient(model, images, model(images).argmax(1)))
    assert all(p.grad is None for p in model.parameters())


def test_a_dead_network_has_no_loss_gradient():
    model = nn.Sequential(nn.Flatten(), nn.Linear(324, 4)).double()
    nn.init.zeros_(model[1].weight)
    assert directions.loss_gradient(model, coloured()).abs().max() == 0


def test_shapes_have_their_exact_jacobian():
    found = directions.shapes(4, 17, stream(0, "shapes"), torch.float64)
    assert found.images.shape == (4, 1, 17, 17) and found.jacobian.shape == (4, 5, 1, 17, 17)
    assert 0 <= found.images.min() and found.images.max() <= 1
    edge = torch.ones(17, 17, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert found.images[:, 0, edge].max() < 0.1  # well within

    grid = torch.arange(17, dtype=torch.float64) - 8

    def ellipse(factors):
        x, y, angle, size, intensity = factors
        u = angle.cos() * (grid - x) + angle.sin() * (grid[:, None] - y)
        v = angle.cos() * (grid[:, None] - y) - angle.sin() * (grid - x)
        return intensity * torch.sigmoid(4 - 4 * ((u / size) ** 2 + (2 * v / size) ** 2))

    torch.testing.assert_close(found.images[:, 0], torch.stack([ellipse(f) for f in found.factors]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's, at the first vmap
        theirs = torch.stack([torch.func.jacfwd(ellipse)(f) for f in found.factors])  # (n, h, w, 5)
    torch.testing.assert_close(found.jacobian[:, :, 0], theirs.permute(0, 3, 1, 2))
    assert torch.equal(found.images, directions.shapes(4, 17, stream(0, "shapes"), torch.float64).images)


# --- The variational autoencoder


def test_the_vae_learns_digits_and_is_the_same_again(digits, vae):
    images = digits.test_images / 255
    assert float((vae(images) - images).norm() / images.norm()) < 0.4
    again = directions.train_vae(digits.train_images[:200] / 255, seed=3, epochs=2)
    same = directions.train_vae(digits.train_images[:200] / 255, seed=3, epochs=2)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), same.parameters()))
    assert not vae.training and not any(p.requires_grad for p in vae.parameters())


def test_vae_directions_are_singular_vectors_of_its_jacobian(digits, vae):
    images, vae = digits.test_images[:6].double() / 255, vae.double()
    codes = vae.encode(images)[0]
    steps = 1e-6 * torch.eye(10, dtype=torch.float64)
    theirs = torch.stack([(vae.decode(codes + step) - vae.decode(codes - step)) / 2e-6 for step in steps], dim=1)
    torch.testing.assert_close(vae.jacobian(images), theirs, rtol=0, atol=1e-7)
    found = flat(vae.directions(images, 4))
    left = torch.linalg.svd(flat(theirs).mT, full_matrices=False).U[..., :4].mT
    torch.testing.assert_close((found @ left.mT).abs(), torch.eye(4).double().expand(6, 4, 4), rtol=0, atol=1e-6)
    vae.float()


def test_data_and_vae_capture_augmentations_better_than_chance(digits, vae):
    """Of a random 10-dimensional span an augmentation has 10/400 = .025; of shift x these have .7 and .4."""
    images, labels = digits.test_images[:60] / 255, digits.test_labels[:60]
    named = generators(images)
    local = directions.local_tangents(images, labels, digits.train_images / 255, digits.train_labels)
    for span, of_shift in ((local, 0.6), (vae.directions(images, 10), 0.3)):
        share = (flat(named.vectors) @ flat(span).mT).square().sum(2).mean(0)
        assert share.min() > 0.1 and share[named.names.index("shift x")] > of_shift
