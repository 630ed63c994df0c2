"""Train a network once and keep it.

A `Spec` holds everything that determines a trained network; `trained` gives the network, from the cache if possible.
All batches are built on the device. Training is SGD with momentum, the learning rate rising over the first twentieth of
the steps and then falling as a cosine; in bfloat16 and channels-last on CUDA, in float32 elsewhere.
"""

import hashlib
import inspect
import itertools
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from jaxtyping import Float, Int64
from torch import Tensor, nn

from helpers import data, models, store

# What each recipe changes in the default Spec. Mixup: Zhang et al. (2018); manifold mixup: Verma et al. (2019).
RECIPES: dict[str, dict[str, float | bool]] = {
    "plain": {},
    "no decay": {"weight_decay": 0.0},
    "augment": {"augment": True},
    "mixup": {"mixup": 1.0},
    "manifold": {"manifold_mixup": 2.0},
    "noise": {"label_noise": 0.4},
}
# Read once, at import: an edit while a run goes on must not pass for the code that trains.
SOURCES = [Path(models.__file__).read_text(), Path(__file__).read_text(), inspect.getsource(data.augment)]


@dataclass(frozen=True)
class Spec:
    """Everything that determines a trained network; with 0 epochs, the untrained one.

    `mixup` and `manifold_mixup` are the alpha of Beta(alpha, alpha), 0 for none; `label_noise` is the share of training
    labels replaced by another class; `fraction` the share of training images used; `classes` keeps the first k of a
    seeded order (0: all); `size` is for image folders. Raises ValueError for values out of range.
    """

    model: str
    dataset: str = "digits"
    seed: int = 100
    epochs: int = 8
    batch: int = 128
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: bool = False
    mixup: float = 0.0
    manifold_mixup: float = 0.0
    label_noise: float = 0.0
    fraction: float = 1.0
    classes: int = 0
    size: int | None = None

    def __post_init__(self) -> None:
        models.parse(self.model)
        limits = {
            "epochs": (0, math.inf), "batch": (2, math.inf), "lr": (0, math.inf), "momentum": (0, 1),
            "weight_decay": (0, math.inf), "mixup": (0, math.inf), "manifold_mixup": (0, math.inf),
            "label_noise": (0, 1), "fraction": (0, 1), "classes": (0, math.inf),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}={getattr(self, name)}: expected a number from {low} to {high}")
        if self.mixup and self.manifold_mixup:
            raise ValueError(f"mixup={self.mixup}, manifold_mixup={self.manifold_mixup}: expected at most one of them")

    def __str__(self) -> str:
        """The network in words: what differs from the defaults."""
        changed = [f"{f.name}={getattr(self, f.name)}" for f in fields(self)[2:] if getattr(self, f.name) != f.default]
        return " ".join([self.model, self.dataset, *changed])


@dataclass
class Trained:
    """A network in evaluation mode, float32, without gradients for its weights, and how it came to be.

    `history` has one row an epoch: epoch, loss, accuracy (means over the training batches as they came).
    `accuracy` has `train` and `loss` (mean cross-entropy) against the labels it was trained with, `test`, and
    `logit_norm` (mean Euclidean length of the test logits).
    """

    spec: Spec
    model: nn.Module
    history: list[dict[str, int | float]]
    accuracy: dict[str, float]


def trained(spec: Spec, device: torch.device | str | None = None, progress: bool = True) -> Trained:
    """The network of this specification: from the cache, or trained now and kept there.

    Two processes that want the same network train it once; a corrupt file is named on stderr and made again. Either
    way it is the same network, bit for bit (on one device and number of threads). Raises ValueError for a data set
    without labels, RuntimeError if the loss is not finite.
    """
    place = data.device(device)
    images = dataset(spec, place)
    if images.train_labels is None or images.test_labels is None:
        raise ValueError(f"dataset={images.name!r}: expected classes (one subfolder each) to train a network on")
    path = _path(spec, images, place)
    path.parent.mkdir(parents=True, exist_ok=True)
    _, channels, _, size = images.train_images.shape
    model = models.build(spec.model, classes=len(images.classes), channels=channels, size=size, seed=spec.seed)
    with FileLock(path.with_suffix(".lock")):
        found = store.kept(path)
        if found is None:
            start = time.perf_counter()
            history, accuracy = _train(spec, model, images, place, progress)
            notes = {"spec": asdict(spec), "history": history, "accuracy": accuracy}
            store.keep(path, model.state_dict(), **{name: json.dumps(note) for name, note in notes.items()})
            if progress:
                seconds = time.perf_counter() - start
                print(f"{spec}: test accuracy {accuracy['test']:.3f}, {seconds:.1f} s", file=sys.stderr)
            found = store.kept(path)
    tensors, notes = found
    model.load_state_dict(tensors)
    model = model.to(place, memory_format=torch.contiguous_format).eval().requires_grad_(False)
    return Trained(spec, model, json.loads(notes["history"]), json.loads(notes["accuracy"]))


