"""What a value is made of, for its fingerprint: each kind of value tells a walk (`fingerprints`) its parts.

What is not in the table counts as what pickle would keep of it: its class and its state.
"""

import enum
import functools
import types
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import nn

if TYPE_CHECKING:
    from .fingerprints import Walk

BOOKKEEPING = set(vars(nn.Module())) - {"_parameters", "_buffers", "training"}  # hooks are told by themselves
HOOKS = ("_forward_pre_hooks", "_forward_hooks")
NAMED = (
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType,
    types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType, np.ufunc,
)  # fmt: skip
ADVICE = "make it inside the function, or give its class a method __fingerprint__"


def tell(walk: "Walk", value: object) -> None:
    """Tell a walk what a value is made of, whatever it is but a function, a class or a module."""
    kind = type(value)
    if kind in TABLE:
        TABLE[kind](walk, value)
    elif hasattr(kind, "__fingerprint__"):
        walk.put("own")
        walk.value(kind)
        walk.value(value.__fingerprint__())
    else:
        for base, teller in FAMILIES:
            if isinstance(value, base):
                return teller(walk, value)
        _around(_reduced, walk, value)


def _written(walk: "Walk", value: object) -> None:
    walk.put(type(value).__name__, repr(value))


def _text(walk: "Walk", value: str) -> None:
    walk.put("str", value)
    walk.points_at(value)


def _path(walk: "Walk", value: PurePath) -> None:
    walk.put("path", value.as_posix())


def _around(teller, walk: "Walk", value: object) -> None:
    """Tell a container, unless it contains itself: then tell how far out it is."""
    if id(value) in walk.path:
        walk.put("up", str(len(walk.path) - walk.path.index(id(value))))
        return
    walk.path.append(id(value))
    try:
        teller(walk, value)
    finally:
        walk.path.pop()


def _sequence(walk: "Walk", value: Iterable) -> None:
    walk.put(type(value).__name__, str(len(value)))
    if type(value) not in (list, tuple):
        walk.value(type(value))  # a named tuple
    for item in value:
        walk.value(item)


def _mapping(walk: "Walk", value: Mapping) -> None:
    walk.put("dict", str(len(value)))
    if all(type(key) is str for key in value):
        keys = sorted(value)
    else:
        keys = [key for _, key in sorted(((walk.apart(value, key), key) for key in value), key=lambda pair: pair[0])]
    for key in keys:
        walk.value(key)
        walk.value(value[key])


def _set(walk: "Walk", value: Iterable) -> None:
    walk.put(type(value).__name__, " ".join(sorted(walk.apart(value, item) for item in value)))


def _enum(walk: "Walk", value: enum.Enum) -> None:
    walk.put("member", str(value.name))
    walk.value(type(value))


def _parts(*names: str):
    """A teller of some attributes."""

    def teller(walk: "Walk", value: object) -> None:
        walk.put(type(value).__name__)
        for name in names:
            walk.value(getattr(value, name))

    return teller


def _named(walk: "Walk", value: object) -> None:
    owner = getattr(value, "__objclass__", None) or getattr(value, "__self__", None)
    walk.put("named", f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}")
    if owner is not None and not isinstance(owner, types.ModuleType):
        walk.value(owner)


def _tensor(walk: "Walk", value: torch.Tensor) -> None:
    walk.put("tensor", f"{value.dtype} {tuple(value.shape)}")
    plain = value.detach().to_dense() if value.layout is not torch.strided else value.detach()
    plain = plain.cpu().resolve_conj().resolve_neg().contiguous()
    walk.bytes(plain.reshape(-1).view(torch.uint8).numpy())


def _array(walk: "Walk", value: np.ndarray) -> None:
    walk.put("array", f"{value.dtype.descr if value.dtype.names else value.dtype.str} {value.shape}")
    if value.dtype.hasobject:
        walk.value(value.tolist())
    else:
        walk.bytes(np.ascontiguousarray(value).reshape(-1).view(np.uint8))


