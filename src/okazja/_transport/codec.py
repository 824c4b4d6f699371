"""Calls and replies as bytes.

A packet to a worker is one marshalled list of entries; a reply is one marshalled tuple. Plain values
(``PLAIN``) travel in them as they are, everything else is pickled first. Marshalling is safe here:
both sides are the same interpreter, and only values of exactly the plain types are given to it.
What takes LARGE bytes or more goes into an arena, and a reference to it stands in its place.
"""

from __future__ import annotations

import marshal
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from types import FunctionType, ModuleType, TracebackType
from typing import Any

from okazja._core.messages import Call, Function, Timing
from okazja._transport import pickling
from okazja._transport.arena import LARGE, Arena, Block, Large, Reference, read
from okazja.errors import LONGEST, NotPicklable, NotRebuilt, RemoteTraceback, describe, set_cause

__all__ = [
    "ARGS",
    "ERROR",
    "ITEMS",
    "PICKLED",
    "PLAIN",
    "RAISED",
    "STAR",
    "TIMED",
    "VALUE",
    "FunctionTable",
    "decode_error",
    "decode_items",
    "decode_value",
    "encode_args",
    "encode_error",
    "encode_items",
    "encode_value",
    "encode_values",
    "one_item",
    "size_of",
]

PLAIN = frozenset({int, float, complex, str, bytes, bool, type(None)})

LONG = frozenset({str, bytes})  # plain, but of any size: from LARGE bytes or characters on they are pickled
LONGEST_TRACEBACK = 1 << 16  # characters of a worker's traceback that travel

# Kinds of a call's payload, a sum of flags.
ARGS = 0  # one call: a tuple of plain positional arguments
PICKLED = 1  # one call: pickled (args, kwargs); items: each pickled on its own
ITEMS = 2  # a chunk of items
STAR = 4  # each item is a tuple of arguments
TIMED = 8  # each item is timed, and can be interrupted by itself

# Forms of a reply's body: 0 plain, PICKLED, or
ERROR = 2  # (pickled exception, traceback as text)
VALUE = 3  # in shared memory: the value itself
RAISED = 4  # in shared memory: the exception itself


def encode_args(args: tuple[Any, ...], kwargs: dict[str, Any], arena: Arena | None = None) -> tuple[int, Any]:
    """Kind and payload of one call; what is large goes into the arena. Raises NotPicklable."""
    if not kwargs and all([type(arg) in PLAIN for arg in args]):  # noqa: C419  (a list is faster)
        for arg in args:
            if type(arg) in LONG and len(arg) >= LARGE:
                break
        else:
            return ARGS, args
    try:
        return PICKLED, _pickled((args, kwargs), "the call", arena)
    except NotPicklable as error:
        raise _of_an_argument(args, kwargs, error) from error.__cause__


def _pickled(value: Any, name: str, arena: Arena | None) -> bytes | Large:
    """A value as its pickle, or as a block that holds it. Raises NotPicklable."""
    if arena is None:
        return pickling.dumps(value, name)
    stream, buffers = pickling.dump(value, name)
    if not buffers and sum(map(len, stream)) < LARGE:
        return stream[0] if len(stream) == 1 else b"".join(stream)
    placed = arena.put(buffers, stream)
    if placed is None:
        return pickling.dumps(value, name)
    block, reference = placed
    return Large(reference, [block], sum(reference[3]))


