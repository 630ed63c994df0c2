"""Images as tensors: the digits that come with scikit-learn, CIFAR-10 and CIFAR-100, noise, or any folder of images.

A data set is held whole, as uint8, on one device; it is normalised and augmented there, in batches. Every random
number of the book comes from a named stream (`stream`), so that no call changes what another one draws.
"""

import difflib
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from helpers.networks.cache import checksum, folder, keep, kept
from helpers.networks.normalisation import Normalisation
from helpers.networks.numerics import device, stream

NAMES = ("digits", "digits20", "cifar10", "cifar100", "noise", "noise32", "folder:PATH")
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
# The constants of the networks the papers trained: (name of the class in torchvision, title, mean, std).
CIFAR = {
    "cifar10": ("CIFAR10", "CIFAR-10", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ("CIFAR100", "CIFAR-100", (0.5074, 0.4867, 0.4411), (0.2011, 0.1987, 0.2025)),
}
# Noise in the shape of the digits and of CIFAR: (shape of an image, training images, test images, classes).
NOISE = {"noise": ((1, 8, 8), 500, 100, 10), "noise32": ((3, 32, 32), 10_000, 1_000, 100)}


@dataclass(frozen=True)
class Dataset:
    """Training and test images on one device.

    `mean` and `std` are per channel, of images in [0, 1]; `checksum` is the start of a SHA-256 over the tensors.
    Labels are None where a folder has no classes. Other constants: `dataclasses.replace(dataset, mean=..., std=...)`.
    """

    name: str
    title: str
    train_images: UInt8[Tensor, "train c h w"]
    train_labels: Int64[Tensor, "train"] | None
    test_images: UInt8[Tensor, "test c h w"]
    test_labels: Int64[Tensor, "test"] | None
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    checksum: str

    def __fingerprint__(self) -> list:
        """What counts of it where a result depends on it."""
        return [self.name, self.checksum, self.mean, self.std, self.classes]

    @property
    def augmentation(self) -> dict[str, int | bool]:
        """Arguments of `augment` that leave the class as it is: an eighth of the side; digits are not mirrored."""
        return {"pad": self.train_images.shape[-1] // 8, "flip": not self.name.startswith("digits")}

    def normalise(
        self, images: UInt8[Tensor, "*n c h w"] | Float[Tensor, "*n c h w"]
    ) -> Float[Tensor, "*n c h w"]:
        """Images as the networks see them, (x - mean) / std, on the data set's device.

        uint8 images become float32; floating ones are taken to be in [0, 1] and keep their precision.
        """
        return Normalisation(self.mean, self.std).of(images.to(self.train_images.device))

    def select(self, classes: Sequence[int]) -> "Dataset":
        """The images of these classes alone, labels renumbered 0, 1, ... in the order given.

        Raises ValueError for a data set without labels, a repeated class, or one that does not exist.
        """
        classes = list(classes)
        if self.train_labels is None or self.test_labels is None:
            raise ValueError(f"classes={classes}: {self.title} has no labels to select by")
        if not classes or len(set(classes)) < len(classes) or not set(classes) <= set(range(len(self.classes))):
            raise ValueError(f"classes={classes}: expected distinct numbers from 0 to {len(self.classes) - 1}")
        number = torch.full((len(self.classes),), -1, device=self.train_labels.device)
        number[classes] = torch.arange(len(classes), device=number.device)
        kept = []
        for images, labels in ((self.train_images, self.train_labels), (self.test_images, self.test_labels)):
            inside = number[labels] >= 0
            kept += [images[inside], number[labels[inside]]]
        return replace(
            self,
            train_images=kept[0], train_labels=kept[1], test_images=kept[2], test_labels=kept[3],
            classes=tuple(self.classes[c] for c in classes),
            checksum=checksum(*kept),
        )  # fmt: skip


def load(
    name: str,
    *,
    size: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    download: bool = False,
) -> Dataset:
    """A data set by name: `digits`, `digits20`, `cifar10`, `cifar100`, `noise`, `noise32`, or `folder:PATH`.

    A folder is looked for as given, and in LAYERS_DATA. It holds `train` and `test`, each with one subfolder a class or
    with images alone (then labels are None); a folder without these two is split 80 to 20 by the seed. Its images are
    scaled so that the shorter side is `size` pixels and cropped to the centre; the decoded images are kept in the cache.
    The other data sets have a size and a split of their own, whatever the seed. `noise` and `noise32` have pixels of N(1/2, 1/4) and labels at random, which
    can only be memorised (Badger 2022). Nothing is downloaded unless `download` is true or LAYERS_DOWNLOAD is 1.

    Raises ValueError for an unknown name, a missing or needless `size`, an empty folder or an unreadable image, and
    FileNotFoundError for a data set that is not on this machine.
    """
    if name.startswith("folder:"):
        parts = _folder(_located(Path(name.removeprefix("folder:")).expanduser()), size, seed)
    elif size is not None:
        raise ValueError(f"size={size}: {name} has a size of its own; only folder:PATH takes one")
    elif name in ("digits", "digits20"):
        parts = _digits(name)
    elif name in NOISE:
        parts = _noise(name)
    elif name in CIFAR:
        parts = _cifar(name, download or os.environ.get("LAYERS_DOWNLOAD") == "1")
    else:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"dataset={name!r}: expected one of {', '.join(NAMES)}{hint}")
    return _placed(device, **parts)


def augment(
    images: Shaped[Tensor, "n c h w"], generator: torch.Generator, *, pad: int, flip: bool
) -> Shaped[Tensor, "n c h w"]:
    """Each image shifted by up to `pad` pixels in each direction over black, and mirrored half of the time if `flip`.

    The (CPU) generator decides, so the same images come out on every device; one gather moves all pixels at once.
    """
    n, c, h, w = images.shape
    down, right = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator)
    mirrored = (torch.rand(n, 1, generator=generator) < 0.5) & flip
    columns = torch.arange(w).expand(n, w)
    rows = (down + torch.arange(h)).to(images.device)
    columns = (right + torch.where(mirrored, columns.flip(1), columns)).to(images.device)
    image = torch.arange(n, device=images.device)[:, None, None, None]
    channel = torch.arange(c, device=images.device)[:, None, None]
    return F.pad(images, (pad,) * 4)[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _placed(
    where: torch.device | str | None, *, name: str, title: str, train: tuple, test: tuple, classes: tuple[str, ...],
    constants: tuple | None = None,
) -> Dataset:  # fmt: skip
    """The data set on its device, with its checksum; constants are those of the training images unless given."""
    chosen = device(where)
    # Exact moments from the counts of the 256 values: no copy of the images as floating-point numbers.
    counts = torch.stack([channel.flatten().bincount(minlength=256) for channel in train[0].unbind(1)]).double()
    share, value = counts / counts.sum(1, keepdim=True), torch.arange(256).double() / 255
    spread = (share @ value**2 - (share @ value) ** 2).clamp(min=1e-6).sqrt()
    mean, std = constants or ((share @ value).tolist(), spread.tolist())
    tensors = [*train, *test]
    digest = checksum(*tensors)
    tensors = [None if tensor is None else tensor.to(chosen) for tensor in tensors]
    return Dataset(name, title, *tensors, classes, tuple(mean), tuple(std), digest)


@lru_cache(maxsize=1)
def _scikit_digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits  # a second to import: only when needed

    bunch = load_digits()
    order = torch.randperm(len(bunch.target), generator=stream(0, "digits"))
    return torch.from_numpy(bunch.images)[order, None], torch.from_numpy(bunch.target).long()[order]


def _digits(name: str) -> dict:
    """1,797 handwritten digits, 8 x 8; `digits20`: the same, bicubic to 16 x 16 in a black frame of 20 x 20."""
    images, labels = _scikit_digits()
    images = images * (255 / 16)
    if name == "digits20":
        images = F.pad(F.interpolate(images, size=16, mode="bicubic"), (2,) * 4)
    images = images.round().clamp(0, 255).to(torch.uint8)
    train, test = (images[:1297], labels[:1297]), (images[1297:], labels[1297:])
    return dict(name=name, title=name, train=train, test=test, classes=tuple("0123456789"))


def _noise(name: str) -> dict:
    """Pixels drawn from N(1/2, 1/4), clipped to [0, 1], and labels drawn uniformly: there is nothing else to learn."""
    shape, *counts, classes = NOISE[name]
    pixels = torch.randn(sum(counts), *shape, generator=stream(0, name, "pixels")) / 4 + 1 / 2
    images = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    labels = torch.randint(classes, (sum(counts),), generator=stream(0, name, "labels"))
    train, test = zip(images.split(counts), labels.split(counts))
    return dict(name=name, title=name, train=train, test=test, classes=tuple(map(str, range(classes))))


def _cifar(name: str, download: bool) -> dict:
    """CIFAR through torchvision, which checks its sums, from LAYERS_DATA or the cache."""
    from torchvision import datasets

    kind, title, mean, std = CIFAR[name]
    own = os.environ.get("LAYERS_DATA")
    places = [*([Path(own).expanduser()] if own else []), folder() / "data"]
    for place in places:
        try:
            parts = [getattr(datasets, kind)(place, train=train, download=download) for train in (True, False)]
        except (RuntimeError, OSError):  # not there, its checksum is wrong, or no way to download it
            continue
        train, test = (
            (torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets)) for part in parts
        )
        classes = tuple(parts[0].classes)
        return dict(name=name, title=title, train=train, test=test, classes=classes, constants=(mean, std))
    raise FileNotFoundError(
        f"{title} is not on this machine (looked in {' and '.join(map(str, places))}). With internet, set "
        "LAYERS_DOWNLOAD=1 and run this again: it goes to the first of these. The data sets digits and digits20 "
        "work without internet."
    )