def _column(walk: "Walk", value: pd.Series | pd.Index | pd.api.extensions.ExtensionArray) -> None:
    walk.put("column", str(value.dtype))
    if isinstance(value.dtype, pd.CategoricalDtype):
        walk.value([value.dtype.ordered, value.dtype.categories])
    walk.value(value.to_numpy() if isinstance(value.dtype, np.dtype) else value.tolist())


def _index(walk: "Walk", value: pd.Index) -> None:
    walk.value(list(value.names))
    _column(walk, value)


def _series(walk: "Walk", value: pd.Series) -> None:
    walk.put("series")
    walk.value([value.name, value.index])
    _column(walk, value)


def _frame(walk: "Walk", value: pd.DataFrame) -> None:
    walk.put("frame")
    walk.value([value.columns, value.index])
    for place in range(value.shape[1]):
        _column(walk, value.iloc[:, place])


def _network(walk: "Walk", value: nn.Module) -> None:
    """Its layers by name: their classes, parameters, buffers, hooks, and whatever else they hold."""
    for name, layer in value.named_modules():
        walk.put("layer", name)
        walk.value(type(layer))
        walk.value({name: entry for name, entry in vars(layer).items() if name not in BOOKKEEPING})
        walk.value([list(vars(layer)[hooks].values()) for hooks in HOOKS])


def _reduced(walk: "Walk", value: object) -> None:
    """What pickle would keep, without properties computed once, for these come and go."""
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # whatever a class says when it cannot be pickled
        if walk.strict:
            found = f"{walk.where} is of type {type(value).__qualname__}, which has no fingerprint"
            raise TypeError(f"{found}: {ADVICE}") from None
        walk.put("some", type(value).__qualname__)
        return
    if isinstance(reduced, str):
        walk.put("called", f"{type(value).__module__} {reduced}")
        return
    make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    if isinstance(state, dict):
        state = {name: entry for name, entry in state.items() if not _computed_once(type(value), name)}
    walk.put("made")
    walk.value([type(value), make, arguments, state, list(items or ()), dict(pairs or ())])


def _computed_once(kind: type, name: object) -> bool:
    return any(isinstance(vars(base).get(name), functools.cached_property) for base in kind.__mro__)


TABLE = {
    **dict.fromkeys((type(None), bool, int, float, complex, bytes, type(...), range), _written),
    **dict.fromkeys((torch.dtype, torch.device, torch.layout, torch.memory_format), _written),
    **dict.fromkeys((list, tuple, torch.Size), functools.partial(_around, _sequence)),
    **dict.fromkeys((dict, types.MappingProxyType), functools.partial(_around, _mapping)),
    **dict.fromkeys((set, frozenset), functools.partial(_around, _set)),
    str: _text,
    bytearray: _written,
    slice: _parts("start", "stop", "step"),
    property: _parts("fget", "fset", "fdel"),
    staticmethod: _parts("__func__"),
    classmethod: _parts("__func__"),
    functools.cached_property: _parts("func"),
    functools.partial: functools.partial(_around, _parts("func", "args", "keywords")),
    types.MethodType: functools.partial(_around, _parts("__self__", "__func__")),
    types.SimpleNamespace: functools.partial(_around, _parts("__dict__")),
    type(functools.cache(len)): _parts("__wrapped__"),
    np.random.RandomState: lambda walk, value: walk.value(value.get_state(legacy=False)),
    np.random.Generator: lambda walk, value: walk.value([type(value), value.bit_generator.state]),
    torch.Generator: lambda walk, value: walk.value(["generator", value.get_state()]),
}
FAMILIES = (  # the first that fits
    (enum.Enum, _enum),
    (PurePath, _path),
    (NAMED, _named),
    (torch.Tensor, _tensor),
    (nn.Module, functools.partial(_around, _network)),
    ((np.ndarray, np.generic), lambda walk, value: _array(walk, np.asarray(value))),
    (pd.DataFrame, _frame),
    (pd.Series, _series),
    (pd.Index, _index),
    (np.dtype, lambda walk, value: walk.put("dtype", str(value.descr))),
)
