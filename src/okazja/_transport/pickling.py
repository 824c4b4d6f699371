"""Pickling as okazja does it: by reference what can be imported, by value what can't.

The value goes through the C pickler; cloudpickle is asked only for functions and classes, of which
it takes those of ``__main__``, lambdas and closures by value. Reducers that were registered with
``multiprocessing`` (``ForkingPickler``) are honoured.
"""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import re
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from typing import Any, TypeVar

import cloudpickle

from okazja._transport import arena, mapping
from okazja.errors import NotPicklable, describe

__all__ = ["dump", "dumps", "dumps_each", "explain", "keep_globals", "loads", "loads_beside"]

T = TypeVar("T")

PROTOCOL = 5
LIMIT = (1 << 31) - (1 << 10)  # bytes; what one marshalled object may hold
CROWDED = 1 << 26  # bytes of small items in one chunk, after which the others go to shared memory too

_DEPTH = 6  # of attributes, in the search for the part that can't be pickled
_TRIES = 300  # parts looked at in that search


# The script that runs. In a child that multiprocessing spawned it has the second name, which cloudpickle
# has to be told of.
MAIN = ("__main__", "__mp_main__")

if "__mp_main__" in sys.modules:
    cloudpickle.register_pickle_by_value(sys.modules["__mp_main__"])


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle's pickler with the reducers of ``multiprocessing`` and with context variables."""

    def __init__(
        self, file: Any, buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None
    ) -> None:
        reduction = sys.modules.get("multiprocessing.reduction")
        if reduction is not None:
            extra = reduction.ForkingPickler._extra_reducers  # where register() puts them
            # Before __init__, which looks it up once and for all.
            self.dispatch_table = ChainMap(extra, cloudpickle.Pickler.dispatch_table, copyreg.dispatch_table)
        super().__init__(file, protocol=PROTOCOL, buffer_callback=buffer_callback)
        self.globals_ref = _Namespaces()

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is ContextVar:
            return _reduce_context_var(obj)
        if type(obj) is functools.cached_property:  # holds a lock before CPython 3.12
            return _cached_property, (obj.func, obj.attrname)
        if type(obj) is _Cached and _goes_by_value(obj):
            return _cached, (obj.__wrapped__, obj.cache_parameters())
        if type(obj) is _Namespace:
            return _new_namespace, (dict(obj),)
        if type(obj).__name__ == "ndarray" and type(obj).__module__ == "numpy" and not obj.flags.writeable:
            return _reduce_read_only_array(obj)
        reduced = super().reducer_override(obj)
        if isinstance(obj, type) and type(reduced) is tuple and "__slots__" in vars(obj):
            _keep_slots(obj, reduced)
        if isinstance(obj, type) and type(reduced) is tuple and "_fields_" in vars(obj):
            reduced = _reduce_structure(obj)
        return reduced


# --- globals of functions that go by value ------------------------------------------------------------
#
# Each such function arrives with a copy of the globals that it uses, as they were when it was pickled.
# What a worker's initializer has set is the worker's own and wins: an initializer that says
# `global model` is seen by tasks that read `model`, as it would be had the module been imported.


class _Namespace(dict[str, Any]):
    """The globals of one module, as far as the pickled functions use them."""


class _Namespaces(dict[int, _Namespace]):
    """Where cloudpickle looks up the globals that functions of one pickle share."""

    def setdefault(self, key: int, default: Any = None) -> _Namespace:
        return super().setdefault(key, _Namespace())


def _keep_slots(cls: type, reduced: tuple[Any, ...]) -> None:
    """Have a class that goes by value rebuilt with its slots, which cloudpickle 3.1 leaves out.

    Without them its instances get a ``__dict__`` in the worker and can't come back as what they were.
    """
    maker, arguments, state = reduced[:3]
    slots = vars(cls)["__slots__"]
    if slots and maker is cloudpickle.cloudpickle._make_skeleton_class and isinstance(arguments[3], dict):
        arguments[3]["__slots__"] = slots
        attributes = state[0]
        for name, value in list(attributes.items()):
            if type(value) is types.MemberDescriptorType:
                del attributes[name]


def _reduce_structure(cls: type) -> tuple[Any, ...]:
    """How a ctypes structure or union goes by value: neither its metaclass nor its fields' descriptors can."""
    own = {
        name: value
        for name, value in vars(cls).items()
        if type(value).__name__ != "CField" and type(value) is not types.GetSetDescriptorType
    }
    layout = {
        name: own.pop(name) for name in list(own) if re.fullmatch("_[a-z]+_", name) or name == "__module__"
    }
    number = cloudpickle.cloudpickle._get_or_create_tracker_id(cls)
    return _structure, (cls.__name__, cls.__bases__, layout, number), own, None, None, _set_attributes


