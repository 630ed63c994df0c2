"""The fingerprint of a computation: derived from the code that runs and all that it reads, never listed by hand.

A function counts with its bytecode (`bytecode`), defaults and closure, and with every global it reads, through all
functions, classes and modules of ours; a value counts with its content. Of what is installed only the name counts.
"""

import dataclasses
import enum
import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from .bytecode import Read, meaning
from .contents import NAMED, tell

POINTS_AT: list[Callable[[str], object]] = []
"""Functions that are given every text met as data, and return what else counts because the text points at it."""

OURS = {__name__.partition(".")[0], "__main__", "__mp_main__"}
INSTALLED = ("site-packages", "dist-packages")
STANDARD = tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib"))
ABOUT = {  # what a class notes of its text and its make; annotations are the fields of a dataclass, and count as such
    "__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__",
    "_abc_impl", "__static_attributes__", "__abstractmethods__", "__parameters__", "__dataclass_fields__",
    "__dataclass_params__", "__match_args__",
}  # fmt: skip
PLAIN = (type(None), bool, int, float, complex, str, bytes, types.FunctionType, types.BuiltinFunctionType, type)


def fingerprint(*parts: object) -> str:
    """32 hexadecimal digits of a SHA-256 over functions and values, the same in every process with this Python version.

    Messages (of exceptions and warnings, what is printed), documentation and layout do not count. An object with a
    method `__fingerprint__()` counts as what that returns. Raises TypeError for what has no lasting content, such as an
    open file, if it is an argument or a global of a notebook; elsewhere such a thing counts by its type.
    """
    walk = Walk()
    for place, part in enumerate(parts):
        walk.where = f"argument {place}"
        walk.value(part)
    return walk.finish()[:32]


@functools.cache
def _installed(file: str) -> bool:
    path = Path(file).resolve()
    return any(part in INSTALLED for part in path.parts) or str(path).startswith(STANDARD) or file.startswith("<frozen")


def _ours(names: Mapping[str, object]) -> bool:
    """Whether the namespace of a module is ours: the package, the notebook, or a reader's own module."""
    name = names.get("__name__")
    if isinstance(name, str) and name.partition(".")[0] in OURS:
        return True
    file = names.get("__file__")
    return not _installed(file) if isinstance(file, str) else name not in sys.modules


def _our_class(kind: type) -> bool:
    name = kind.__module__
    if name in sys.modules:
        return _ours(vars(sys.modules[name]))
    functions = (_function(entry) for entry in vars(kind).values())
    return any(isinstance(entry, types.FunctionType) and _ours(entry.__globals__) for entry in functions)


def _function(entry: object) -> object:
    return entry.__func__ if isinstance(entry, (staticmethod, classmethod)) else entry


def _our_function(function: types.FunctionType) -> bool:
    """Not the checks that beartype writes around a function, which bear its module's name."""
    return _ours(function.__globals__) and not function.__code__.co_filename.startswith("<@beartype")


def _module(name: str) -> types.ModuleType | None:
    """A module of ours that code imports when it runs; None for others and those that are not there."""
    top = name.partition(".")[0]
    found = sys.modules.get(top) or importlib.util.find_spec(top)
    file = getattr(found, "__file__", None) or getattr(found, "origin", None)
    if top not in OURS and (file is None or _installed(file) or file in ("built-in", "frozen")):
        return None
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


