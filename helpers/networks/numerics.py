"""Where and how numbers are made: the device, named random streams, float64."""

import hashlib

import numpy as np
import torch
from torch import Tensor, nn


def device(name: str | torch.device | None = "auto") -> torch.device:
    """The device of this name; `auto` (or None) takes CUDA, then MPS, then the CPU. ValueError if it is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name in ("auto", None):
        return torch.device(next(kind for kind, available in there.items() if available))
    try:
        chosen = torch.device(name)
    except RuntimeError:
        chosen = None
    many = torch.cuda.device_count() if chosen is not None and chosen.type == "cuda" else 1
    if chosen is None or not there.get(chosen.type) or (chosen.index or 0) >= many:
        raise ValueError(f"device={str(name)!r}: expected auto, {', '.join(kind for kind in there if there[kind])}")
    return chosen


def stream(seed: int, *purpose: str | int | float) -> torch.Generator:
    """The (CPU) random stream of a seed and a purpose: the same names, the same numbers; other names, other numbers."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))


def double(values: Tensor | nn.Module) -> Tensor | nn.Module:
    """A tensor, or a network (in place), in float64, in which estimators work; MPS has none: there they move to the CPU."""
    device = values.device if isinstance(values, Tensor) else next(values.parameters()).device
    return (values.cpu() if device.type == "mps" else values).double()


def numpy_stream(seed: int, *purpose: str | int | float) -> np.random.Generator:
    """The same for numpy: the random stream of a seed and a purpose."""
    return np.random.default_rng(stream(seed, *purpose).initial_seed())
