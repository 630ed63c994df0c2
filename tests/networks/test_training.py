"""Training: what decides a network is in its key, the cache gives back the same bits, recipes do what they say."""

import dataclasses
import math
import multiprocessing

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.networks import augmentation, fitting, models, numerics, processes, training
from helpers.networks.normalisation import Normalisation
from helpers.networks.training import Spec, trained

QUICK = Spec("mlp2", epochs=2, lr=0.1, fraction=0.3)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path))
    return tmp_path


def same(a, b):
    return all(torch.equal(a.model.state_dict()[name], tensor) for name, tensor in b.model.state_dict().items())


def files(cache):
    return sorted(cache.glob("networks/*.safetensors"))


@pytest.mark.parametrize("name, epochs, least", [("vgg8", 6, 0.96), ("mlp1", 12, 0.9)])  # twice the errors measured
def test_networks_learn_digits(name, epochs, least):
    net = trained(Spec(name, epochs=epochs), "cpu", progress=False)
    assert net.accuracy["test"] > least and net.accuracy["train"] > least
    assert len(net.history) == epochs and net.history[-1]["loss"] < net.history[0]["loss"]
    assert not net.model.training and not any(p.requires_grad for p in net.model.parameters())
    images = training.dataset(net.spec, "cpu")
    logits = net.model(images.test_images)
    assert (logits.argmax(1) == images.test_labels).float().mean().item() == pytest.approx(net.accuracy["test"])
    assert logits.norm(dim=1).mean().item() == pytest.approx(net.accuracy["logit_norm"], rel=1e-5)


def test_the_cache_gives_back_the_same_bits(empty_cache):
    first = trained(QUICK, "cpu", progress=False)
    changed = files(empty_cache)[0].stat().st_mtime_ns
    second = trained(QUICK, "cpu", progress=False)
    assert same(first, second) and first.history == second.history and first.accuracy == second.accuracy
    assert [file.stat().st_mtime_ns for file in files(empty_cache)] == [changed]
    files(empty_cache)[0].unlink()
    assert same(first, trained(QUICK, "cpu", progress=False))


def test_a_corrupt_file_is_named_and_made_again(empty_cache, capsys):
    first = trained(QUICK, "cpu")
    assert "mlp2 digits" in capsys.readouterr().err
    path = files(empty_cache)[0]
    path.write_bytes(path.read_bytes()[:-100])
    assert same(first, trained(QUICK, "cpu", progress=False))
    assert path.name in capsys.readouterr().err


def _train_in_a_process(queue):
    net = trained(QUICK, "cpu")
    queue.put(float(sum(p.double().sum() for p in net.model.parameters())))


def test_checkpoints_are_states_of_one_training(empty_cache):
    each = fitting.steps_per_epoch(QUICK, training.dataset(QUICK, "cpu"))
    nets = training.checkpoints(QUICK, steps=[0, 1], epochs=[0.5, 1], device="cpu", progress=False)
    assert [net.step for net in nets] == [0, 1, round(each / 2), each, 2 * each] and len(files(empty_cache)) == 5
    assert [len(net.history) for net in nets] == [0, 0, 0, 1, 2]
    assert nets[-1].accuracy["test"] > nets[0].accuracy["test"] and not same(nets[0], nets[1])
    assert same(nets[0], trained(dataclasses.replace(QUICK, epochs=0), "cpu", progress=False))
    last = trained(QUICK, "cpu", progress=False)
    assert same(nets[-1], last) and nets[-1].history == last.history
    for path in files(empty_cache):
        path.unlink()
    assert same(last, trained(QUICK, "cpu", progress=False))  # looking on the way changes nothing


def test_a_lost_checkpoint_is_made_again(empty_cache, capsys):
    first, _ = training.checkpoints(QUICK, steps=[3], device="cpu")
    path = next(path for path in files(empty_cache) if path.stem.endswith("-3"))
    path.write_bytes(b"damaged")
    again, _ = training.checkpoints(QUICK, steps=[3], device="cpu", progress=False)
    assert same(first, again) and path.name in capsys.readouterr().err