class Walk:
    """One walk over all that is reachable, breadth first, written into a hash.

    Functions, classes and modules have numbers in the order in which the walk comes to them: so cycles end, and no name
    needs to be unique. Nothing but what `bytecode` knows of a code object outlives the walk, for values may change.
    """

    def __init__(self, within: frozenset[int] = frozenset(), strict: bool = True, where: str = "") -> None:
        self.hash = hashlib.sha256()
        self.words: list[str] = []  # still to be hashed
        self.numbers: dict[int, int] = {}
        self.queue: list[object] = []  # it keeps alive what has a number
        self.path: list[int] = []  # the containers around a value
        self.within = within  # the unordered containers whose elements have walks of their own
        self.strict, self.where = strict, where
        self.pointed = False  # whether what is told now is what a text points at

    def finish(self) -> str:
        for place, node in enumerate(self.queue):  # it grows on the way
            self.put("node", str(place))
            if isinstance(node, types.FunctionType):
                self.function(node) if _our_function(node) else self.foreign(node)
            elif isinstance(node, type):
                self.of_class(node)
            else:
                self.strict = False
                self.names({name: value for name, value in vars(node).items() if not name.startswith("__")})
        self.bytes(b"")
        return self.hash.hexdigest()

    def put(self, kind: str, text: str = "") -> None:
        self.words.append(f"{kind}|{len(text)}|{text}")

    def bytes(self, content: object) -> None:
        self.hash.update("".join(self.words).encode("utf-8", "surrogatepass"))
        self.words = []
        self.hash.update(content)

    def node(self, value: object) -> None:
        self.put("see", str(len(self.queue)))
        self.numbers[id(value)] = len(self.queue)
        self.queue.append(value)

    # functions, classes and modules

    def function(self, function: types.FunctionType) -> None:
        code = function.__code__
        digest, reads = meaning(code)
        self.put("function", digest)
        self.strict, self.where = function.__globals__.get("__name__") == "__main__", f"a default of {code.co_qualname}"
        self.value(function.__defaults__)
        self.value(function.__kwdefaults__)
        self.value(vars(function).get("__wrapped__"))
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        for read in reads:
            self.where = f"the variable {read.name!r} that {code.co_qualname} reads"
            self.put(read.kind, ".".join((read.name, *read.chain)))
            if read.kind == "global" and read.name in function.__globals__:
                self.chained(function.__globals__[read.name], read.chain)
            elif read.kind == "cell" and read.name in cells:
                self.cell(cells[read.name], read.chain)
            elif read.kind == "import":
                self.imported(read, function.__globals__)
        for name in sorted(set(cells) - {read.name for read in reads if read.kind == "cell"}):  # such as __class__
            self.cell(cells[name], ())

    def cell(self, cell: types.CellType, chain: tuple[str, ...]) -> None:
        try:
            content = cell.cell_contents
        except ValueError:  # it is empty as yet
            return self.put("empty")
        self.chained(content, chain)

    def imported(self, read: Read, names: Mapping[str, object]) -> None:
        name = "." * read.level + read.name
        name = importlib.util.resolve_name(name, names.get("__package__")) if read.level else name
        module = _module(name)
        self.put("module", name)
        if module is not None:
            self.chained(module, read.chain)

    def chained(self, value: object, chain: Iterable[str]) -> None:
        """A variable of which code takes attributes: of modules and of data of ours only those attributes count."""
        for name in chain:
            if isinstance(value, types.ModuleType):
                if not _ours(vars(value)):
                    break
                found = vars(value).get(name, self)
                if found is self and hasattr(value, "__path__"):
                    found = _module(f"{value.__name__}.{name}") or self
            elif isinstance(value, (type, *NAMED)) or not hasattr(value, "__dict__"):
                break
            else:
                found = self.attribute(value, name)
            if found is self:
                break
            value = found
        self.value(value)

    def attribute(self, value: object, name: str) -> object:
        """The attribute if it is mere data of an instance of ours; this walk itself if it is not."""
        kind = type(value)
        plain = kind in (types.SimpleNamespace, types.FunctionType) or _our_class(kind)
        of_class = inspect.getattr_static(kind, name, None)
        computed = hasattr(type(of_class), "__set__") or isinstance(of_class, functools.cached_property)
        return self if not plain or computed or hasattr(kind, "__fingerprint__") else vars(value).get(name, self)

    def foreign(self, function: types.FunctionType) -> None:
        """A function of others: its name, and what of ours it wraps or was made with."""
        self.strict = False
        self.put("foreign", f"{function.__module__}.{function.__qualname__}")
        self.value(vars(function).get("__wrapped__"))
        if registry := vars(function).get("registry"):  # of functools.singledispatch
            self.value(dict(registry))
        for cell in function.__closure__ or ():  # such as what torch.func.vmap was given; not what it keeps for itself
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            items = content if isinstance(content, tuple) else (content,)
            self.put("cell")
            for item in items:
                self.value(item) if isinstance(item, PLAIN) else self.put("of", type(item).__qualname__)

    def visit_module(self, module: types.ModuleType) -> None:
        self.put("module", module.__name__)
        if _ours(vars(module)):
            self.node(module)

    def visit_class(self, kind: type) -> None:
        if _our_class(kind):
            self.node(kind)
        else:
            self.put("foreign", f"{kind.__module__}.{kind.__qualname__}")

    def of_class(self, kind: type) -> None:
        self.strict, self.where = kind.__module__ == "__main__", f"the class {kind.__qualname__}"
        self.put("class", kind.__qualname__)
        self.value([type(kind), *kind.__bases__])
        entries = {name: value for name, value in vars(kind).items() if name not in ABOUT}
        if dataclasses.is_dataclass(kind):
            entries = {name: value for name, value in entries.items() if not _written(value)}
            self.put("fields", repr(kind.__dataclass_params__))
            for field in dataclasses.fields(kind):
                self.value([field.name, field.default, field.default_factory, field.init, field.compare, field.kw_only])
        if issubclass(kind, enum.Enum):
            self.value({name: member.value for name, member in kind.__members__.items()})
            methods = types.FunctionType, property
            entries = {name: entry for name, entry in entries.items() if isinstance(_function(entry), methods)}
        self.names(entries)

    def names(self, entries: Mapping[str, object]) -> None:
        for name in sorted(entries):
            self.put("name", name)
            self.value(entries[name])

    # values

    def value(self, value: object) -> None:
        if (number := self.numbers.get(id(value))) is not None:
            self.put("see", str(number))
        elif isinstance(value, types.FunctionType):
            self.node(value)
        elif isinstance(value, type):
            self.visit_class(value)
        elif isinstance(value, types.ModuleType):
            self.visit_module(value)
        else:
            tell(self, value)

    def points_at(self, text: str) -> None:
        if self.pointed:  # the name of a file may point at that file again
            return
        self.pointed = True
        for hook in POINTS_AT:
            if (found := hook(text)) is not None and not (isinstance(found, (list, tuple)) and not found):
                self.put("points at")
                self.value(found)
        self.pointed = False

    def apart(self, container: object, item: object) -> str:
        """The fingerprint of an element of an unordered container, by which its elements come into an order."""
        if id(container) in self.within:
            return "cycle"
        walk = Walk(self.within | {id(container)}, self.strict, self.where)
        walk.pointed = self.pointed
        walk.value(item)
        return walk.finish()


def _written(value: object) -> bool:
    """Whether a method was generated by `dataclass`."""
    value = inspect.unwrap(value) if isinstance(value, types.FunctionType) else value
    return isinstance(value, types.FunctionType) and value.__code__.co_filename == "<string>"
