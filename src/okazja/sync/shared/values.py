"""Values and arrays in the memory that processes share."""

from __future__ import annotations

import ctypes
from functools import partial
from typing import Any

from okazja.errors import BadInput
from okazja.sync.memory import SharedValue, array_type, c_type, fill_array, length_for
from okazja.sync.shared.lock import SharedRLock
from okazja.sync.shared.region import Region, Ticket

__all__ = ["make_array", "make_value"]


def make_value(region: Region, typecode_or_type: Any, args: tuple[Any, ...], lock: Any) -> SharedValue:
    """A new value. Raises BadInput, and what its type raises."""
    element = c_type(typecode_or_type)
    offset = region.allocate(max(ctypes.sizeof(element), 1))
    value = _value(region.ticket, offset, typecode_or_type, _lock_for(region, lock))
    value.get_obj().__init__(*args)
    return value


def make_array(region: Region, typecode_or_type: Any, size_or_initializer: Any, lock: Any) -> Any:
    """A new array. Raises BadInput, and what its type raises."""
    element = c_type(typecode_or_type)
    length, initial = length_for(size_or_initializer)
    offset = region.allocate(max(ctypes.sizeof(element) * length, 1))
    array = _array(region.ticket, offset, typecode_or_type, length, _lock_for(region, lock))
    fill_array(array, initial)
    return array


def _value(ticket: Ticket, offset: int, kind: Any, lock: Any) -> SharedValue:
    obj = c_type(kind).from_buffer(Region.attach(ticket).memory, offset)
    return SharedValue(obj, lock, partial(_reduced, _value, ticket, offset, kind, lock))


def _array(ticket: Ticket, offset: int, kind: Any, length: int, lock: Any) -> Any:
    array = array_type(c_type(kind), length).from_buffer(Region.attach(ticket).memory, offset)
    array._lock = lock
    array._travel = partial(_reduced, _array, ticket, offset, kind, length, lock)
    return array


def _reduced(*rebuilt: Any) -> Any:
    """How it travels: by its place."""
    return rebuilt[0], rebuilt[1:]


def _lock_for(region: Region, lock: Any) -> Any:
    if lock is True or lock is None:
        return SharedRLock.create(region)
    if lock is False:
        return None
    if not hasattr(lock, "acquire"):
        raise BadInput(f"lock must be True, False or a lock, got {lock!r}")
    return lock
