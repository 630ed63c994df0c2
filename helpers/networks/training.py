"""Train a network once and keep it.

A `Spec` holds everything that determines a trained network; `trained` gives the network, from the cache if possible,
and `checkpoints` what it was on the way. How it is trained: `helpers.networks.fitting`.
"""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor, nn

from helpers.networks import cache, datasets, fitting, models, numerics, pretrained, processes
from helpers.networks.fingerprints import fingerprint
from helpers.networks.fitting import RECIPES as RECIPES
from helpers.networks.fitting import Spec
from helpers.networks.normalisation import normalised

WORTH = 50_000  # training images: fewer have been learned from before a second process has started


@dataclass
class Trained:
    """A network in evaluation mode, float32, without gradients for its weights, and how it came to be.

    It takes pixels in [0, 1], or of uint8, and normalises them itself, as its data set's were when it was trained.
    `history` has one row an epoch: epoch, loss, accuracy (means over the training batches as they came).
    `accuracy` has `train` and `loss` (mean cross-entropy) against the labels it was trained with, `test`, and
    `logit_norm` (mean Euclidean length of the test logits). `step` counts the batches it has been trained on. A network
    with `weights` from elsewhere has no history, and of the accuracies `test`, if the data set has its classes.
    """

    spec: Spec
    model: nn.Module
    history: list[dict[str, int | float]]
    accuracy: dict[str, float]
    step: int

    @property
    def images(self) -> datasets.Dataset:
        """The data set as the network sees it, on the network's device."""
        return dataset(self.spec, next(self.model.parameters()).device)


def trained(spec: Spec, device: torch.device | str | None = None, progress: bool = True) -> Trained:
    """The network of this specification: from the cache, or trained now and kept there; or with weights from elsewhere.

    Two processes that want the same network train it once; a corrupt file is named on stderr and made again. Either
    way it is the same network, bit for bit (on one device and number of threads). Raises ValueError for a data set
    without labels, RuntimeError if the loss is not finite.
    """
    return checkpoints(spec, device=device, progress=progress)[-1]


def checkpoints(
    spec: Spec, steps: Iterable[int] = (), epochs: Iterable[int | float] = (), device: torch.device | str | None = None,
    progress: bool = True,
) -> list[Trained]:  # fmt: skip
    """The network after these steps and epochs (fractions too; 0: as it began), in order, and last as trained.

    They are kept like `trained` networks and are states of one and the same run of training. Besides its errors,
    ValueError for a step or epoch beyond the training.
    """
    place = numerics.device(device)
    images = dataset(spec, place)
    if spec.weights != "train":
        return [_from_elsewhere(spec, images, place, *steps, *epochs)]
    wanted = _steps(spec, images, steps, epochs)
    paths = {step: _path(spec, images, place, step if step < wanted[-1] else None) for step in wanted}
    paths[wanted[-1]].parent.mkdir(parents=True, exist_ok=True)
    with FileLock(paths[wanted[-1]].with_suffix(".lock")):
        found = {step: cache.kept(path) for step, path in paths.items()}
        missing = [step for step in wanted if found[step] is None]
        if missing:
            _train(spec, images, place, {step: paths[step] for step in missing}, progress)
            found |= {step: cache.kept(paths[step]) for step in missing}
    return [_network(spec, images, place, step, *found[step]) for step in wanted]


def dataset(spec: Spec, device: torch.device | str | None = None) -> datasets.Dataset:
    """The data set as the network of this specification sees it: its classes alone, labels clean, all images.

    Weights of torchvision's networks come with the mean and std that they want.
    """
    images = _loaded(spec.dataset, spec.size, numerics.device(device))
    if constants := models.normalisation(spec.model, spec.weights):
        images = replace(images, mean=constants[0], std=constants[1])
    if not spec.classes:
        return images
    if spec.classes > len(images.classes):
        raise ValueError(f"classes={spec.classes}: {images.title} has {len(images.classes)}")
    order = torch.randperm(len(images.classes), generator=numerics.stream(spec.seed, "classes"))
    return images.select(order[: spec.classes].tolist())