def dataset(spec: Spec, device: torch.device | str | None = None) -> data.Dataset:
    """The data set as the network of this specification sees it: its classes alone, labels clean, all images."""
    images = _loaded(spec.dataset, spec.size, data.device(device))
    if not spec.classes:
        return images
    if spec.classes > len(images.classes):
        raise ValueError(f"classes={spec.classes}: {images.title} has {len(images.classes)}")
    order = torch.randperm(len(images.classes), generator=data.stream(spec.seed, "classes"))
    return images.select(order[: spec.classes].tolist())


def key(spec: Spec, images: data.Dataset, device: torch.device) -> str:
    """A hash of all that decides the weights: specification, images, kind of device, and the sources that train."""
    parts = [asdict(spec), images.checksum, images.mean, images.std, device.type, SOURCES]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _path(spec: Spec, images: data.Dataset, device: torch.device) -> Path:
    return store.cache() / "networks" / f"{key(spec, images, device)}.safetensors"


def zoo(profile: str) -> list[Spec]:
    """The networks that chapters share, for the profile `smoke`, `laptop` or `paper` (CIFAR-10)."""
    if profile == "smoke":
        return [Spec(model, seed=seed, epochs=1) for model in ("resnet8", "mlp2") for seed in (100, 101)]
    slow = {"epochs": 60, "lr": 0.1}  # without batch norm, an MLP takes five times as long to get there
    cifar = {"dataset": "cifar10", "epochs": 15, "batch": 512, "lr": 0.2}
    if profile == "laptop":
        grid, seeds = {"resnet14": {}, "vgg8": {}, "mlp4": slow}, range(100, 105)
    elif profile == "paper":
        grid, seeds = dict.fromkeys(("resnet18-w32", "resnet18", "vgg13", "vgg19-w32"), cifar), range(100, 105)
    else:
        raise ValueError(f"profile={profile!r}: expected smoke, laptop or paper")
    cells = itertools.product(grid.items(), RECIPES.values(), seeds)
    return [Spec(model, seed=seed, **usual, **recipe) for (model, usual), recipe, seed in cells]


def prefetch(specs: Iterable[Spec], device: torch.device | str | None = None) -> None:
    """Train the networks that the cache lacks, on a CPU one process a core: a small network cannot use two cores."""
    place = data.device(device)
    missing = [spec for spec in dict.fromkeys(specs) if not _path(spec, dataset(spec, place), place).exists()]
    processes = min(os.cpu_count() or 1, len(missing)) if place.type == "cpu" else 1
    if processes < 2:
        for spec in missing:
            trained(spec, place)
        return
    # Long ones first, so that none is left to run alone at the end.
    missing.sort(key=lambda spec: spec.epochs * spec.fraction, reverse=True)
    given = (torch.get_num_threads(), os.getpid())
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_start_worker, initargs=given) as pool:
        for done, _ in enumerate(pool.map(_fill, missing), start=1):
            print(f"trained {done} of {len(missing)} networks", file=sys.stderr)


