"""Values and arrays of C types: what ``multiprocessing.Value`` and ``Array`` take, over memory that somebody else has.

An array is an instance of a ctypes array type, made for its element type and length: so it is indexed at the speed of
C, and offers the buffer protocol on every Python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

from okazja.errors import BadInput
from okazja.sync.carriers import Array, Shared, Value

__all__ = ["SharedValue", "array_type", "c_type", "fill_array", "length_for"]

TYPECODES: dict[str, Any] = {
    "c": ctypes.c_char, "u": ctypes.c_wchar,
    "b": ctypes.c_byte, "B": ctypes.c_ubyte,
    "h": ctypes.c_short, "H": ctypes.c_ushort,
    "i": ctypes.c_int, "I": ctypes.c_uint,
    "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float, "d": ctypes.c_double,
    "?": ctypes.c_bool,
}  # fmt: skip


def c_type(typecode_or_type: Any) -> Any:
    """The ctypes type of a typecode of `array`, or the type itself. Raises BadInput (a ValueError)."""
    found = (
        TYPECODES.get(typecode_or_type, typecode_or_type)
        if isinstance(typecode_or_type, str)
        else typecode_or_type
    )
    try:
        ctypes.sizeof(found)
    except TypeError:
        known = " ".join(TYPECODES)
        raise BadInput(
            f"expected a ctypes type or one of the typecodes {known}, got {typecode_or_type!r}"
        ) from None
    return found


def length_for(size_or_initializer: Any) -> tuple[int, Any]:
    """How many elements, and what they are at first; None: zero. Raises BadInput (a ValueError)."""
    if isinstance(size_or_initializer, int):
        if size_or_initializer < 0:
            raise BadInput(f"an array's size must be 0 or more, got {size_or_initializer}")
        return size_or_initializer, None
    if not hasattr(size_or_initializer, "__iter__"):
        raise BadInput(f"an array needs its size or a sequence of elements, got {size_or_initializer!r}")
    initial = size_or_initializer if hasattr(size_or_initializer, "__len__") else list(size_or_initializer)
    return len(initial), initial


def fill_array(array: Any, initial: Any) -> None:
    """Write what the elements are at first."""
    if initial is not None:
        if isinstance(initial, bytes) or array._type_ not in (ctypes.c_char, ctypes.c_wchar):
            array[:] = initial if isinstance(initial, bytes | list | tuple) else list(initial)
        else:
            for index, element in enumerate(initial):
                array[index] = element


class _ArrayMethods:
    """What an array has beyond those of ctypes. ``_lock`` and ``_travel`` are set when it is made."""

    _lock: Any
    _travel: Callable[[], Any]  # what `__reduce__` returns, or an error

    def get_lock(self) -> Any:
        """Its lock. Raises AttributeError if it was made with ``lock=False``."""
        lock = self._lock
        return no_lock() if lock is None else lock

    def get_obj(self) -> Any:
        """The ctypes object in the memory itself: the array is one."""
        return self

    def view(self) -> memoryview:
        """Its memory: writable, one-dimensional, seen by all."""
        whole: Any = memoryview(self).cast("B")  # type: ignore[arg-type]
        code = getattr(self._type_, "_type_", None)  # type: ignore[attr-defined]
        view: memoryview = whole.cast(code) if isinstance(code, str) and code != "u" else whole
        return view

    def __reduce_ex__(self, protocol: Any) -> Any:  # that of ctypes would copy the memory
        return self._travel()

    acquire, release = Shared.acquire, Shared.release
    __enter__, __exit__ = Shared.__enter__, Shared.__exit__
    __hash__ = object.__hash__


@cache
def array_type(element: Any, length: int) -> Any:
    """The type of an array of so many elements."""
    made = type(element * length)("Array", (_ArrayMethods, element * length), {"__module__": "okazja"})
    Array.register(made)
    return made


def no_lock() -> NoReturn:
    """Raise AttributeError."""
    raise AttributeError("it has no lock: it was made with lock=False")


class SharedValue(Value):
    """A value over a ctypes object. The fields of a structure are its attributes."""

    __slots__ = ("__weakref__", "_lock", "_obj", "_travel")

    def __init__(self, obj: Any, lock: Any, travel: Callable[[], Any]) -> None:
        object.__setattr__(self, "_obj", obj)
        object.__setattr__(self, "_lock", lock)
        object.__setattr__(self, "_travel", travel)

    @property
    def value(self) -> Any:
        """What it is now: one read, one write. To add to it takes two, and so the lock."""
        return self._obj.value

    @value.setter
    def value(self, value: Any) -> None:
        self._obj.value = value

    def get_lock(self) -> Any:
        """Its lock. Raises AttributeError if it was made with ``lock=False``."""
        lock = self._lock
        return no_lock() if lock is None else lock

    def get_obj(self) -> Any:
        """The ctypes object in the memory itself."""
        return self._obj

    def __repr__(self) -> str:
        return f"<okazja.Value at {id(self):#x}: {self._obj!r}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._obj, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "value":
            object.__setattr__(self, name, value)
        elif hasattr(type(self._obj), name):
            setattr(self._obj, name, value)
        else:
            raise AttributeError(f"{type(self._obj).__name__} has no field {name!r}")

    def __reduce__(self) -> Any:
        return self._travel()
