"""The memory that an executor's processes share, for as long as any of them lives.

It is one anonymous file, sparse: a page takes room once it is written to. A ticket leads to it, from any process of the
same user: through ``/proc/OWNER/fd``. When the processes are gone, it is gone.

The guard is an open-file-description lock on it, so the kernel takes it from a holder that dies. It is for what is
rare: allocation, a thread's first use of a primitive, a release for another thread, counting after a death. A stopped
process that has it holds up others.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import secrets
import struct
import threading
import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

from okazja.errors import Deadlock, ExecutorShutdown
from okazja.sync.shared.layout import (
    CLOSED,
    FIRST_FREE,
    GATE,
    KEY,
    LINE,
    MAGIC,
    MAGIC_VALUE,
    OWNER,
    TOP,
    WORD,
)

__all__ = ["Cell", "Region", "Ticket"]

ROOM = 1 << 36  # bytes of addresses; memory is taken page by page
SMALLEST = 1 << 24
Cell: TypeAlias = ctypes.c_int64
Ticket: TypeAlias = tuple[int, int, int]  # process id of the owner, its descriptor, key

_FLOCK = "hhqqi4x"  # struct flock
_LOCK = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_UNLOCK = struct.pack(_FLOCK, fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)

P = ParamSpec("P")
R = TypeVar("R")

_regions: weakref.WeakValueDictionary[int, Region] = weakref.WeakValueDictionary()  # by key


class Region:
    """Memory shared by processes. Thread-safe; ``words`` and views are as safe as their user makes them."""

    def __init__(self, fd: int, ticket: Ticket, *, owner: bool) -> None:
        self.ticket = ticket
        self._fd = fd if owner else -1  # what the ticket names
        self._memory = mmap.mmap(fd, os.fstat(fd).st_size)
        self.words = memoryview(self._memory).cast("Q")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._mutex = threading.Lock()  # taken before the guard, by the threads of this process
        self._inside = 0  # the thread that has it
        self._file = os.fstat(fd).st_dev, os.fstat(fd).st_ino
        # Apart from the mapping's: a mapping that a fork inherits would keep its locks alive.
        self._guard = _open_again(fd)
        self._finalizer = weakref.finalize(self, _close_all, [self._guard, *([fd] if owner else [])])
        self._finalizer.atexit = False
        self.slots: object = None  # of its threads, see okazja.sync.shared.slots
        self.forgets: list[Callable[[], None]] = []  # run in a forked child
        _regions[ticket[2]] = self

    @classmethod
    def create(cls) -> Region:
        """New memory, all zeros, owned by this process. Raises OSError."""
        fd = os.memfd_create("okazja-primitives", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, _room())
            region = cls(fd, (os.getpid(), fd, secrets.randbits(63)), owner=True)
        except BaseException:
            os.close(fd)
            raise
        words = region.words
        words[MAGIC], words[KEY], words[OWNER], words[TOP] = (
            MAGIC_VALUE,
            region.ticket[2],
            os.getpid(),
            FIRST_FREE,
        )
        return region

    @classmethod
    def attach(cls, ticket: Ticket) -> Region:
        """The memory of a ticket, mapped once a process. Raises ExecutorShutdown where it is gone."""
        region = _regions.get(ticket[2])
        if region is not None:
            return region
        with _attaching:
            region = _regions.get(ticket[2])
            return cls._map(ticket) if region is None else region

    @classmethod
    def _map(cls, ticket: Ticket) -> Region:
        pid, number, key = ticket
        try:
            fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise ExecutorShutdown(_gone(pid)) from error
        try:
            if os.fstat(fd).st_size < FIRST_FREE or os.pread(fd, 2 * WORD, 0) != struct.pack(
                "QQ", MAGIC_VALUE, key
            ):
                raise ExecutorShutdown(_gone(pid))
            return cls(fd, ticket, owner=False)
        finally:
            os.close(fd)

    def allocate(self, nbytes: int) -> int:
        """Offset of new memory, in bytes: all zeros, aligned to 64 bytes, never given back.

        Raises MemoryError where no addresses are left.
        """
        return self.guarded(self.allocate_inside, nbytes)

    def allocate_inside(self, nbytes: int) -> int:
        """As `allocate`, for who has the guard."""
        start = self.words[TOP]
        end = start + -(-nbytes // LINE) * LINE
        room = len(self._memory)
        if end > room:
            raise MemoryError(f"{nbytes} bytes don't fit: the primitives of an executor have {room:,} bytes")
        self.words[TOP] = end
        return start

    def view(self, offset: int, nbytes: int) -> memoryview:
        """Bytes of the memory, to read and write."""
        return memoryview(self._memory)[offset : offset + nbytes]

    def cell(self, index: int) -> Cell:
        """One word of the memory, as an object: quicker than an element of ``words``. Valid as long as the region."""
        return ctypes.c_int64.from_address(self.address + index * WORD)

    def guarded(self, action: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``action`` while no other thread of any process is in here. It waits for a few milliseconds at most.

        An exception that breaks in (Ctrl-C) can't leave the guard held, unless a second one hits the very
        instructions that give it back because of the first. Raises Deadlock in a signal handler or a finalizer that
        came in the middle of an action of its own thread.
        """
        me = threading.get_ident()
        if self._inside == me:
            raise Deadlock(
                "a signal handler or a finalizer uses a primitive while its own thread is in the middle of making one, "
                "taking it for the first time, or counting what is left of one: it would wait for itself"
            )
        with self._mutex:
            self._inside = me
            try:
                try:
                    self._lock()
                    self.words[GATE] = 0  # whoever closed it died
                    return action(*args, **kwargs)
                finally:
                    self._inside = 0
                    fcntl.fcntl(self._guard, fcntl.F_OFD_SETLK, _UNLOCK)
            except BaseException:
                self._inside = 0
                fcntl.fcntl(self._guard, fcntl.F_OFD_SETLK, _UNLOCK)
                raise

    def _lock(self) -> None:
        """A task may have closed descriptors that are not its own, and the number may be another file's by now."""
        try:
            known = os.fstat(self._guard)
            whole = (known.st_dev, known.st_ino) == self._file
        except OSError:
            whole = False
        if not whole:
            raise ExecutorShutdown(
                "the descriptor of the executor's primitives was closed, by something else in this process"
            )
        fcntl.fcntl(self._guard, fcntl.F_OFD_SETLKW, _LOCK)

    @property
    def memory(self) -> mmap.mmap:
        """All of it, as one buffer of bytes."""
        return self._memory

    @property
    def descriptor(self) -> int:
        """A descriptor of its file, to map parts of it in other ways."""
        return self._guard

    @property
    def closed(self) -> bool:
        """Whether the executor has ended."""
        return bool(self.words[CLOSED])

    def _after_fork(self) -> None:
        """In a forked child: the guard is the parent's, and other threads of it may have had the mutex."""
        self._mutex = threading.Lock()
        self._inside = 0
        old = self._guard
        with contextlib.suppress(OSError):  # no use is left of this region then, and each says so
            self._guard = _open_again(old)
            os.close(old)
        self._finalizer.detach()
        self._fd = -1
        for forget in self.forgets:
            forget()


def _room() -> int:
    """ROOM, or what a limit to this process's addresses leaves of it."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return ROOM if limit == resource.RLIM_INFINITY else min(ROOM, max(limit // 8, SMALLEST) // LINE * LINE)


def _open_again(fd: int) -> int:
    return os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):  # a task has closed what is not its own
            os.close(fd)


def _gone(pid: int) -> str:
    return f"the executor of this primitive has ended, or its process {pid} has: make a new one with a new executor"


_attaching = threading.Lock()


def _after_fork(*_: Any) -> None:
    global _attaching
    _attaching = threading.Lock()
    for region in list(_regions.values()):
        region._after_fork()


os.register_at_fork(after_in_child=_after_fork)
