"""Networks of torchvision, and weights that were trained elsewhere.

`torchvision:NAME` is a classification network of torchvision for three channels. Weights are a name that torchvision
gives to some of its own ("IMAGENET1K_V1"), or a file: .safetensors, or .pth with nothing but tensors in it.
"""

import difflib
import os
import pickle
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

PREFIX = "torchvision:"
SUFFIXES = (".safetensors", ".pth", ".pt")
EXPECTED = "expected train, none, a file (.safetensors, .pth)"
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and std of almost all of torchvision's weights


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """torchvision's networks for ImageNet, without the two that give more than logits in training."""
    from torchvision import models  # seconds to import: only when needed

    return tuple(name for name in models.list_models(module=models) if name not in ("googlenet", "inception_v3"))


def check(name: str) -> None:
    """ValueError with the nearest names if torchvision has no such network."""
    if name.removeprefix(PREFIX) not in names():
        near = difflib.get_close_matches(name.removeprefix(PREFIX), names(), n=3)
        meant = ", ".join(PREFIX + other for other in near)
        hint = f"did you mean {meant}?" if near else f"expected for example {PREFIX}resnet50"
        raise ValueError(f"model={name!r}: torchvision has no such network; {hint}")


def build(name: str, classes: int, channels: int, size: int) -> nn.Module:
    """The network as torchvision initialises it from the global generator, with nothing done in place.

    A ViT is built for images of this size; the others take any that their pools leave something of.
    """
    from torchvision import models

    if channels != 3:
        raise ValueError(f"channels={channels}: {name} takes images of 3 channels")
    kind = name.removeprefix(PREFIX)
    sizes = {"image_size": size} if kind.startswith("vit") else {}
    if sizes and (patch := int(kind.split("_")[-1])) and size % patch:
        raise ValueError(f"size={size}: {name} takes images whose side is a multiple of {patch} pixels")
    model = models.get_model(kind, weights=None, num_classes=classes, **sizes)
    for module in model.modules():  # hooks must see what was computed, not what the next module makes of it
        if hasattr(module, "inplace"):
            module.inplace = False
    return model


def normalisation(name: str, weights: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and std of the images that weights of torchvision's networks want; None where the data set's own are used.

    A file is taken to want those of ImageNet.
    """
    if not name.startswith(PREFIX) or weights in ("train", "none"):
        return None
    if weights.endswith(SUFFIXES):
        return IMAGENET
    wanted = _known(weights, name).transforms()
    return tuple(wanted.mean), tuple(wanted.std)


def read(weights: str, name: str) -> dict[str, Tensor]:
    """The tensors of a file, or of the weights that torchvision has under this name for the network `name`.

    Files are looked for as given and in LAYERS_DATA; torchvision's in LAYERS_DATA and in torch hub's cache, into which
    they are downloaded if LAYERS_DOWNLOAD is 1. FileNotFoundError if there are none; ValueError for a name that
    torchvision does not know and for a file that is damaged or holds more than tensors: pickled code is never run.
    """
    own = [Path(place).expanduser() for place in [os.environ.get("LAYERS_DATA")] if place]
    if weights.endswith(SUFFIXES):
        places = list(dict.fromkeys([Path(weights).expanduser(), *(place / weights for place in own)]))
        return _tensors(_found(places, f"weights={weights!r}: there is no such file"))
    url = _known(weights, name).url
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    places = [place / Path(url).name for place in (*own, hub)]
    if os.environ.get("LAYERS_DOWNLOAD") == "1" and not any(place.exists() for place in places):
        with suppress(OSError):  # no way there: what follows says what to do
            torch.hub.load_state_dict_from_url(url, hub, map_location="cpu", check_hash=True, weights_only=True)
    hint = f"With internet, set LAYERS_DOWNLOAD=1 and run this again, or put {Path(url).name} into the first of these"
    return _tensors(_found(places, f"weights={weights!r}: {name}'s are not on this machine", hint))


def load(model: nn.Module, tensors: dict[str, Tensor], source: str) -> nn.Module:
    """The network with these tensors, in place; all of its own and no others. ValueError if they do not fit."""
    expected = model.state_dict()
    # Files from before torch counted batches have no such counts.
    missing = [key for key in expected if key not in tensors and not key.endswith("num_batches_tracked")]
    foreign = [key for key in tensors if key not in expected]
    unlike = [key for key in expected if key in tensors and expected[key].shape != tensors[key].shape]
    wrong = {"missing": missing, "not of this network": foreign, "of another shape": unlike}
    if any(wrong.values()):
        counts = "; ".join(f"{len(keys)} {how} ({keys[0]}, ...)" for how, keys in wrong.items() if keys)
        raise ValueError(f"weights={source!r}: they do not fit {type(model).__name__}: {counts}")
    model.load_state_dict(expected | tensors)
    return model


def classes(model: nn.Module, tensors: dict[str, Tensor]) -> int | None:
    """For how many classes the tensors are, where that is another number than the network's; None if they fit it."""
    unlike = [key for key, own in model.state_dict().items() if key in tensors and tensors[key].shape != own.shape]
    return len(tensors[unlike[-1]]) if unlike and tensors[unlike[-1]].ndim else None


def _known(weights: str, name: str) -> Enum:
    """torchvision's weights of this name for this network."""
    from torchvision import models

    if not name.startswith(PREFIX):
        raise ValueError(f"weights={weights!r}: {EXPECTED}, for {name} is not torchvision's")
    known = models.get_model_weights(name.removeprefix(PREFIX)).__members__
    if weights not in known:
        near = difflib.get_close_matches(weights, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"weights={weights!r}: {EXPECTED}, or for {name} {', '.join(known)}{hint}")
    return known[weights]


def _found(places: list[Path], problem: str, hint: str = "") -> Path:
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(f"{problem} (looked for {' and '.join(map(str, places))}). {hint}".strip())


def _tensors(path: Path) -> dict[str, Tensor]:
    """A file's tensors by name; from a checkpoint, those of its network."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path.name} holds more than tensors, or is damaged: expected a state dict of tensors") from error
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{path.name} is not a readable file of weights") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"{path.name}: expected a state dict, tensors by name")
    return {key.removeprefix("module."): value for key, value in found.items()}