def _start_worker(threads: int, parent: int) -> None:
    """As many threads as the parent has, on which results depend; and not to outlive a parent that is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    torch.set_num_threads(threads)
    threading.Thread(target=watch, daemon=True).start()


def _fill(spec: Spec) -> None:
    trained(spec, "cpu", progress=False)  # the cache is what is wanted: nothing is sent back


@lru_cache(maxsize=2)
def _loaded(name: str, size: int | None, device: torch.device) -> data.Dataset:
    return data.load(name, size=size, device=device)


def _train(
    spec: Spec, model: nn.Module, images: data.Dataset, device: torch.device, progress: bool
) -> tuple[list[dict[str, int | float]], dict[str, float]]:
    """Train the network in place; its history and how well it does."""
    fast = device.type == "cuda"
    model.to(device, memory_format=torch.channels_last if fast else torch.contiguous_format).train()
    pixels, labels = _training_set(spec, images)
    steps = max(len(pixels) // spec.batch, 1)
    optimiser = torch.optim.SGD(model.parameters(), lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)
    rates = _rates(spec.lr, spec.epochs * steps)
    mixing = _mixing(spec, model, spec.epochs * steps)
    history, told = [], time.perf_counter()
    for epoch in range(1, spec.epochs + 1):
        sums = torch.zeros(2, device=device)
        for x, y in _batches(spec, images, pixels, labels, epoch):
            optimiser.param_groups[0]["lr"] = next(rates)
            with torch.autocast(device.type, torch.bfloat16, enabled=fast):
                loss, right = mixing(x.contiguous(memory_format=torch.channels_last) if fast else x, y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            sums += torch.stack([loss.detach(), right])
        mean_loss, accuracy = (sums / steps).tolist()
        if not math.isfinite(mean_loss):
            raise RuntimeError(f"the loss is {mean_loss} in epoch {epoch} of {spec}: a smaller lr may help")
        history.append({"epoch": epoch, "loss": mean_loss, "accuracy": accuracy})
        if progress and time.perf_counter() - told > 10:
            told = time.perf_counter()
            print(f"{spec}: epoch {epoch} of {spec.epochs}, loss {mean_loss:.3f}", file=sys.stderr)
    model.eval()
    train_accuracy, loss, _ = _judge(model, images, pixels, labels)
    test_accuracy, _, norm = _judge(model, images, images.test_images, images.test_labels)
    return history, {"train": train_accuracy, "test": test_accuracy, "loss": loss, "logit_norm": norm}


def _training_set(spec: Spec, images: data.Dataset) -> tuple[Tensor, Int64[Tensor, "n"]]:
    """The fraction of the training images that is used, and its labels, some of them wrong if so specified."""
    n, device = len(images.train_images), images.train_images.device
    chosen = torch.randperm(n, generator=data.stream(spec.seed, "fraction"))[: max(round(spec.fraction * n), 2)]
    chosen = (chosen if spec.fraction < 1 else torch.arange(n)).to(device)
    labels, noise = images.train_labels[chosen], data.stream(spec.seed, "label noise")
    wrong = torch.randperm(len(labels), generator=noise)[: round(spec.label_noise * len(labels))].to(device)
    if len(wrong):
        shift = torch.randint(1, len(images.classes), (len(wrong),), generator=noise).to(device)
        labels[wrong] = (labels[wrong] + shift) % len(images.classes)
    return images.train_images[chosen], labels


def _batches(
    spec: Spec, images: data.Dataset, pixels: Tensor, labels: Tensor, epoch: int
) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, "b"]]]:
    """The epoch's batches, normalised; all of one size, so the last few images of each epoch's order sit out."""
    if spec.augment:
        pixels = data.augment(pixels, data.stream(spec.seed, "augment", epoch), **images.augmentation)
    batch = min(spec.batch, len(pixels))
    order = torch.randperm(len(pixels), generator=data.stream(spec.seed, "order", epoch)).to(pixels.device)
    for chosen in order[: len(pixels) // batch * batch].split(batch):
        yield images.normalise(pixels[chosen]), labels[chosen]


def _rates(lr: float, steps: int) -> Iterator[float]:
    warm = max(steps // 20, 1)
    for step in range(steps):
        yield lr * min((step + 1) / warm, 1) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _mixing(spec: Spec, model: nn.Module, steps: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A function from a batch to its loss and training accuracy: plain, mixup, or manifold mixup.

    Manifold mixup mixes at a point drawn anew each step, from the input to two thirds of the depth.
    """
    alpha = spec.mixup or spec.manifold_mixup
    if not alpha:

        def plain(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            logits = model(x)
            return F.cross_entropy(logits, y), (logits.detach().argmax(1) == y).float().mean()

        return plain
    generator = data.stream(spec.seed, "mixing")
    shares = iter(np.random.default_rng(generator.initial_seed()).beta(alpha, alpha, steps).tolist())
    places = [point for point, depth in models.points(model).items() if depth <= (2 / 3 if spec.manifold_mixup else 0)]

    def mixed(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        share, order = next(shares), torch.randperm(len(y), generator=generator).to(y.device)
        place = places[int(torch.randint(len(places), (), generator=generator))]

        def mix(activation: Tensor) -> Tensor:
            return share * activation + (1 - share) * activation[order]

        if place == "input":
            logits = model(mix(x))
        else:
            hook = model.get_submodule(place).register_forward_hook(lambda module, inputs, output: mix(output))
            logits = model(x)
            hook.remove()
        loss = share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, y[order])
        return loss, (logits.detach().argmax(1) == y).float().mean()

    return mixed


@torch.no_grad()
def _judge(model: nn.Module, images: data.Dataset, pixels: Tensor, labels: Tensor) -> tuple[float, float, float]:
    """Accuracy, mean cross-entropy and mean length of the logits, in float32."""
    logits = torch.cat([model(images.normalise(part)) for part in pixels.split(1000)])
    right, loss = (logits.argmax(1) == labels).float().mean(), F.cross_entropy(logits, labels)
    return right.item(), loss.item(), logits.norm(dim=1).mean().item()
