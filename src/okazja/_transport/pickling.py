"""Pickling as okazja does it: what values become, and what is said of those that can't be pickled.

The pickler itself, which brings cloudpickle with it, is loaded for the first value.
"""

from __future__ import annotations

import functools
import io
import pickle
import types
from collections.abc import Callable, Iterator
from typing import Any

from okazja._transport import arena
from okazja._transport.namespaces import whole
from okazja.errors import NotPicklable, describe

__all__ = ["dump", "dumps", "dumps_each", "explain", "loads", "loads_beside"]

LIMIT = (1 << 31) - (1 << 10)  # bytes; what one marshalled object may hold
CROWDED = 1 << 26  # bytes of small items in one chunk, after which the others go to shared memory too

_DEPTH = 6  # of attributes, in the search for the part that can't be pickled
_TRIES = 300  # parts looked at in that search


# The script that runs. In a child that multiprocessing spawned it has the second name.
MAIN = ("__main__", "__mp_main__")


def loads(data: Any) -> Any:
    """The value of a pickle, or of what an arena's reference names. Raises whatever its parts raise."""
    return whole(arena.read(data, _loads) if type(data) is tuple else pickle.loads(data))


def loads_beside(stream: memoryview, buffers: list[memoryview]) -> Any:
    """The value of a pickle whose large buffers stand beside it; it may keep them. Raises whatever its parts raise."""
    return whole(_loads(stream, buffers))


def _loads(stream: memoryview, buffers: list[memoryview]) -> Any:
    return pickle.loads(stream, buffers=buffers)


_Pickler: Any = None  # once it is loaded


def _pickler(file: Any, buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None) -> Any:
    global _Pickler
    if _Pickler is None:
        # Here, because cloudpickle takes milliseconds to load, and an event loop may stand still for them: an executor
        # that shares memory never needs it. One of processes loads it when it is made.
        from okazja._transport.pickler import Pickler

        _Pickler = Pickler
    return _Pickler(file, buffer_callback)


class _Stream:
    """A file for a pickler that keeps what is written as it is: large parts are not copied."""

    __slots__ = ("_written", "write")

    def __init__(self) -> None:
        self._written: list[Any] = []
        self.write = self._written.append

    def take(self) -> list[Any]:
        """What was written since the last time: bytes, and one-dimensional views of bytes."""
        parts = self._written.copy()
        self._written.clear()
        if len(parts) > 1:
            parts = [part if type(part) is bytes else pickle.PickleBuffer(part).raw() for part in parts]
        return parts


class _Buffers(list[memoryview]):
    """What a pickler hands out, rather than put it into its stream: large buffers, each in one piece."""

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """The pickler's question whether the buffer shall stay in the stream."""
        try:
            raw = buffer.raw()
        except BufferError:  # it has gaps, and the pickler says so
            return True
        if raw.nbytes < arena.LARGE:
            return True
        self.append(raw)
        return False


def dumps(value: Any, name: str) -> bytes:
    """The pickled value.

    Raises NotPicklable, which names the path, from ``name`` on, to the part that can't be pickled.
    """
    stream = _Stream()
    try:
        _pickler(stream).dump(value)
    except MemoryError:
        raise
    except Exception as error:
        raise explain(value, name, error) from error
    parts = stream.take()
    if sum(map(len, parts)) > LIMIT:
        raise NotPicklable(
            f"{name} takes {sum(map(len, parts)):,} bytes when pickled, over the limit of {LIMIT:,} for one value: "
            f"split it, or pass the path of a file"
        )
    return parts[0] if len(parts) == 1 else b"".join(parts)


def dump(value: Any, name: str) -> tuple[list[Any], list[memoryview]]:
    """The pickled value as the parts of a stream and the buffers that stand beside it. Raises as ``dumps`` does.

    Parts and buffers may be the value's own memory: they are to be copied at once.
    """
    stream, buffers = _Stream(), _Buffers()
    try:
        _pickler(stream, buffers.take).dump(value)
    except MemoryError:
        raise
    except Exception as error:
        raise explain(value, name, error) from error
    return stream.take(), buffers


