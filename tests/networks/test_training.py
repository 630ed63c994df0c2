"""Training: networks learn, the cache gives back the same bits, checkpoints, and what decides is in the key."""

from training_shared import *  # noqa: F403


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


@pytest.mark.slow
def test_two_processes_train_a_network_once(empty_cache, capfd):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=train_in_a_process, args=(queue,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    sums = [queue.get(timeout=300) for _ in workers]  # a minute is short where the CPU is slow or busy
    for worker in workers:
        worker.join()
    assert sums[0] == sums[1] and len(files(empty_cache)) == 1
    assert capfd.readouterr().err.count("test accuracy") == 1


PREFETCHED = """
import os, torch
from pathlib import Path
from helpers.networks import Spec, trained, training

def files():
    return sorted((Path(os.environ["LAYERS_CACHE"]) / "networks").glob("*.safetensors"))

if __name__ == "__main__":
    torch.set_num_threads(1)
    os.cpu_count, training.WORTH = lambda: 2, 0
    specs = [Spec("mlp1-w16", epochs=2, fraction=0.3, seed=seed) for seed in (1, 2, 1)]
    training.prefetch(specs, "cpu")
    assert len(files()) == 2
    weights = lambda: list(trained(specs[0], "cpu").model.state_dict().values())
    beside = weights()
    for file in files():
        file.unlink()
    training.prefetch(specs[:1], "cpu")  # one alone: here and now
    assert len(files()) == 1 and all(map(torch.equal, beside, weights()))
    training.prefetch({spec: [0.5, 1] for spec in specs}, "cpu")
    assert len(files()) == 6
"""


@pytest.mark.slow
def test_prefetch_fills_the_cache_with_the_same_networks(tmp_path):
    """Without the tests' own checks of shapes, which are code, too: workers start without them, and have other keys."""
    (tmp_path / "script.py").write_text(PREFETCHED)
    environment = os.environ | {"LAYERS_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "trained 2 of 2" in done.stderr


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


@pytest.mark.slow
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
