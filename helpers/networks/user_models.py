"""Networks of the reader: `MODULE:FUNCTION` names a function that makes one.

The module is found as Python finds any: beside where the command is run, or by PYTHONPATH. The function takes
`classes`, `channels` and `size` as keywords, or those of them that it wants, and returns a module from images
(n, channels, size, size) to logits (n, classes). If it does not take `classes`, their number is its own.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn

from helpers.networks import tracing, user_code
from helpers.networks.names import nearest
from helpers.networks.pretrained import PREFIX

FORM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_one(name: str) -> bool:
    """Is this the name of a reader's network, rather than of ours or torchvision's?"""
    return name.count(":") == 1 and not name.startswith(PREFIX)


def check(name: str) -> None:
    """ValueError with what was expected if the module cannot be imported, or has no such function."""
    _function(name)


def build(name: str, classes: int, channels: int, size: int) -> nn.Module:
    """The network as its function makes it from torch's global generator, with nothing done in place.

    It knows its points, as ours do, unless it has an attribute `depths` already. Raises ValueError if the function
    fails, gives no module, or one that does not map images to logits.
    """
    function, given = _function(name), {"classes": classes, "channels": channels, "size": size}
    taken = _taken(function, given)
    call = f"{name.partition(':')[2]}({', '.join(f'{key}={value}' for key, value in taken.items())})"
    try:
        model = function(**taken)
    except Exception as error:
        expected = "expected a function of classes, channels and size, or of some of them"
        raise ValueError(f"model={name!r}: {call} raised {type(error).__name__}: {error}; {expected}") from error
    if not isinstance(model, nn.Module):
        raise ValueError(f"model={name!r}: {call} gave a {type(model).__name__}: expected a torch.nn.Module")
    for module in model.modules():  # hooks must see what was computed, not what the next module makes of it
        if hasattr(module, "inplace"):
            module.inplace = False
    images = torch.zeros(2, channels, size, size)
    _check_logits(name, model, images, classes if "classes" in taken else None)
    if not hasattr(model, "depths"):
        model.depths = tracing.depths(model, images)
    return model.train()


@torch.no_grad()
def _check_logits(name: str, model: nn.Module, images: Tensor, classes: int | None) -> None:
    expected = f"expected logits ({len(images)}, {classes or 'any number of classes'})"
    about = f"model={name!r}: images {tuple(images.shape)}"
    try:
        logits = model.eval()(images)
    except Exception as error:
        raise ValueError(f"{about} raised {type(error).__name__}: {error}; {expected}") from error
    if not isinstance(logits, Tensor):
        raise ValueError(f"{about} gave a {type(logits).__name__}: {expected}")
    if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] != (classes or logits.shape[1]):
        raise ValueError(f"{about} gave {tuple(logits.shape)}: {expected}")


def _function(name: str) -> Callable[..., nn.Module]:
    if not FORM.fullmatch(name):
        raise ValueError(f"model={name!r}: expected PACKAGE.MODULE:FUNCTION")
    path, _, wanted = name.partition(":")
    user_code.imported(name)  # read before it is run, and kept: what trains is what the key tells
    try:
        module = importlib.import_module(path)
    except Exception as error:
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{path}.".startswith(f"{missing}."):
            hint = nearest(missing, _modules(missing.rpartition(".")[0]))
            expected = "expected one beside where the command is run, or on PYTHONPATH"
            raise ValueError(f"model={name!r}: there is no module {missing!r}{hint}; {expected}") from None
        raise ValueError(f"model={name!r}: importing {path} raised {type(error).__name__}: {error}") from error
    if not callable(getattr(module, wanted, None)):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ValueError(f"model={name!r}: {path} has no function {wanted!r}{nearest(wanted, known)}")
    return getattr(module, wanted)


def _modules(package: str) -> list[str]:
    """Dotted names of the modules in a package, or of all at the top."""
    where, before = None, ""
    if package:
        with suppress(Exception):
            where, before = importlib.import_module(package).__path__, f"{package}."
    return [found.name for found in pkgutil.iter_modules(where, before)]


def _taken(function: Callable, given: dict[str, int]) -> dict[str, int]:
    """Those of the keywords that a function takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return given
    names = {parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY}
    return {name: value for name, value in given.items() if name in names}