def _located(root: Path) -> Path:
    """A folder of images as given, or else in LAYERS_DATA."""
    own = os.environ.get("LAYERS_DATA")
    return Path(own).expanduser() / root if own and not root.is_dir() else root


def _folder(root: Path, size: int | None, seed: int) -> dict:
    """A folder of images, decoded once and kept under a key of its path, its listing and the size."""
    if size is None or size < 1:
        raise ValueError(f"size={size}: a folder of images needs a size in pixels, for example 32")
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder of images at folder:{root}")
    divided = (root / "train").is_dir() and (root / "test").is_dir()
    parts = {part: _listing(root / part) for part in ("train", "test")} if divided else {"all": _listing(root)}
    stamps = [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for part in parts.values() for file, _ in part]
    key = hashlib.sha256(repr((str(root.resolve()), stamps, size)).encode()).hexdigest()[:16]
    path = folder() / "folders" / f"{key}.safetensors"
    classes = tuple(sorted({label for part in parts.values() for _, label in part if label is not None}))
    tensors, _ = kept(path) or (None, None)
    if tensors is None:
        tensors = dict(tensor for part, files in parts.items() for tensor in _decoded(part, files, classes, size))
        keep(path, tensors)
    images, labels = ({part: tensors.get(f"{part} {kind}") for part in parts} for kind in ("images", "labels"))
    if not divided:
        order = torch.randperm(len(images["all"]), generator=stream(seed, "split"))
        for part, chosen in zip(("test", "train"), order.tensor_split([len(order) // 5])):
            images[part], labels[part] = images["all"][chosen], None if labels["all"] is None else labels["all"][chosen]
    name = root.resolve().name
    train, test = ((images[part], labels[part]) for part in ("train", "test"))
    return dict(name=f"folder:{name}", title=name, train=train, test=test, classes=classes)


def _listing(folder: Path) -> list[tuple[Path, str | None]]:
    """Image files in order with their class: the subfolder's name, or None for images that lie in the folder itself."""
    files = [file for file in sorted(folder.glob("*/*")) if file.suffix.lower() in SUFFIXES]
    if files:
        return [(file, file.parent.name) for file in files]
    files = [file for file in sorted(folder.glob("*")) if file.suffix.lower() in SUFFIXES]
    if not files:
        raise ValueError(f"folder:{folder}: expected images, or one subfolder of images a class")
    return [(file, None) for file in files]


def _decoded(
    part: str, files: list[tuple[Path, str | None]], classes: tuple[str, ...], size: int
) -> Iterator[tuple[str, Tensor]]:
    print(f"decoding {len(files)} images ({part}); they are kept in the cache", file=sys.stderr)
    images = np.empty((len(files), size, size, 3), np.uint8)
    for i, (file, _) in enumerate(files):
        try:
            with Image.open(file) as image:
                images[i] = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
        except OSError as error:
            raise ValueError(f"{file.name} in the folder {file.parent.name} is not a readable image") from error
    yield f"{part} images", torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    if files[0][1] is not None:
        yield f"{part} labels", torch.tensor([classes.index(label) for _, label in files])