def key(spec: Spec, images: datasets.Dataset, device: torch.device) -> str:
    """The fingerprint of all that decides the weights: specification, images, kind of device, and the code that trains."""
    return fingerprint(spec, images, device.type, _code())


@lru_cache(maxsize=1)
def _code() -> str:
    """The fingerprint of the code that trains: that of this process, whatever is edited meanwhile."""
    return fingerprint(fitting.descend, models.build)


def _path(spec: Spec, images: datasets.Dataset, device: torch.device, step: int | None = None) -> Path:
    """Where the trained network is kept, or its checkpoint after a number of steps."""
    name = key(spec, images, device) + ("" if step is None else f"-{step}")
    return cache.folder() / "networks" / f"{name}.safetensors"


def _steps(spec: Spec, images: datasets.Dataset, steps: Iterable[int], epochs: Iterable[int | float]) -> list[int]:
    """The steps of the checkpoints in order, the last one of the training among them."""
    if images.train_labels is None or images.test_labels is None:
        raise ValueError(f"dataset={images.name!r}: expected classes (one subfolder each) to train a network on")
    each = fitting.steps_per_epoch(spec, images)
    steps, epochs = list(steps), list(epochs)
    for name, values, most in (("steps", steps, spec.epochs * each), ("epochs", epochs, spec.epochs)):
        if beyond := [value for value in values if not 0 <= value <= most]:
            raise ValueError(f"{name}={beyond[0]}: expected numbers from 0 to {most}, the length of the training")
    return sorted({*map(int, steps), *(round(epoch * each) for epoch in epochs), spec.epochs * each})


def _build(spec: Spec, images: datasets.Dataset, classes: int | None = None) -> nn.Module:
    _, channels, _, size = images.train_images.shape
    classes = classes or len(images.classes) or 1000  # no classes: those of ImageNet
    return models.build(spec.model, classes=classes, channels=channels, size=size, seed=spec.seed)


def _from_elsewhere(spec: Spec, images: datasets.Dataset, device: torch.device, *wanted: int | float) -> Trained:
    """The network untrained, or with weights that were trained elsewhere, for as many classes as they are for."""
    if any(wanted):
        raise ValueError(f"steps, epochs={wanted}: expected none but 0 with weights={spec.weights!r}")
    model = _build(spec, images)
    if spec.weights != "none":
        tensors = pretrained.read(spec.weights, spec.model)
        if (classes := pretrained.classes(model, tensors)) is not None:
            model = _build(spec, images, classes)
        model = pretrained.load(model, tensors, spec.weights)
    model = normalised(model.to(device).eval().requires_grad_(False), images.mean, images.std)
    net = Trained(spec, model, [], {}, 0)
    net.accuracy = _accuracy(net, images)
    return net


@torch.no_grad()
def _accuracy(net: Trained, images: datasets.Dataset) -> dict[str, float]:
    """The share of test images that are classified correctly, kept in the cache; nothing if the classes are others."""
    if images.test_labels is None or _logits(net.model, images) != len(images.classes):
        return {}
    weights = cache.checksum(*net.model.state_dict().values())
    path = cache.folder() / "accuracy" / f"{key(net.spec, images, images.train_images.device)}-{weights}.safetensors"
    found, _ = cache.kept(path) or (None, None)
    if found is None:
        predicted = torch.cat([net.model(part).argmax(1) for part in images.test_images.split(250)])
        found = {"test": (predicted == images.test_labels).float().mean()}
        cache.keep(path, found)
    return {name: value.item() for name, value in found.items()}


@torch.no_grad()
def _logits(model: nn.Module, images: datasets.Dataset) -> int:
    """How many logits a network gives; it comes out in evaluation mode."""
    few = images.test_images[:2] / 255
    return model.eval()(few.to(next(model.parameters()).device)).shape[1]