@pytest.mark.parametrize("given", [{"steps": [7]}, {"epochs": [2.5]}, {"steps": [-1]}])
def test_checkpoints_beyond_the_training_are_refused(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        training.checkpoints(QUICK, device="cpu", **given)


def test_calibration_takes_the_statistics_of_the_training_images():
    net = trained(Spec("resnet8-w4", epochs=0), "cpu", progress=False)
    weights = {name: tensor.clone() for name, tensor in net.model.named_parameters()}
    training.calibrate(net)
    images = training.dataset(net.spec, "cpu")
    before = net.model.conv1(images.normalise(images.train_images))
    assert torch.allclose(net.model.bn1.running_mean, before.mean((0, 2, 3)), atol=0.02)
    assert torch.allclose(net.model.bn1.running_var, before.var((0, 2, 3)), rtol=0.05)
    assert not any(module.training for module in net.model.modules()) and net.model.bn1.momentum == 0.1
    assert all(torch.equal(net.model.state_dict()[name], tensor) for name, tensor in weights.items())
    assert training.calibrate(trained(Spec("mlp1", epochs=0), "cpu", progress=False)).accuracy


def test_two_processes_train_a_network_once(empty_cache, capfd):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_train_in_a_process, args=(queue,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    sums = [queue.get(timeout=300) for _ in workers]  # a minute is short where the CPU is slow or busy
    for worker in workers:
        worker.join()
    assert sums[0] == sums[1] and len(files(empty_cache)) == 1
    assert capfd.readouterr().err.count("test accuracy") == 1


def test_prefetch_fills_the_cache_with_the_same_networks(empty_cache, monkeypatch, capfd):
    specs = [dataclasses.replace(QUICK, seed=seed) for seed in (1, 2, 1)]
    monkeypatch.setattr(training.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(training, "WORTH", 0)
    training.prefetch(specs, "cpu")
    assert len(files(empty_cache)) == 2 and "trained 2 of 2" in capfd.readouterr().err
    stored = trained(specs[0], "cpu")
    files(empty_cache)[0].unlink(), files(empty_cache)[0].unlink()
    training.prefetch(specs[:1], "cpu")  # one alone: here and now
    assert len(files(empty_cache)) == 1 and same(stored, trained(specs[0], "cpu"))
    training.prefetch({spec: [0.5, 1] for spec in specs}, "cpu")
    assert len(files(empty_cache)) == 6


def test_a_worker_does_its_job_in_the_threads_it_is_given(empty_cache, monkeypatch):
    monkeypatch.setattr(processes.threading.Thread, "start", lambda self: None)
    processes.start_worker(1, -1)
    training._fill(QUICK)
    assert torch.get_num_threads() == 1 and len(files(empty_cache)) == 1


def test_no_epochs_is_the_untrained_network():
    net = trained(Spec("resnet8", epochs=0, seed=7), "cpu", progress=False)
    fresh = models.build("resnet8", classes=10, seed=7)
    assert all(torch.equal(net.model.state_dict()[name], tensor) for name, tensor in fresh.state_dict().items())
    assert net.history == [] and net.accuracy["test"] < 0.4


def test_everything_that_decides_is_in_the_key():
    images = training.dataset(QUICK, "cpu")
    changes = dict(
        model="mlp1", dataset="digits20", seed=1, epochs=3, batch=64, lr=0.2, momentum=0.5, weight_decay=0.0,
        augment=True, mixup=1.0, manifold_mixup=1.0, label_noise=0.1, fraction=0.5, classes=3, size=9, optimiser="adam",
        geometric=True, photometric=True, noise=0.1, adversarial=1.0, attack_steps=5, weights="none",
    )  # fmt: skip
    assert set(changes) == {field.name for field in dataclasses.fields(Spec)}
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    keys = {training.key(dataclasses.replace(QUICK, **{name: value}), images, cpu) for name, value in changes.items()}
    keys |= {training.key(QUICK, images, cpu), training.key(QUICK, images, cuda)}
    keys |= {training.key(QUICK, images.select([0, 1]), cpu)}
    assert len(keys) == len(changes) + 3


@pytest.mark.parametrize("recipe", training.RECIPES)
@pytest.mark.parametrize("name", ["resnet8-w4", "mlp2"])
def test_every_recipe_trains(name, recipe):
    net = trained(Spec(name, epochs=1, **training.RECIPES[recipe]), "cpu", progress=False)
    assert math.isfinite(net.history[0]["loss"]) and not any(m._forward_hooks for m in net.model.modules())


FRAMES = Spec("cnn4", "digits20", epochs=15, optimiser="adam", lr=6e-3, weight_decay=1e-4)


def test_the_digits_network_learns_with_adam():
    net = trained(FRAMES, "cpu", progress=False)
    assert net.accuracy["test"] > 0.9  # twice the error measured
    images = training.dataset(FRAMES, "cpu")
    pixels = images.test_images[:100] / 255
    attacked = augmentation.attack(
        net.model, pixels, images.test_labels[:100], 1, 10, numerics.stream(0, "attack")
    )
    robust = (net.model(attacked).argmax(1) == images.test_labels[:100]).float().mean()
    assert robust < 0.5  # the attack of the training is one


def test_a_large_radius_does_not_kill_the_network():
    """From the first step at full size it does; digits' classes are a tenth each."""
    net = trained(dataclasses.replace(FRAMES, epochs=10, adversarial=2.0, attack_steps=2), "cpu", progress=False)
    assert net.accuracy["test"] > 0.6


def test_the_radius_grows_over_the_first_half(monkeypatch):
    spec, radii = Spec("resnet8-w4", adversarial=3.0, attack_steps=7), []
    model, images = models.build("resnet8-w4", classes=10), training.dataset(QUICK, "cpu")
    before = model.bn1.running_mean.clone()

    def spy(network, x, y, radius, steps, generator):
        assert steps == 7 and not model.training
        network(x)  # from pixels to logits
        radii.append(radius)
        return x + 1

    monkeypatch.setattr(augmentation, "attack", spy)
    attacked = fitting.attacking(spec, model.train(), images, 8)
    x, y = torch.rand(2, 1, 8, 8), torch.zeros(2).long()
    assert all(torch.equal(attacked(x, y), x + 1) and model.training for _ in range(8))
    assert radii == pytest.approx([0.75, 1.5, 2.25, 3, 3, 3, 3, 3]) and torch.equal(model.bn1.running_mean, before)
    assert fitting.attacking(QUICK, model, images, 8)(x, y) is x


@pytest.mark.parametrize("change", [{}, {"geometric": True}, {"photometric": True}, {"noise": 0.3}])
def test_batches_are_changed_as_specified(change):
    images = training.dataset(QUICK, "cpu")
    spec = Spec("mlp2", batch=200, **change)

    def batch(epoch):
        return next(iter(fitting.batches(spec, images, images.train_images, torch.arange(1297), epoch)))

    (x, chosen), (again, _), (other, others) = batch(1), batch(1), batch(2)
    plain = images.train_images[chosen] / 255
    assert torch.equal(x, again) and torch.equal(x, plain) == (not change)
    moved, later = (x - plain)[chosen.argsort()], (other - images.train_images[others] / 255)[others.argsort()]
    assert not change or not torch.equal(moved, later)
    assert change != {"noise": 0.3} or moved.std() == pytest.approx(0.3, rel=0.05)


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


@pytest.fixture
def elsewhere(tmp_path):
    """A network trained on three classes of digits, as a file."""
    net = trained(dataclasses.replace(QUICK, classes=3), "cpu", progress=False)
    torch.save(net.model.state_dict(), tmp_path / "net.pth")
    return net, str(tmp_path / "net.pth")


def test_weights_from_elsewhere_are_a_trained_network(elsewhere, monkeypatch):
    own, path = elsewhere
    spec = dataclasses.replace(own.spec, weights=path, seed=own.spec.seed)
    net = trained(spec, "cpu")
    assert same(own, net) and net.spec == spec and (net.history, net.step) == ([], 0)
    assert net.accuracy == pytest.approx({"test": own.accuracy["test"]})
    assert not net.model.training and not any(p.requires_grad for p in net.model.parameters())
    monkeypatch.setattr(Normalisation, "of", lambda self, images: images[:2] * 0.0)  # only for the classes
    assert training.checkpoints(spec, [0], device="cpu")[0].accuracy == net.accuracy  # from the cache
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
