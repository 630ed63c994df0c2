"""Recipes of training: what is mixed, noised, left out and shuffled; weights from elsewhere; impossible ones."""

from training_shared import *  # noqa: F403


def test_dropout_follows_from_the_seed_too(tmp_path, empty_cache):
    """Stochastic depth and dropout of torchvision's networks draw from torch's own generator."""
    for i in range(20):
        colour = tuple(np.random.default_rng(i).integers(0, 255, 3).tolist())
        for part in ("train", "test"):
            (tmp_path / "set" / part / str(i % 2)).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), colour).save(tmp_path / "set" / part / str(i % 2) / f"{i}.png")
    spec = Spec("torchvision:mobilenet_v3_small", f"folder:{tmp_path}/set", size=32, epochs=1, batch=8)
    first = trained(spec, "cpu", progress=False)
    files(empty_cache)[0].unlink()
    state = torch.get_rng_state()
    torch.rand(3)
    assert same(first, trained(spec, "cpu", progress=False))
    torch.set_rng_state(state)


def test_weights_from_elsewhere_are_a_trained_network(elsewhere):
    own, path = elsewhere
    spec = dataclasses.replace(own.spec, weights=path, seed=own.spec.seed)
    net = trained(spec, "cpu")
    assert same(own, net) and net.spec == spec and (net.history, net.step) == ([], 0)
    assert net.accuracy == pytest.approx({"test": own.accuracy["test"]})
    assert not net.model.training and not any(p.requires_grad for p in net.model.parameters())
    kept = {file: file.stat().st_mtime_ns for file in (cache.folder() / "accuracy").glob("*.safetensors")}
    assert training.checkpoints(spec, [0], device="cpu")[0].accuracy == net.accuracy
    again = {file: file.stat().st_mtime_ns for file in (cache.folder() / "accuracy").glob("*.safetensors")}
    assert kept and again == kept  # from the cache
    training.prefetch([spec], "cpu")  # nothing to train
    with pytest.raises(ValueError, match="steps, epochs.*weights"):
        training.checkpoints(spec, epochs=[1], device="cpu")


def test_a_network_for_other_classes_is_not_judged(elsewhere):
    net = trained(Spec("mlp2", weights=elsewhere[1]), "cpu")
    assert net.accuracy == {} and net.model.linear.out_features == 3


def test_no_weights_are_the_untrained_network(tmp_path):
    net = trained(Spec("mlp2", weights="none", seed=3), "cpu")
    assert same(net, trained(Spec("mlp2", epochs=0, seed=3), "cpu", progress=False))
    assert net.accuracy["test"] < 0.4
    for i in range(5):  # images without labels: as many outputs as ImageNet has classes
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{i}.png")
    net = trained(Spec("mlp2", dataset=f"folder:{tmp_path}", size=8, weights="none"), "cpu")
    assert net.accuracy == {} and net.model.linear.out_features == 1000


def test_the_data_set_has_the_constants_that_weights_want(tmp_path):
    for i in range(5):
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{i}.png")
    spec = Spec("torchvision:squeezenet1_1", f"folder:{tmp_path}", size=8)
    means = [training.dataset(dataclasses.replace(spec, weights=w), "cpu").mean for w in ("train", "none", "a.pth")]
    assert means[0] == means[1] != means[2] == (0.485, 0.456, 0.406)


def test_mixup_mixes_inputs_and_labels():
    """One-hot images through an identity: the logits are the mixed images, which are the mixed labels too."""
    spec = Spec("mlp1", mixup=1.0)
    seen = []

    class Spy(torch.nn.Module):
        depths = {"input": 0, "linear": 1}

        def forward(self, x):
            seen.append(x)
            return x

    x, y = torch.eye(6), torch.arange(6)
    loss, _ = fitting.mixing(spec, Spy(), 1)(x, y)
    mixed = seen[0]
    assert torch.allclose(mixed.sum(0), torch.ones(6)) and torch.allclose(mixed.sum(1), torch.ones(6))
    moved = next(i for i in range(6) if mixed[i, i] < 0.999)
    share, partner = mixed[moved, moved], int(mixed[moved].clone().index_fill(0, torch.tensor(moved), 0).argmax())
    assert mixed[moved, partner] == pytest.approx(1 - share.item())
    assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(mixed, mixed).item(), rel=1e-5)


