"""A pretend accelerator: tensors that say they lie on another device, and will not be mixed with those of the CPU.

A tensor of it is a shell without memory, on torch's device `meta`, around a tensor of the CPU, with which all is
computed: the numbers are those of the CPU, to the bit. What CUDA refuses is refused: two devices in one operation
(numbers of no dimension, copies and indices apart), a random generator of another device, numpy. So code that forgets
where its tensors lie fails in a test on any machine.

It does not imitate:
- speed, memory, asynchrony, other rounding, and what torch does on CUDA alone (TF32, bfloat16, channels-last);
- operations that an accelerator lacks, or refuses in some precision;
- a generator's state, and several devices or streams;
- other threads and processes than the one that entered it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from unittest import mock
from weakref import WeakValueDictionary

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.networks import datasets, numerics

DEVICE, CPU = torch.device("meta"), torch.device("cpu")  # any name that torch does not compute on would do

aten, optimisers = torch.ops.aten, import_module("torch.optim.optimizer")
COPIES = {aten._to_copy.default, aten.copy_.default}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


class Away(torch.Tensor):
    """A tensor of the accelerator; `held` is what it stands for."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    is_meta = False  # there are numbers

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Away":
        shape = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        shell = torch.Tensor._make_wrapper_subclass(cls, held.size(), device=DEVICE, layout=held.layout, **shape)
        shell.held = held
        return shell

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _computed(func, args, kwargs or {})

    @property
    def data(self):
        return torch.Tensor.data.__get__(self)

    @data.setter
    def data(self, value):  # torch exchanges the shells alone
        torch.Tensor.data.__set__(self, value)
        self.held = value.held

    def numpy(self, *, force=False):
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() to copy it first.")

    def __array__(self, dtype=None, copy=None):
        return self.numpy()

    # What torch has for its own tensors alone:

    def tolist(self):
        return self.held.tolist()

    def __format__(self, spec):
        return format(self.detach().cpu(), spec)

    def __repr__(self, **_):
        return f"{self.held!r} on the accelerator"


class Generator(torch.Generator):
    """A random generator that knows on which device it is; that of the accelerator draws what one of the CPU does."""

    away = WeakValueDictionary()

    def __new__(cls, device="cpu"):
        found = super().__new__(cls, CPU if torch.device(device) == DEVICE else device)
        if torch.device(device) == DEVICE:
            cls.away[found._cdata] = found
        return found

    def __init__(self, device="cpu"):
        pass

    @property
    def device(self):
        return DEVICE if self._cdata in self.away else super().device


class _Pretence(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _computed(func, args, kwargs or {})

    @classmethod
    def _should_skip_dynamo(cls):  # nothing is compiled here, and the guard against it takes longer than an operation
        return False


def _computed(func, args, kwargs):
    """An operation, on the CPU; what it gives lies where its arguments do, or where it was asked for."""
    shells, others = {}, []

    def opened(value):
        kind = type(value)
        if kind is Away or isinstance(value, Away):
            shells[id(value.held)] = value
            return value.held
        if kind is list or kind is tuple:
            return [opened(each) for each in value]
        if isinstance(value, torch.Tensor):
            others.append(value)
        return value

    held, named = [opened(value) for value in args], {name: opened(value) for name, value in kwargs.items()}
    device = named.get("device")
    there = bool(shells) if device is None else torch.device(device) == DEVICE
    if there and device is not None:
        named["device"] = CPU
    if others or "generator" in named:
        _refused(func, args, shells, others, there, named.get("generator"))
    if func is aten._efficientzerotensor.default:  # zeros without memory, with which torch computes on `meta` itself
        func = aten.zeros.default
    found = func(*held, **named)
    if not there:
        return found
    if func is aten.copy_.default:
        return args[0]

    def closed(value):
        if isinstance(value, torch.Tensor):
            return shells[id(value)] if id(value) in shells else Away(value)  # changed in place: the same shell
        return type(value)(map(closed, value)) if type(value) in (list, tuple) else value

    return closed(found)


def _refused(func, args, shells, others, there, generator):
    """RuntimeError where CUDA has one, and where torch made a tensor of the device unnoticed, which has no numbers."""
    if any(value.device == DEVICE for value in others):
        raise RuntimeError(f"{func}: a tensor on {DEVICE} without numbers: the pretence lacks what made it")
    if shells and any(value.ndim for value in others):
        if func not in COPIES and not (func in INDEXED and isinstance(args[0], Away)):
            expected = f"Expected all tensors to be on the same device, but found at least two, {DEVICE} and cpu!"
            raise RuntimeError(f"{func}: {expected}")
    if generator is not None and there != (generator._cdata in Generator.away):
        raise RuntimeError(f"{func}: Expected a {DEVICE if there else CPU} device type for generator")


# torch makes tensors from numbers without the numbers where a device has no memory: they are made on the CPU first.


def _made(make):
    """`torch.tensor` or `torch.as_tensor`."""

    def made(data, *, device=None, **options):
        there = device is not None and torch.device(device) == DEVICE
        return make(data, **options, device="cpu").to(DEVICE) if there else make(data, **options, device=device)

    return made


def _new_tensor(self, data, *, dtype=None, device=None):
    return torch.tensor(data, dtype=dtype or self.dtype, device=device or self.device)


def _indexed(method):
    """An item of a tensor, read or written, where an index may be a list."""

    def item(self, index, *value):
        numbers = lambda each: torch.tensor(each) if isinstance(each, list | range) else each
        return method(self, tuple(map(numbers, index)) if isinstance(index, tuple) else numbers(index), *value)

    return item


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Within it there is an accelerator, whose device it gives."""
    supported, autocast = optimisers._get_fused_kernels_supported_devices, torch.autocast
    autocasting = lambda kind, *rest, **options: autocast("cpu" if kind == DEVICE.type else kind, *rest, **options)
    changes = [
        (torch, "Generator", Generator),
        (torch, "tensor", _made(torch.tensor)),
        (torch, "as_tensor", _made(torch.as_tensor)),
        (torch, "autocast", autocasting),
        (torch.Tensor, "new_tensor", _new_tensor),
        (torch.Tensor, "__getitem__", _indexed(torch.Tensor.__getitem__)),
        (torch.Tensor, "__setitem__", _indexed(torch.Tensor.__setitem__)),
        (optimisers, "_get_fused_kernels_supported_devices", lambda: [*supported(), DEVICE.type]),
    ]
    with ExitStack() as stack:
        for owner, name, stand_in in changes:
            stack.enter_context(mock.patch.object(owner, name, stand_in))
        stack.enter_context(_Pretence())
        yield DEVICE


@pytest.fixture
def accelerator(monkeypatch):
    """The device of a pretend accelerator, which `numerics.device` finds before the CPU."""
    usual = numerics.device
    with pretended() as device:
        chosen = lambda name="auto": device if name in ("auto", None, device) else usual(name)
        for module in (numerics, datasets):
            monkeypatch.setattr(module, "device", chosen)
        yield device
