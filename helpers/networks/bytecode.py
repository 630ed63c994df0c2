"""What a code object does and which names it reads, whatever its text looks like.

The bytecode of a running function is read rather than its file, which may have been edited since the import. It becomes
a graph of instructions in which docstrings, line breaks, and the words of messages leave no trace.
Written for CPython 3.11 to 3.13.
"""

import dis
import functools
import hashlib
import inspect
import itertools
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple

SILENT = {"NOP", "RESUME", "CACHE", "EXTENDED_ARG", "PRECALL"}  # they compute nothing
JUMPS = {"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"}
ENDS = {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"}
CONSTANTS = {"LOAD_CONST", "RETURN_CONST", "KW_NAMES"}
GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
CELLS = {"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"}
LOCALS = {"LOAD_FAST", "LOAD_FAST_CHECK"}
ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
CALLS = {"CALL", "CALL_KW", "CALL_FUNCTION_EX"}
ABOUT = {"__doc__", "__qualname__", "__firstlineno__", "__static_attributes__"}  # what a class notes of its text
JUMPING = {*dis.hasjrel, *dis.hasjabs}
FLAGS = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE
FLAGS |= inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE
TAIL = 4  # instructions up to a return that the compiler may have copied, for the sake of line numbers

Span = tuple[tuple[int, int], tuple[int, int]]


class Read(NamedTuple):
    """A name that code reads and the attributes it takes of it: `networks.trained` is ("trained",) of "networks".

    `kind` is "global", "cell" or "import"; a module imported in the function has its `level` of relative import.
    """

    kind: str
    name: str
    chain: tuple[str, ...] = ()
    level: int = 0


class Meaning(NamedTuple):
    """The digest of what a code object computes, nested ones included, and what they read, in a fixed order."""

    digest: str
    reads: tuple[Read, ...]


class Step(NamedTuple):
    """One instruction: what it does to which name, constant or number, where it may jump, and where its text stands."""

    offset: int
    name: str
    value: object
    target: int | None
    span: Span | None


@functools.cache
def meaning(code: CodeType) -> Meaning:
    """What a code object computes and reads."""
    steps = list(_steps(code))
    kept = _without_words(steps)
    starred = [code.co_flags & flag > 0 for flag in (inspect.CO_VARARGS, inspect.CO_VARKEYWORDS)]
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + sum(starred)]
    signature = arguments, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & FLAGS
    graph = _graph(steps, kept, dis.Bytecode(code).exception_entries)
    digest = hashlib.sha256(repr((signature, graph)).encode("utf-8", "surrogatepass")).hexdigest()
    return Meaning(digest, tuple(sorted(set(_reads(steps, kept)))))


def _steps(code: CodeType) -> Iterator[Step]:
    """The instructions; those that the compiler joins if they stand in one line are taken apart."""
    for step in dis.get_instructions(code):
        at, name, value = step.positions, step.opname, step.argval
        span = None if at is None or None in at else ((at.lineno, at.col_offset), (at.end_lineno, at.end_col_offset))
        if name in CONSTANTS:
            value = code.co_consts[step.arg]  # 3.11 does not say which keywords it means
        elif step.opcode in JUMPING:
            yield Step(step.offset, name, None, value, span)
            continue
        elif isinstance(value, tuple) and name.count("_FAST") == 2:  # such as STORE_FAST_LOAD_FAST
            first, second = name.split("_FAST_")
            yield Step(step.offset, f"{first}_FAST", value[0], None, span)
            name, value = second, value[1]
        elif not isinstance(value, str):
            value = step.arg
        if name == "RETURN_CONST":
            yield Step(step.offset, "LOAD_CONST", value, None, span)
            name, value = "RETURN_VALUE", None
        yield Step(step.offset, name, value, None, span)


def _within(inner: Span | None, outer: Span | None) -> bool:
    return inner is not None and outer is not None and outer[0] <= inner[0] and inner[1] <= outer[1]