def _train(spec: Spec, images: datasets.Dataset, device: torch.device, paths: dict[int, Path], progress: bool) -> None:
    """Train the network and keep it as it is after each of the steps."""
    start, model = time.perf_counter(), _build(spec, images)
    if (found := _logits(model, images)) < len(images.classes):
        raise ValueError(f"model={spec.model!r}: {found} logits; {images.title} has {len(images.classes)} classes")

    def keep(step: int, history: fitting.History, accuracy: dict[str, float]) -> None:
        notes = {"spec": asdict(spec), "history": history, "accuracy": accuracy}
        cache.keep(paths[step], model.state_dict(), **{name: json.dumps(note) for name, note in notes.items()})
        if progress and step == max(paths):
            seconds = time.perf_counter() - start
            print(f"{spec}: test accuracy {accuracy['test']:.3f}, {seconds:.1f} s", file=sys.stderr)

    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        # Dropout and stochastic depth, which some of torchvision's networks have, know torch's own generators alone.
        torch.manual_seed(numerics.stream(spec.seed, "dropout").initial_seed())
        fitting.descend(spec, model, images, device, paths, keep, progress)


def _network(
    spec: Spec, images: datasets.Dataset, device: torch.device, step: int, tensors: dict[str, Tensor], notes: dict[str, str]
) -> Trained:
    model = _build(spec, images)
    model.load_state_dict(tensors)
    model = model.to(device, memory_format=torch.contiguous_format).eval().requires_grad_(False)
    model = normalised(model, images.mean, images.std)
    return Trained(spec, model, json.loads(notes["history"]), json.loads(notes["accuracy"]), step)


@torch.no_grad()
def calibrate(net: Trained, batches: int = 8) -> Trained:
    """The network with batch norm's statistics taken afresh from training batches; in place, nothing else changes.

    They lag behind the weights early in training, and before it they are no statistics at all.
    """
    norms = [module for module in net.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return net
    pixels, _ = fitting.training_set(net.spec, net.images)
    usual = norms[0].momentum
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None  # the mean over all batches
    for step in range(batches):
        chosen = torch.randint(len(pixels), (net.spec.batch,), generator=numerics.stream(net.spec.seed, "calibration", step))
        net.model(pixels[chosen.to(pixels.device)])
    for norm in norms:
        norm.eval().momentum = usual
    return net


def prefetch(
    specs: Iterable[Spec] | Mapping[Spec, Iterable[int | float]], device: torch.device | str | None = None
) -> None:
    """Train the networks that the cache lacks, on a CPU by several processes: a small network cannot use two cores.

    A mapping gives, for each network, the epochs whose checkpoints are wanted too.
    """
    place = numerics.device(device)
    wanted = {spec: tuple(specs[spec]) if isinstance(specs, Mapping) else () for spec in specs}
    wanted = {spec: epochs for spec, epochs in wanted.items() if spec.weights == "train"}
    missing = [spec for spec, epochs in wanted.items() if not _there(spec, place, epochs)]
    work = sum(spec.epochs * spec.fraction * len(dataset(spec, place).train_images) for spec in missing)
    side_by_side = min(processes.workers(), len(missing)) if place.type == "cpu" and work > WORTH else 1
    if side_by_side < 2:
        for spec in missing:
            checkpoints(spec, epochs=wanted[spec], device=place)
        return
    # Long ones first, so that none is left to run alone at the end.
    missing.sort(key=lambda spec: spec.epochs * spec.fraction, reverse=True)
    told = processes.progress("networks trained", len(missing))
    for _ in processes.side_by_side(_fill, [(spec, wanted[spec]) for spec in missing]):
        told()


def _there(spec: Spec, device: torch.device, epochs: Iterable[int | float]) -> bool:
    images = dataset(spec, device)
    *early, _ = _steps(spec, images, (), epochs)
    return all(_path(spec, images, device, step).exists() for step in (*early, None))


def _fill(spec: Spec, epochs: tuple[int | float, ...] = ()) -> None:
    checkpoints(spec, epochs=epochs, device="cpu", progress=False)  # the cache is what is wanted: nothing is sent back


@lru_cache(maxsize=2)
def _loaded(name: str, size: int | None, device: torch.device) -> datasets.Dataset:
    return datasets.load(name, size=size, device=device)