class _Placed:
    """The items or results of a chunk that were put into an arena, each into a block of its own."""

    def __init__(self, arena: Arena | None) -> None:
        self._arena = arena
        self._blocks: list[Block] = []
        self._size = 0
        self.references: dict[int, Reference] = {}  # by position

    def place(self, position: int, stream: list[Any], buffers: list[memoryview]) -> bool:
        """Put one value there; False if there is no room."""
        placed = self._arena.put(buffers, stream) if self._arena is not None else None
        if placed is None:
            return False
        block, reference = placed
        self._blocks.append(block)
        self.references[position] = reference
        self._size += sum(reference[3])
        return True

    def whole(self, payload: bytes) -> bytes | Large:
        """The payload of a chunk, itself in a block if it is large, with what belongs to it."""
        placed = (
            self._arena.put((), (payload,)) if self._arena is not None and len(payload) >= LARGE else None
        )
        if placed is not None:
            block, reference = placed
            return Large(reference, [*self._blocks, block], self._size + len(payload))
        return Large(payload, self._blocks, self._size + len(payload)) if self._blocks else payload

    def beside(self, offsets: list[int], blob: bytes) -> Any:
        """The body of a reply."""
        body = (offsets, blob, self.references)
        return Large(body, self._blocks, self._size + len(blob)) if self._blocks else body


def _of_an_argument(args: tuple[Any, ...], kwargs: dict[str, Any], error: NotPicklable) -> NotPicklable:
    """The same error, told of the argument rather than of the tuple that it stands in."""
    named = chain(((f"args[{i}]", arg) for i, arg in enumerate(args)), kwargs.items())
    for name, value in named:
        try:
            pickling.dumps(value, name)
        except NotPicklable as better:
            return better
    return error


def encode_items(
    items: list[Any], star: bool, arena: Arena | None = None
) -> tuple[int, bytes | Large, dict[int, BaseException]]:
    """Kind and payload of a chunk, and the errors of the items that can't travel."""
    flag = STAR if star else 0
    placed = _Placed(arena)
    values = list(chain.from_iterable(items)) if star else items
    if _all_plain(values, set(map(type, values))):
        return ITEMS | flag, placed.whole(marshal.dumps(items)), {}
    blob, offsets, errors = pickling.dumps_each(items, place=placed.place if arena is not None else None)
    return ITEMS | PICKLED | flag, placed.whole(marshal.dumps((offsets, blob, placed.references))), errors


def one_item(kind: int, payload: bytes | Large, items: list[Any], position: int) -> bytes | None:
    """The payload for one item of a chunk, as it was when it was encoded. None where that can't be taken apart."""
    if not kind & PICKLED:
        return marshal.dumps([items[position]])  # plain, so nobody can have changed it
    if type(payload) is not bytes:
        return None
    offsets, blob, _ = marshal.loads(payload)
    item = blob[offsets[position] : offsets[position + 1]]
    return marshal.dumps(([0, len(item)], item, {}))


def decode_items(kind: int, payload: bytes | Reference) -> list[Any]:
    """The items of a chunk: values, or for each what ``pickling.loads`` takes."""
    loaded = read(payload, _unmarshal) if type(payload) is tuple else marshal.loads(payload)  # type: ignore[arg-type]
    if not kind & PICKLED:
        return loaded  # type: ignore[no-any-return]
    offsets, blob, references = loaded
    items: list[Any] = [blob[a:b] for a, b in pairwise(offsets)]
    for position, reference in references.items():
        items[position] = reference
    return items


def _unmarshal(stream: memoryview, _: list[memoryview]) -> Any:
    return marshal.loads(stream)


def _all_plain(values: list[Any], kinds: set[type]) -> bool:
    """Whether all are plain, and small enough to be marshalled together; ``kinds``: their types."""
    if not kinds <= PLAIN:
        return False
    if kinds.isdisjoint(LONG):
        return True
    lengths = [len(value) for value in values if type(value) in LONG]
    return max(lengths) < LARGE and sum(lengths) < pickling.CROWDED


# --- replies, in the worker --------------------------------------------------------------------------


def encode_value(value: Any, arena: Arena | None = None) -> tuple[int, Any]:
    """Form and body of one result. Raises NotPicklable."""
    if type(value) in PLAIN and not (type(value) in LONG and len(value) >= LARGE):
        return 0, value
    return PICKLED, _pickled(value, "the result", arena)