def _without_words(steps: list[Step]) -> list[bool]:
    """For each instruction whether it counts; the making of messages and what a class says about its text do not."""
    kept = [step.name not in SILENT and step.name not in JUMPS for step in steps]
    for index, step in enumerate(steps):
        if step.name == "LOAD_ASSERTION_ERROR":
            raised = next(place for place in range(index, len(steps)) if steps[place].name == "RAISE_VARARGS")
            kept[index:raised] = [False] * (raised - index)
        elif step.name == "RAISE_VARARGS" and not _asserts(steps, index):
            for place in range(index):
                kept[place] = kept[place] and not _within(steps[place].span, step.span)
        elif step.name in GLOBALS and step.value in ("print", "warnings"):
            _drop_said(steps, index, kept)
        elif step.name == "STORE_NAME" and step.value in ABOUT and steps[index - 1].name in ("LOAD_CONST", "LOAD_NAME"):
            kept[index - 1 : index + 1] = [False, False]
    return kept


def _asserts(steps: list[Step], raised: int) -> bool:
    """Whether it is an assertion that raises here; its span may hold its condition as well."""
    before = (step.name for step in reversed(steps[:raised]) if step.name in ("LOAD_ASSERTION_ERROR", "RAISE_VARARGS"))
    return next(before, None) == "LOAD_ASSERTION_ERROR"


def _drop_said(steps: list[Step], index: int, kept: list[bool]) -> None:
    """Drop a call of `print` or `warnings.warn`, except what it calls to make its words: that may have effects."""
    named = index
    if steps[index].value == "warnings":
        named = index + 1
        if steps[named].name not in ATTRIBUTES or steps[named].value != "warn":
            return
    if steps[index].span is None:
        return
    begin, end = steps[index].span[0], steps[named].span[1]
    calls = [place for place in range(named, len(steps)) if steps[place].name in CALLS and steps[place].span]
    of_it = [place for place in calls if steps[place].span[0] == begin and steps[place].span[1] > end]
    whole = min(of_it, key=lambda place: steps[place].span[1], default=None)
    if whole is None:
        return
    inside = range(index - (steps[index - 1].name == "PUSH_NULL"), whole + 1)  # what follows may bear the same span
    if any(steps[place].name.startswith(("STORE_", "YIELD", "GET_AWAITABLE")) for place in inside):
        return
    alone = steps[whole + 1].name == "POP_TOP"
    others = [steps[place].span for place in calls if named < place < whole]
    for place in inside:
        called = any(_within(steps[place].span, span) for span in others)
        kept[place] = kept[place] and (called or (place == whole and not alone))
    kept[whole + 1] = kept[whole + 1] and not alone


def _graph(steps: list[Step], kept: list[bool], table: list) -> list[tuple]:
    """The instructions that count, in the order in which a walk from the first one finds them, with their successors.

    Where the compiler put them, jumps to jumps, and ends that nothing leads to do not show.
    """
    places = {step.offset: place for place, step in reversed(list(enumerate(steps)))}
    follow = [places[step.target] if step.name in JUMPS else place + 1 for place, step in enumerate(steps)]
    handlers = _handlers(steps, places, table)
    numbers: dict[int, int] = {}
    queue: list[int] = []

    def landing(place: int) -> int:
        for _ in steps:
            if kept[place]:
                return place
            place = follow[place]
        return -1  # a loop that does nothing

    def tail(place: int) -> tuple | None:
        """A few instructions that end in a return, spelled out: a copy of them is the same as a jump to them."""
        labels = []
        for _ in range(TAIL):
            step = steps[place]
            if step.target is not None or handlers[place] or step.name in ("RAISE_VARARGS", "RERAISE"):
                return None
            labels.append(_label(steps, place))
            if step.name == "RETURN_VALUE":
                return tuple(labels)
            place = landing(place + 1)
        return None

    def reference(place: int) -> int | tuple | str:
        place = landing(place)
        if place < 0:
            return "for ever"
        if place not in numbers:
            if spelled := tail(place):
                return spelled
            numbers[place] = len(queue)
            queue.append(place)
        return numbers[place]

    graph: list[tuple] = [(reference(0),)]
    for place in queue:  # it grows on the way
        step = steps[place]
        (name, value), swapped = _branch(_label(steps, place))
        ways = [] if name in ENDS else [reference(follow[place])]
        if step.target is not None:
            ways.append(reference(places[step.target]))
        handler = handlers[place] and (reference(handlers[place][0]), *handlers[place][1:])
        graph.append((name, value, ways[::-1] if swapped else ways, handler))
    return graph


