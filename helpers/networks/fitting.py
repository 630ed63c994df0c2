"""How a network is trained: its specification, batches built on the device, and gradient descent on them.

SGD with momentum or Adam, the learning rate rising over the first twentieth of the steps and then falling as a cosine;
in bfloat16 and channels-last on CUDA, in float32 elsewhere. What is kept of it is the business of `training`.
"""

import itertools
import math
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from helpers.networks import augmentation, datasets, models, numerics

# What each recipe changes in the default Spec. Mixup: Zhang et al. (2018); manifold mixup: Verma et al. (2019);
# training against attacks: Madry et al. (2018).
RECIPES: dict[str, dict[str, float | bool]] = {
    "plain": {},
    "no decay": {"weight_decay": 0.0},
    "augment": {"augment": True},
    "mixup": {"mixup": 1.0},
    "manifold": {"manifold_mixup": 2.0},
    "noise": {"label_noise": 0.4},
    "geometric": {"geometric": True},
    "photometric": {"photometric": True},
    "input noise": {"noise": 0.25},
    "adversarial": {"adversarial": 1.0},
}
History = list[dict[str, int | float]]
Kept = Callable[[int, History, dict[str, float]], None]


@dataclass(frozen=True)
class Spec:
    """Everything that determines a trained network; with 0 epochs, the untrained one.

    `mixup` and `manifold_mixup` are the alpha of Beta(alpha, alpha), 0 for none; `label_noise` is the share of training
    labels replaced by another class; `fraction` the share of training images used; `classes` keeps the first k of a
    seeded order (0: all); `size` is for image folders. `momentum` is Adam's first beta.

    `geometric` and `photometric` are the changes of `augmentation`; `noise` is the standard deviation of Gaussian noise
    on the pixels, `adversarial` the L2 radius of attacks of `attack_steps` steps, both for pixels in [0, 1]. They
    follow each other in this order. `weights` is `train`, `none` for the untrained network, or whatever
    `pretrained.read` takes, for one that was trained elsewhere. Raises ValueError for values out of range.
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
    optimiser: str = "sgd"
    geometric: bool = False
    photometric: bool = False
    noise: float | int = 0.0
    adversarial: float | int = 0.0
    attack_steps: int = 3
    weights: str = "train"

    def __post_init__(self) -> None:
        models.check(self.model)
        limits = {
            "epochs": (0, math.inf), "batch": (2, math.inf), "lr": (0, math.inf), "momentum": (0, 1),
            "weight_decay": (0, math.inf), "mixup": (0, math.inf), "manifold_mixup": (0, math.inf),
            "label_noise": (0, 1), "fraction": (0, 1), "classes": (0, math.inf), "noise": (0, math.inf),
            "adversarial": (0, math.inf), "attack_steps": (1, math.inf),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}={getattr(self, name)}: expected a number from {low} to {high}")
        if self.mixup and self.manifold_mixup:
            raise ValueError(f"mixup={self.mixup}, manifold_mixup={self.manifold_mixup}: expected at most one of them")
        if self.optimiser not in ("sgd", "adam"):
            raise ValueError(f"optimiser={self.optimiser!r}: expected sgd or adam")
        if self.optimiser == "adam" and self.momentum == 1:
            raise ValueError(f"momentum={self.momentum}: Adam expects less than 1")

    def __str__(self) -> str:
        """The network in words: what differs from the defaults."""
        changed = [f"{f.name}={getattr(self, f.name)}" for f in fields(self)[2:] if getattr(self, f.name) != f.default]
        return " ".join([self.model, self.dataset, *changed])


def descend(
    spec: Spec, model: nn.Module, images: datasets.Dataset, device: torch.device, at: Collection[int], keep: Kept,
    progress: bool = True,
) -> None:  # fmt: skip
    """Train the network in place; `keep(step, history, accuracy)` is called after each of the steps in `at`.

    Step 0 is the network as it was given. Raises RuntimeError if the loss is not finite.
    """
    fast = device.type == "cuda"
    model.to(device, memory_format=torch.channels_last if fast else torch.contiguous_format).train()
    pixels, labels = training_set(spec, images)
    steps = steps_per_epoch(spec, images)
    optimiser = optimiser_of(spec, model)
    pace = rates(spec.lr, spec.epochs * steps)
    attacked = attacking(spec, model, images, spec.epochs * steps)
    step_loss = mixing(spec, model, spec.epochs * steps)
    history, told, step = [], time.perf_counter(), 0
    if 0 in at:
        keep(0, history, _judge(model, images, pixels, labels))
    for epoch in range(1, spec.epochs + 1):
        sums = torch.zeros(2, device=device)
        for x, y in batches(spec, images, pixels, labels, epoch):
            optimiser.param_groups[0]["lr"] = next(pace)
            x = x.contiguous(memory_format=torch.channels_last) if fast else x
            with torch.autocast(device.type, torch.bfloat16, enabled=fast):
                loss, right = step_loss(images.normalise(attacked(x, y)), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            sums += torch.stack([loss.detach(), right])
            step += 1
            if step in at and step < epoch * steps:
                keep(step, history, _judge(model, images, pixels, labels))
        mean_loss, accuracy = (sums / steps).tolist()
        if not math.isfinite(mean_loss):
            raise RuntimeError(f"the loss is {mean_loss} in epoch {epoch} of {spec}: a smaller lr may help")
        history.append({"epoch": epoch, "loss": mean_loss, "accuracy": accuracy})
        if progress and time.perf_counter() - told > 10:
            told = time.perf_counter()
            print(f"{spec}: epoch {epoch} of {spec.epochs}, loss {mean_loss:.3f}", file=sys.stderr)
        if step in at:  # the last step of an epoch: its row of the history is known
            keep(step, history, _judge(model, images, pixels, labels))


def steps_per_epoch(spec: Spec, images: datasets.Dataset) -> int:
    """Batches of one size in an epoch; the last few images of its order sit out."""
    return max(_used(spec, images) // spec.batch, 1)


def _used(spec: Spec, images: datasets.Dataset) -> int:
    """How many of the training images are used."""
    return max(round(spec.fraction * len(images.train_images)), 2)


def training_set(spec: Spec, images: datasets.Dataset) -> tuple[Tensor, Int64[Tensor, "n"]]:
    """The fraction of the training images that is used, and its labels, some of them wrong if so specified."""
    n, device = len(images.train_images), images.train_images.device
    chosen = torch.randperm(n, generator=numerics.stream(spec.seed, "fraction"))[: _used(spec, images)]
    chosen = (chosen if spec.fraction < 1 else torch.arange(n)).to(device)
    labels, noise = images.train_labels[chosen], numerics.stream(spec.seed, "label noise")
    wrong = torch.randperm(len(labels), generator=noise)[: round(spec.label_noise * len(labels))].to(device)
    if len(wrong):
        shift = torch.randint(1, len(images.classes), (len(wrong),), generator=noise).to(device)
        labels[wrong] = (labels[wrong] + shift) % len(images.classes)
    return images.train_images[chosen], labels


def batches(
    spec: Spec, images: datasets.Dataset, pixels: Tensor, labels: Tensor, epoch: int
) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, "b"]]]:
    """The epoch's batches, pixels around [0, 1]; all of one size, so the last few images of its order sit out."""
    if spec.augment:
        pixels = datasets.augment(pixels, numerics.stream(spec.seed, "augment", epoch), **images.augmentation)
    warp, tint, noise = (
        _stream(spec, pixels.device, change, epoch) for change in ("geometric", "photometric", "noise")
    )
    batch = min(spec.batch, len(pixels))
    order = torch.randperm(len(pixels), generator=numerics.stream(spec.seed, "order", epoch)).to(pixels.device)
    for chosen in order[: len(pixels) // batch * batch].split(batch):
        x = pixels[chosen] / 255
        if spec.geometric:
            x = augmentation.geometric(x, warp)
        if spec.photometric:
            x = augmentation.photometric(x, tint)
        if spec.noise:
            x = augmentation.noise(x, spec.noise, noise)
        yield x, labels[chosen]


def optimiser_of(spec: Spec, model: nn.Module) -> torch.optim.Optimizer:
    if spec.optimiser == "sgd":
        return torch.optim.SGD(model.parameters(), lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)
    betas, decay = (spec.momentum, 0.999), spec.weight_decay
    return torch.optim.Adam(model.parameters(), lr=spec.lr, betas=betas, weight_decay=decay)


def rates(lr: float, steps: int) -> Iterator[float]:
    warm = max(steps // 20, 1)
    for step in range(steps):
        yield lr * min((step + 1) / warm, 1) * 0.5 * (1 + math.cos(math.pi * step / steps))


def attacking(
    spec: Spec, model: nn.Module, images: datasets.Dataset, steps: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """A function from a batch in [0, 1] to what the network learns from: the batch, or an attack on it.

    The radius grows linearly over the first half of the training: with the full one from the first step, a small
    network may never leave the constant function.
    """
    if not spec.adversarial:
        return lambda x, y: x
    radii = iter(spec.adversarial * min(2 * step / steps, 1) for step in range(1, steps + 1))
    generator = _stream(spec, images.train_images.device, "attack")

    def attacked(x: Tensor, y: Tensor) -> Tensor:
        model.eval()  # batch norm keeps the statistics of the images that are learned from
        x = augmentation.attack(
            lambda pixels: model(images.normalise(pixels)), x, y, next(radii), spec.attack_steps, generator
        )
        model.train()
        return x

    return attacked


def mixing(spec: Spec, model: nn.Module, steps: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A function from a batch to its loss and training accuracy: plain, mixup, or manifold mixup.

    Manifold mixup mixes at a point drawn anew each step, from the input to two thirds of the depth.
    """
    alpha = spec.mixup or spec.manifold_mixup
    if not alpha:

        def plain(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            logits = model(x)
            return F.cross_entropy(logits, y), (logits.detach().argmax(1) == y).float().mean()

        return plain
    generator = numerics.stream(spec.seed, "mixing")
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
            (path, _, which), calls = place.partition("#"), itertools.count(1)  # a module may be called more than once
            hook = model.get_submodule(path).register_forward_hook(
                lambda module, inputs, output: mix(output) if next(calls) == int(which or 1) else None
            )
            logits = model(x)
            hook.remove()
        loss = share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, y[order])
        return loss, (logits.detach().argmax(1) == y).float().mean()

    return mixed


def _stream(spec: Spec, device: torch.device, *purpose: str | int) -> torch.Generator:
    """A random stream on the device, where it does not wait for the CPU."""
    return torch.Generator(device).manual_seed(numerics.stream(spec.seed, *purpose).initial_seed())


@torch.no_grad()
def _judge(model: nn.Module, images: datasets.Dataset, pixels: Tensor, labels: Tensor) -> dict[str, float]:
    """How well the network does, in float32: accuracy and loss in training, accuracy and logits' length in testing."""
    model.eval()
    train, test = (
        torch.cat([model(images.normalise(part)) for part in held.split(1000)]) for held in (pixels, images.test_images)
    )
    model.train()
    return {
        "train": (train.argmax(1) == labels).float().mean().item(),
        "test": (test.argmax(1) == images.test_labels).float().mean().item(),
        "loss": F.cross_entropy(train, labels).item(),
        "logit_norm": test.norm(dim=1).mean().item(),
    }
