"""How instruments run a network: in evaluation mode, float32 unrounded, in forms that have a forward derivative."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

# Precisions, filters of warnings and levels of forward mode are one for all threads of a process.
ALONE = threading.RLock()


def check(model: nn.Module) -> None:
    """ValueError if the network, or a module in it, is in training mode."""
    for name, module in model.named_modules():
        if module.training:
            where = f"its {name} is" if name else "it is"
            raise ValueError(f"model: {where} in training mode, in which images are coupled; expected model.eval()")


@contextmanager
def unrounded() -> Iterator[None]:
    """float32 that is not rounded to TF32; one thread at a time."""
    kinds = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    with ALONE:
        usual = [kind.fp32_precision for kind in kinds]
        try:
            for kind in kinds:
                kind.fp32_precision = "ieee"
            yield
        finally:
            for kind, precision in zip(kinds, usual):
                kind.fp32_precision = precision


@contextmanager
def differentiable() -> Iterator[None]:
    """No gradients, float32 unrounded, and attention in forms that have a forward derivative; one thread at a time."""
    with unrounded(), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        # torch's own: at the first vmap, and where an operation is mapped in a loop over the vectors.
        warnings.filterwarnings("ignore", ".*torch.jit.script. is deprecated")
        warnings.filterwarnings("ignore", "There is a performance drop")
        usual = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(usual)