def _handlers(steps: list[Step], places: dict[int, int], table: list) -> list[tuple[int, int, bool] | None]:
    """For each instruction where it goes on if something is raised, how deep the stack then is, and what lies on it."""
    handlers: list[tuple[int, int, bool] | None] = [None] * len(steps)
    for entry in table:
        covered = range(places[entry.start], len(steps))
        for place in itertools.takewhile(lambda at: steps[at].offset < entry.end, covered):
            handlers[place] = places[entry.target], entry.depth, entry.lasti
    return handlers


def _branch(label: tuple[str, object]) -> tuple[tuple[str, object], bool]:
    """A conditional jump without its direction, and whether its two ways are to be exchanged."""
    name = label[0].replace("_FORWARD", "").replace("_BACKWARD", "")
    if name in ("POP_JUMP_IF_TRUE", "POP_JUMP_IF_NOT_NONE"):
        return (name.replace("TRUE", "FALSE").replace("NOT_NONE", "NONE"), None), True
    return (name, label[1]), False


def _label(steps: list[Step], place: int) -> tuple[str, object]:
    """What an instruction does, and with what. Of what is raised only the name counts: it decides who catches it."""
    step = steps[place]
    if step.name == "RAISE_VARARGS" and step.value and not _asserts(steps, place):
        named = (s.value for s in steps[:place] if s.name in GLOBALS | CELLS | LOCALS and _within(s.span, step.span))
        return step.name, next(named, None)
    return step.name, _constant(step.value) if step.name in CONSTANTS else step.value


def _constant(value: object) -> object:
    """A constant such that its repr tells it from every other, in every process: 1 from True, sets in order."""
    if isinstance(value, CodeType):
        return "code", meaning(value).digest
    if isinstance(value, tuple):
        return "tuple", [_constant(item) for item in value]
    if isinstance(value, frozenset):
        return "set", sorted(repr(_constant(item)) for item in value)
    return type(value).__name__, repr(value)


def _reads(steps: list[Step], kept: list[bool]) -> Iterator[Read]:
    """The names that a code object reads, nested ones included; of a module imported in it, what is used of it."""
    heard = [(step.name, step.value) for step in itertools.compress(steps, kept)]
    imported: dict[object, Read] = {}
    for place, (name, value) in enumerate(heard):
        if name in GLOBALS or name in CELLS:
            yield Read("global" if name in GLOBALS else "cell", value, _chain(heard, place))
        elif name in LOCALS and value in imported:
            yield imported[value]._replace(chain=imported[value].chain + _chain(heard, place))
        elif isinstance(value, CodeType):
            yield from meaning(value).reads
        elif name in ("IMPORT_NAME", "IMPORT_FROM"):
            after = itertools.dropwhile(lambda pair: pair[0] in ("SWAP", "POP_TOP"), heard[place + 1 :])
            following, variable = next(after)
            if name == "IMPORT_NAME":
                (_, level), (_, names) = heard[place - 2 : place]
                whole = names or following == "IMPORT_FROM"  # else `import a.b`, which binds a
                source = Read("import", value if whole else value.partition(".")[0], (), level)
            if following == "IMPORT_FROM":  # of `from a import b`, or on the way from a to b in `import a.b as c`
                continue
            taken = source._replace(chain=(value,)) if names else source
            if following == "STORE_FAST":
                imported[variable] = taken
            else:
                yield taken


def _chain(heard: list[tuple[str, object]], place: int) -> tuple[str, ...]:
    """The attributes taken one after the other of what is loaded at a place."""
    attributes = itertools.takewhile(lambda pair: pair[0] in ATTRIBUTES, heard[place + 1 : place + 9])
    return tuple(name for _, name in attributes)