def encode_values(
    values: list[Any],
    kinds: set[type],
    mark: Callable[[int], None] | None = None,
    arena: Arena | None = None,
    passing: type[BaseException] = KeyboardInterrupt,
) -> tuple[int, Any, dict[int, BaseException]]:
    """Form and body of the results of a chunk, and the errors of those that can't travel.

    ``kinds``: the types of the values. ``mark`` is told each position before its value is pickled, which may
    run code of the value's own; ``passing`` is the one exception that is not the value's.
    """
    if _all_plain(values, kinds):
        return 0, values, {}
    placed = _Placed(arena)
    place = placed.place if arena is not None else None
    blob, offsets, errors = pickling.dumps_each(values, mark, place, passing)
    return PICKLED, placed.beside(offsets, blob), errors


def encode_error(error: BaseException, skip: int = 0) -> tuple[bytes, str]:
    """An exception and its traceback as text; ``skip`` frames of the worker's own are left out.

    Source lines are read here, where the files are those that ran. An exception that can't be pickled
    travels as the NotPicklable that says so. Whatever the exception's own methods do, this does not raise.
    """
    trace = error.__traceback__
    for _ in range(skip):
        trace = trace.tb_next if trace is not None else None
    text = _traceback_text(error, trace)
    name = f"the exception {type(error).__name__}"
    try:
        return pickling.dumps(error, name), text
    except NotPicklable as problem:
        said = problem
    except BaseException as problem:  # its __reduce__ exits, say
        said = NotPicklable(
            f"{name} can't be pickled, so it can't travel between processes: {describe(problem)}"
        )
    return pickling.dumps(said, "the error"), text


def _traceback_text(error: BaseException, trace: TracebackType | None) -> str:
    """The traceback as it would be printed, of a length that can be read."""
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as problem:  # its notes or its causes misbehave
        return f"{describe(error)}\n(its traceback can't be shown: {describe(problem)})\n"
    if len(text) > LONGEST_TRACEBACK:
        half = LONGEST_TRACEBACK // 2
        left_out = f"\n... ({len(text) - 2 * half:,} characters)\n"
        text = text[:half] + left_out + text[-half:]
    return text


# --- replies, in the parent --------------------------------------------------------------------------


def decode_value(form: int, body: Any) -> Any:
    """The result of a call. Raises NotRebuilt, or the error that the body stands for."""
    if form == 0:
        return body
    if form == ERROR:
        raise decode_error(body)
    try:
        return pickling.loads(body)
    except BaseException as error:
        raise NotRebuilt(
            f"the result arrived but can't be rebuilt from its pickle: {describe(error)}"
        ) from error


def decode_values(form: int, body: Any, errors: dict[int, BaseException]) -> list[Any]:
    """The results of a chunk; those that can't be rebuilt are None and get an entry in ``errors``."""
    if form == 0:
        return body  # type: ignore[no-any-return]
    offsets, blob, references = body
    view = memoryview(blob)
    values: list[Any] = []
    for position in range(len(offsets) - 1):
        value = None
        if position in references or offsets[position] < offsets[position + 1]:
            pickled = references.get(position) or view[offsets[position] : offsets[position + 1]]
            try:
                value = decode_value(PICKLED, pickled)
            except NotRebuilt as error:
                errors[position] = error
        values.append(value)
    return values


def decode_error(body: tuple[bytes, str]) -> BaseException:
    """The exception of a worker, with its traceback there as the cause."""
    pickled, text = body
    try:
        error: Any = pickling.loads(pickled)
        if not isinstance(error, BaseException):
            raise TypeError(f"it became {type(error).__name__}")
    except BaseException as problem:
        last = text.strip().rsplit("\n", 1)[-1][:LONGEST]
        error = NotRebuilt(
            f"the task raised an exception that can't be rebuilt here ({describe(problem)}): {last}. "
            f"Give its class a __reduce__ method, or pass all arguments of __init__ to super().__init__."
        )
    set_cause(error, RemoteTraceback(text))
    assert isinstance(error, BaseException)
    return error