def _structure(name: str, bases: tuple[type, ...], layout: dict[str, Any], number: str) -> type:
    """The class, the same one each time."""
    made: type = cloudpickle.cloudpickle._lookup_class_or_track(number, type(bases[0])(name, bases, layout))
    return made


def _set_attributes(cls: type, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        setattr(cls, name, value)


def _cached_property(function: Any, name: str) -> Any:
    made = functools.cached_property(function)
    made.attrname = name
    return made


_Cached = type(functools.lru_cache(len))


def _goes_by_value(cached: Any) -> bool:
    """Whether a function with a cache can't be found under its name, which cloudpickle takes for granted."""
    module = sys.modules.get(cached.__module__)
    return cached.__module__ == "__main__" or getattr(module, cached.__qualname__, None) is not cached


def _cached(function: Any, parameters: dict[str, Any]) -> Any:
    """The function with an empty cache of the same kind."""
    return functools.lru_cache(**parameters)(function)


_own: dict[str, dict[str, Any]] = {}  # module name → what this worker's initializer has set there
_arrived: list[dict[str, Any]] = []  # namespaces made by the load that goes on; only where _own is not empty


def _new_namespace(attributes: dict[str, Any]) -> dict[str, Any]:
    if _own:
        _arrived.append(attributes)
    return attributes


def keep_globals(module: str, values: dict[str, Any]) -> None:
    """Have functions that arrive from now on see these globals, set by this worker's initializer."""
    _own[module] = values


def loads(data: Any) -> Any:
    """The value of a pickle, or of what an arena's reference names. Raises whatever its parts raise."""
    return _whole(arena.read(data, _loads) if type(data) is tuple else pickle.loads(data))


def loads_beside(stream: memoryview, buffers: list[memoryview]) -> Any:
    """The value of a pickle whose large buffers stand beside it; it may keep them. Raises whatever its parts raise."""
    return _whole(_loads(stream, buffers))


def _whole(value: T) -> T:
    """A value that was just rebuilt, once the functions in it know their module."""
    while _arrived:
        namespace = _arrived.pop()
        namespace.update(_own.get(namespace.get("__name__", ""), {}))
    return value


# A read-only array arrives writable, as it does from pools that copy it: what it was protected from is the
# caller's, and a task has its own.


def _reduce_read_only_array(array: Any) -> Any:
    make, arguments, *rest = array.__reduce_ex__(PROTOCOL)
    if arguments and type(arguments[0]) is pickle.PickleBuffer:
        return _array, (make, *arguments), *rest
    return make, arguments, *rest


def _array(make: Callable[..., Any], buffer: Any, *arguments: Any) -> Any:
    view = memoryview(buffer)
    if type(view.obj) is bytearray and len(view.obj) == view.nbytes:
        view = memoryview(view.obj)
    elif view.readonly:
        start = sys.modules["numpy"].frombuffer(view, "u1").__array_interface__["data"][0]
        view = mapping.writable(view, start) or memoryview(bytearray(view))
    return make(view, *arguments)


def _loads(stream: memoryview, buffers: list[memoryview]) -> Any:
    return pickle.loads(stream, buffers=buffers)


def _reduce_context_var(var: ContextVar[Any]) -> Any:
    """A context variable travels as the attribute of a module that holds it, or else by name."""
    main = sys.modules.get("__main__")  # multiprocessing gives it a second name
    for module_name, module in list(sys.modules.items()):
        if module is main or not isinstance(module, types.ModuleType):
            continue
        for name, value in list(vars(module).items()):
            if value is var:
                return _module_attribute, (module_name, name)
    try:
        default = Context().run(var.get)  # what it gives where nobody has set it
    except LookupError:
        return _named_context_var, (var.name,)
    return _named_context_var, (var.name, default)


def _module_attribute(module: str, name: str) -> Any:
    __import__(module)
    return getattr(sys.modules[module], name)


_named_vars: dict[str, ContextVar[Any]] = {}


def _named_context_var(name: str, *default: Any) -> ContextVar[Any]:
    """The variable of this name in this worker; variables are made once and never freed."""
    var = _named_vars.get(name)
    if var is None:
        var = ContextVar(name, default=default[0]) if default else ContextVar(name)
        _named_vars[name] = var
    return var


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
        _Pickler(stream).dump(value)
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
        _Pickler(stream, buffers.take).dump(value)
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
    pickler = _Pickler(stream, place and buffers.take)
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
            pickler = _Pickler(stream, place and buffers.take)
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
        _Pickler(io.BytesIO()).dump(value)
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