def test_manifold_mixup_reaches_hidden_points_and_leaves_no_hook():
    net = models.build("mlp4", classes=3, size=2)
    step = fitting.mixing(Spec("mlp4", manifold_mixup=2.0), net, 40)
    hooked = set()
    register = torch.nn.Module.register_forward_hook

    def spy(module, hook):
        hooked.add(next(name for name, m in net.named_modules() if m is module))
        return register(module, hook)

    torch.nn.Module.register_forward_hook = spy
    try:
        for _ in range(40):
            step(torch.rand(8, 1, 2, 2), torch.randint(0, 3, (8,)))
    finally:
        torch.nn.Module.register_forward_hook = register
    assert hooked == {"act1", "act2", "act3"} and not any(m._forward_hooks for m in net.modules())


def test_label_noise_makes_exactly_that_share_wrong():
    images = training.dataset(QUICK, "cpu")
    pixels, labels = fitting.training_set(Spec("mlp2", label_noise=0.4), images)
    assert torch.equal(pixels, images.train_images)
    wrong = labels != images.train_labels
    assert wrong.sum() == round(0.4 * 1297) and len(labels[wrong].unique()) == 10


def test_fractions_are_nested():
    images = training.dataset(QUICK, "cpu")
    small, large = (fitting.training_set(Spec("mlp2", fraction=f), images)[0] for f in (0.1, 0.2))
    assert len(small) == 130 and torch.equal(large[: len(small)], small)


def test_classes_are_the_first_of_a_seeded_order():
    three, five = (training.dataset(Spec("mlp2", classes=k, seed=3), "cpu") for k in (3, 5))
    assert five.classes[:3] == three.classes and len(set(five.classes)) == 5
    assert three.classes != training.dataset(Spec("mlp2", classes=3, seed=4), "cpu").classes
    net = trained(Spec("mlp2", classes=3, epochs=0), "cpu", progress=False)
    assert net.model.linear.out_features == 3
    with pytest.raises(ValueError, match="classes=11"):
        training.dataset(Spec("mlp2", classes=11))


def test_batches_are_a_permutation_of_whole_batches():
    images = training.dataset(QUICK, "cpu")
    spec = Spec("mlp2", batch=100)
    index = torch.arange(1297)

    def order(epoch):
        return torch.cat([y for _, y in fitting.batches(spec, images, images.train_images, index, epoch)])

    first, again, other = order(1), order(1), order(2)
    assert torch.equal(first, again) and not torch.equal(first, other) and len(first.unique()) == 1200
    whole = list(fitting.batches(Spec("mlp2", batch=5000), images, images.train_images, index, 1))
    assert len(whole) == 1 and len(whole[0][1]) == 1297


def test_the_rate_warms_up_and_goes_to_nothing():
    rates = list(fitting.rates(0.5, 200))
    assert len(rates) == 200 and np.argmax(rates) == 9 and max(rates) == pytest.approx(0.5, rel=0.01)
    assert rates[0] < 0.06 and rates[-1] < 1e-4 and rates[100] == pytest.approx(0.25)


def test_a_diverging_network_is_named(empty_cache):
    with pytest.raises(RuntimeError, match="mlp2 digits.*lr=1e\\+30"):
        trained(Spec("mlp2", epochs=2, lr=1e30), "cpu", progress=False)
    assert not files(empty_cache)


@pytest.mark.parametrize("change", [
    {"model": "resnet9"}, {"epochs": -1}, {"batch": 1}, {"lr": -0.1}, {"label_noise": 1.5}, {"fraction": -0.1},
    {"mixup": 1.0, "manifold_mixup": 1.0}, {"mixup": math.nan}, {"classes": -2}, {"optimiser": "adamw"}, {"noise": -0.1},
    {"adversarial": -1}, {"attack_steps": 0}, {"momentum": 1.0, "optimiser": "adam"}, {"model": "torchvision:resnet19"},
])  # fmt: skip
def test_impossible_specifications_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(QUICK, **change)


def test_images_without_labels_cannot_be_trained_on(tmp_path):
    for i in range(5):
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{i}.png")
    with pytest.raises(ValueError, match="without|classes"):
        trained(Spec("mlp2", dataset=f"folder:{tmp_path}", size=8), "cpu")


def test_progress_is_told_in_plain_lines(monkeypatch, capsys, empty_cache):
    times = iter(range(0, 1000, 11))
    monkeypatch.setattr(fitting.time, "perf_counter", lambda: float(next(times)))
    trained(QUICK, "cpu")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("mlp2 digits epochs=2") and "epoch 1 of 2" in lines[0] and "test accuracy" in lines[-1]
