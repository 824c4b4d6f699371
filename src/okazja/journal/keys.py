"""What a journal calls an item: the same in every run, for every item that is equal and of the same type.

An int of up to 64 bits is called by itself, a short text too. Everything else has a description of its structure, in
bytes: ``True``, ``1``, ``1.0``, ``"1"``, ``b"1"``, ``(1,)`` and ``[1]`` are seven items. The order of dicts and sets
does not count. What is none of the standard types is described by its pickle; sets *inside* of such objects may be
pickled in another order in another process, and then need a ``key=``.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Callable
from typing import Any

from okazja.errors import BadInput
from okazja.journal.encoding import INT64

__all__ = ["LONGEST", "Key", "row_key"]

Key = int | str | bytes

LONGEST = 40  # characters or bytes of a key; what is longer is called by a digest
_DIGEST = 20  # bytes
_PROTOCOL = 5  # fixed: another would give other keys

_DEPTH = 200  # of containers in containers; deeper ones are pickled, or can't be
_SHARING = 16  # times the size of an item that its description may take because parts of it are shared
_SMALL = 1 << 20  # bytes or parts up to which that does not matter


def row_key(item: Any) -> Key:
    """The key of an item. Raises whatever pickling it raises."""
    kind = type(item)
    if kind is int and -INT64 <= item < INT64:
        return item  # type: ignore[no-any-return]
    if kind is str and len(item) <= LONGEST and (item.isascii() or _is_text(item)) and "\0" not in item:
        return item  # type: ignore[no-any-return]
    description = _Describer().describe(item, _DEPTH)
    if len(description) > LONGEST:
        return b"#" + hashlib.blake2b(description, digest_size=_DIGEST).digest()
    return description


def _is_text(item: str) -> bool:
    try:
        item.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which SQLite's texts can't hold
        return False
    return True


class _Describer:
    """Describes one item."""

    def __init__(self) -> None:
        self._met: set[int] = set()  # containers
        self._meetings = 0

    def describe(self, value: Any, depth: int) -> bytes:
        """Begins with the type, says how long it is: no two values have the same."""
        kind = type(value)
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            return scalar(value)
        if depth and kind in _CONTAINERS:
            return self._describe_container(value, depth - 1)
        return _counted(b"p", _pickle(value))

    def _describe_container(self, value: Any, depth: int) -> bytes:
        kind, describe = type(value), self.describe
        self._met.add(id(value))
        self._meetings += 1
        if self._meetings > max(_SMALL, _SHARING * len(self._met)):
            raise _tangled()
        if kind is dict:
            parts = [describe(key, depth) + describe(part, depth) for key, part in value.items()]
        else:
            parts = [describe(part, depth) for part in value]
        if kind is not tuple and kind is not list:
            parts.sort()
        return b"%s%x;%s" % (_CONTAINERS[kind], len(parts), b"".join(parts))


def _tangled() -> BadInput:
    return BadInput("its parts hold each other so many times over that there is no end to describing it")


_SCALARS: dict[type, Callable[[Any], bytes]] = {
    str: lambda value: _counted(b"s", value.encode("utf-8", "surrogatepass")),
    int: lambda value: b"i%x;" % value,
    float: lambda value: b"f" + struct.pack(">d", value),
    bytes: lambda value: _counted(b"b", value),
    bool: lambda value: b"t" if value else b"u",
    type(None): lambda _: b"n",
}
_CONTAINERS: dict[type, bytes] = {tuple: b"(", list: b"[", dict: b"{", set: b"<", frozenset: b">"}


def _counted(tag: bytes, content: bytes) -> bytes:
    return b"%s%x;%s" % (tag, len(content), content)


def _pickle(value: Any) -> bytes:
    """A pickle that does not depend on which parts of the value are one object and which are equal ones."""
    pickled = pickle.dumps(value, _PROTOCOL)  # by reference only: what goes by value differs from run to run
    stream = _Bounded(_SHARING * len(pickled) + _SMALL)
    pickler = pickle.Pickler(stream, _PROTOCOL)
    pickler.fast = True  # remembers no parts, so it can't pickle what holds itself
    try:
        pickler.dump(value)
    except (RecursionError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        return pickled
    return b"".join(stream.parts)


class _Bounded:
    """A file in memory."""

    def __init__(self, most: int) -> None:
        self.parts: list[bytes] = []
        self._left = most

    def write(self, part: bytes) -> None:
        """Keep it. Raises BadInput where that is too much."""
        self._left -= len(part)
        if self._left < 0:
            raise _tangled()
        self.parts.append(bytes(part))
