"""Memory mappings that are undone when the last view of them is gone, in whatever thread that happens.

The ``mmap`` module holds a descriptor for each mapping before CPython 3.13, and thousands of results may
live at once; so the C library is called directly.

Forks: a child sees the private mappings of its parent, and may read them for as long as it lives. So a
process that forks makes its own copies of the pages first. Where that is too much (in the parent, beyond
COPIED) it never gives the blocks back that are mapped at that moment. What is read while a fork is on its
way is copied, not mapped.
"""

from __future__ import annotations

import mmap
import os
import pickle
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from okazja._transport.arena import Reader

__all__ = ["private", "shared", "writable"]

POPULATE_WRITE = 23  # of madvise(2), since Linux 5.14: has each page copied, as a write would
COPIED = 1 << 26  # bytes of results that a fork of the parent makes its own copies of, at most
MOST = 1 << 15  # mappings at once, half of what the system usually allows a process
NORESERVE = 0x4000  # of mmap(2): pages that are never written to need no room


class _C:
    """The functions of the C library, loaded with the first mapping: ctypes takes time to import."""

    def __init__(self) -> None:
        import ctypes

        self.byte: Any = ctypes.c_ubyte
        self.array = ctypes.Array
        self.addressof = ctypes.addressof
        libc = ctypes.CDLL(None, use_errno=True)
        self.errno = ctypes.get_errno
        self.mmap: Any = libc.mmap
        self.mmap.restype = ctypes.c_void_p
        self.mmap.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_long,
        ]
        self.munmap: Any = libc.munmap
        self.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self.madvise: Any = libc.madvise
        self.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self.failed = ctypes.c_void_p(-1).value
        os.register_at_fork(
            before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
        )


_c: _C | None = None


def _library() -> _C:
    global _c
    if _c is None:
        _c = _C()
    return _c


class _Mapping(weakref.ref[Any]):
    """Knows what to undo when the last view is gone."""

    __slots__ = ("address", "number", "reader", "size", "unmap")

    address: int
    size: int
    reader: Reader | None  # to tell that its block is let go of
    number: int  # of the block
    unmap: Any  # at the end of the interpreter the globals may be gone before the last view


# By address. Whoever takes a mapping out of ``_live`` tells its reader, so that it is told once.
_live: dict[int, _Mapping] = {}
_kept: dict[int, _Mapping] = {}  # their blocks are settled already: at a fork, or because there is no reader
_forking = False


def shared(fd: int, offset: int, size: int) -> memoryview:
    """A part of a file, seen and written by all. Raises OSError."""
    view = _map(fd, offset, size, mmap.MAP_SHARED, None, 0)
    if view is None:
        raise OSError(_library().errno(), f"can't map {size:,} bytes of shared memory")
    return view


def private(fd: int, offset: int, size: int, reader: Reader, number: int) -> memoryview | None:
    """A part of a file that can be written to without anybody seeing it. None where that can't be had."""
    if _forking or len(_live) >= MOST:
        return None
    return _map(fd, offset, size, mmap.MAP_PRIVATE | NORESERVE, reader, number)


def _map(
    fd: int, offset: int, size: int, flags: int, reader: Reader | None, number: int
) -> memoryview | None:
    c = _library()
    address = c.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, offset)
    if address == c.failed:
        return None
    # A type for each power of two, rather than for each size: types are kept for ever.
    exporter = (c.byte * (1 << (size - 1).bit_length())).from_address(address)
    made = _Mapping(exporter, _undo)
    made.address, made.size, made.reader, made.number, made.unmap = address, size, reader, number, c.munmap
    (_kept if reader is None else _live)[address] = made
    return pickle.PickleBuffer(exporter).raw()[:size]


def writable(view: memoryview, address: int) -> memoryview | None:
    """The bytes of a read-only view, which start at ``address``, to write to; None if they are not mapped from here."""
    exporter = view.obj
    if _c is None or not isinstance(exporter, _c.array):
        return None
    start = _c.addressof(exporter)
    if start not in _live and start not in _kept:
        return None
    return pickle.PickleBuffer(exporter).raw()[address - start :][: view.nbytes]


def _undo(made: _Mapping, live: dict[int, _Mapping] = _live, kept: dict[int, _Mapping] = _kept) -> None:
    """Runs anywhere, at any moment, with any lock held by this thread: takes none."""
    mine = live.pop(made.address, None)
    kept.pop(made.address, None)
    made.unmap(made.address, made.size)
    if mine is not None and made.reader is not None:
        made.reader.let_go(made.number, made.size)


def _before_fork() -> None:
    global _forking
    _forking = True
    copied = 0
    for made in list(_live.values()):
        _kept[made.address] = made
        if _live.pop(made.address, None) is None:
            _kept.pop(made.address, None)  # its last view has gone meanwhile
        elif (
            made.reader is not None
            and (made.reader.private or copied + made.size <= COPIED)
            and _made_own(made)
        ):
            copied += made.size
            made.reader.let_go(made.number, 0)


def _made_own(made: _Mapping) -> bool:
    """Have the pages copied, so that they are this process's own; False where the system is too old for it."""
    return not _library().madvise(made.address, made.size, POPULATE_WRITE)


def _after_fork() -> None:
    global _forking
    _forking = False


def _after_fork_in_child() -> None:
    global _forking
    _forking = False
    from okazja._transport.arena import _readers

    for reader in _readers.values():
        reader.leave()