def size_of(form: int, body: Any) -> int:
    """Bytes that the results of a chunk take, roughly."""
    if form:
        return len(body[1]) + sum(sum(reference[3]) for reference in body[2].values())
    if body and type(body[0]) in LONG:
        return sum(len(value) for value in body if type(value) in LONG)
    return 0


# --- functions -----------------------------------------------------------------------------------------


class FunctionTable:
    """How functions travel, remembered for those that are found under their name in a module."""

    MOST_TIMINGS = 1000  # functions; past that the table starts anew

    def __init__(self) -> None:
        self._references: dict[tuple[str, str], tuple[Any, bytes]] = {}
        self._timings: dict[str, Timing] = {}
        self.paces: dict[bytes, float] = {}  # seconds an item took in the last map, by key
        self._recent: tuple[Any, ModuleType, Function] | None = None

    def again(self, fn: Callable[..., Any]) -> Function | None:
        """What `for_submit` said of ``fn``, if it was the last to be asked for and is still found under its name."""
        recent = self._recent
        if recent is None or recent[0] is not fn:
            return None
        module = recent[1]
        found = sys.modules.get(fn.__module__) is module and vars(module).get(fn.__qualname__) is fn
        return recent[2] if found else None

    def for_submit(self, fn: Callable[..., Any], name: str) -> Function:
        """A function for one call: if it goes by value, as it is now. Raises NotPicklable."""
        timing = self._timings.get(name)
        if timing is None:
            if len(self._timings) >= self.MOST_TIMINGS:
                self._timings.clear()
            timing = self._timings[name] = Timing()
        key = self._reference(fn)
        if key:
            function = Function(fn, name, timing, key)
            if type(fn) is FunctionType:
                self._recent = fn, sys.modules[fn.__module__], function
            return function
        return Function(fn, name, timing, definition=pickling.dumps(fn, "the function"))

    def for_map(self, fn: Callable[..., Any], name: str, token: int) -> Function:
        """A function for all calls of one map, as it is now. Raises NotPicklable."""
        key = self._reference(fn)
        if key:
            return Function(fn, name, Timing(), key)
        return Function(fn, name, Timing(), token=token, definition=pickling.dumps(fn, "the function"))

    def remember(self, key: bytes, seconds: float) -> None:
        """How long an item of a function took in a map that has ended."""
        if len(self.paces) >= self.MOST_TIMINGS:
            self.paces.clear()
        self.paces[key] = seconds

    def _reference(self, fn: Callable[..., Any]) -> bytes:
        """The pickled reference to ``fn``, empty if it has to go by value."""
        module_name = getattr(fn, "__module__", None)
        name = getattr(fn, "__qualname__", None)
        if not isinstance(module_name, str) or not isinstance(name, str) or module_name in pickling.MAIN:
            return b""
        if "." in name or getattr(sys.modules.get(module_name), name, None) is not fn:
            return b""
        known = self._references.get((module_name, name))
        if known is None or known[0] is not fn:
            pickled = pickling.dumps(fn, "the function")
            # A module may ask cloudpickle to go by value; what it gives then is no reference.
            key = pickled if len(pickled) < len(module_name) + len(name) + 64 else b""
            known = self._references[module_name, name] = (fn, key)
        return known[1]


def entry(call: Call) -> tuple[Any, ...]:
    """A call as it stands in a packet; see okazja._worker.loop, which reads it."""
    fn = call.fn
    function = fn.key or fn.token or (fn.definition, fn.name)
    payload = call.payload
    if type(payload) is Large:
        payload = payload.reference
    return (call.id, function, call.kind, payload, call.lo, call.hi, call.context, call.base)


def packet(entries: Sequence[tuple[Any, ...]]) -> bytes:
    """Entries as one packet."""
    return marshal.dumps(list(entries))