def dumps_each(
    values: list[Any],
    mark: Callable[[int], None] | None = None,
    place: Callable[[int, list[Any], list[memoryview]], bool] | None = None,
    passing: type[BaseException] = KeyboardInterrupt,
) -> tuple[bytes, list[int], dict[int, BaseException]]:
    """Each value pickled on its own, one after the other in one buffer.

    Returns the buffer, the offsets (one more than values), and the errors by position; a value that
    can't be pickled takes no room. ``mark`` is told each position before its value is pickled. ``place``
    is offered each that is large, with its position; it takes no room here either if that says True.
    ``passing`` is the one exception that is not the value's: Ctrl-C in the parent, an interrupt in a worker.
    """
    blob: list[Any] = []
    offsets = [0]
    errors: dict[int, BaseException] = {}
    stream, buffers = _Stream(), _Buffers()
    pickler = _pickler(stream, place and buffers.take)
    for position, value in enumerate(values):
        if mark is not None:
            mark(position)
        try:
            pickler.dump(value)
            parts = stream.take()
            if place is not None and _is_large(parts, buffers, offsets[-1]):
                parts = _apart(place, position, value, parts, buffers)
            size = sum(map(len, parts))
            if offsets[-1] + size > LIMIT:
                raise OverflowError(f"the items of this chunk take over {LIMIT:,} bytes together")
        except passing:
            raise
        except BaseException as error:
            # A SystemExit, say, is reported as what it is, and want of memory is no fault of the value.
            as_it_is = isinstance(error, MemoryError) or not isinstance(error, Exception)
            errors[position] = error if as_it_is else explain(value, f"item {position}", error)
            size = 0
            stream = _Stream()
            pickler = _pickler(stream, place and buffers.take)
        else:
            pickler.clear_memo()
            if size:
                blob += parts
        offsets.append(offsets[-1] + size)
        buffers.clear()
    return b"".join(blob), offsets, errors


def _is_large(parts: list[Any], buffers: list[memoryview], before: int) -> bool:
    return bool(buffers) or sum(map(len, parts)) >= arena.LARGE or before > CROWDED


def _apart(
    place: Callable[[int, list[Any], list[memoryview]], bool],
    position: int,
    value: Any,
    parts: list[Any],
    buffers: list[memoryview],
) -> list[Any]:
    """Offer a large value a place of its own; what is left of it for the common buffer."""
    if place(position, parts, buffers):
        return []
    return [dumps(value, f"item {position}")] if buffers else parts


def explain(value: Any, name: str, error: BaseException) -> NotPicklable:
    """The error to show for a value that could not be pickled."""
    tries = iter(range(_TRIES))
    try:
        path, part = _culprit(value, name, tries, _DEPTH)
    except (Exception, SystemExit, GeneratorExit):
        path, part = name, value  # the value's own attributes misbehave: name the whole
    where = path if path == name else f"{path} (inside {name})"
    return NotPicklable(
        f"{where}, of type {type(part).__module__}.{type(part).__qualname__}, can't be pickled, so it can't travel "
        f"between processes: {describe(error)}. Leave it out, give the class a __reduce__ or "
        f'__getstate__ method, create it inside the task, or use Executor("threads").'
    )


def _culprit(value: Any, path: str, tries: Iterator[int], depth: int) -> tuple[str, Any]:
    """The deepest part on the way to what can't be pickled."""
    if depth:
        for step, part in _parts(value):
            if next(tries, None) is None:
                break
            if not _can_pickle(part):
                return _culprit(part, path + step, tries, depth - 1)
    return path, value


def _can_pickle(value: Any) -> bool:
    try:
        _pickler(io.BytesIO()).dump(value)
    except Exception:
        return False
    return True


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseException):
        yield from ((f".args[{position}]", part) for position, part in enumerate(value.args))
    if isinstance(value, (list, tuple)):
        yield from ((f"[{position}]", part) for position, part in enumerate(value))
    elif isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (set, frozenset)):
        yield from ((f" containing {part!r}", part) for part in value)
    elif isinstance(value, functools.partial):
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        yield from ((f" closing over {name}", part) for name, part in _captured(value))
    else:
        yield from ((f".{name}", part) for name, part in getattr(value, "__dict__", {}).items())
        slots = [name for owner in type(value).__mro__ for name in getattr(owner, "__slots__", ())]
        yield from ((f".{name}", getattr(value, name)) for name in slots if hasattr(value, name))


def _captured(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        yield name, cell.cell_contents
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]
