"""Large values travel through arenas: anonymous files that one process writes and others map.

Each executor has one arena for arguments, which the parent writes, and one for each worker, which that
worker writes its results to. A value takes one block. Readers map a block privately: they may write to
what they get, and nobody else sees it, so a call that has to run again finds its arguments as they were.

Layout: a header of 4 KiB (key, number of rows), then rows of ENTRIES bytes, one row a reader, then
blocks. Byte ``n`` of a row is 1 as long as that reader may look at block ``n``.

Guarantees:

* A block is used again only when its owner has let go of it (``Block`` is gone) and its byte is 0 in
  every row. Both may happen in any thread at any moment, also inside a garbage collection: they take no
  lock, and the next ``put`` or ``tidy`` finds out.
* Readers that fork, and their children, keep what they see: see okazja._transport.mapping.
* Nothing has a name: with the last process that holds the descriptor or a mapping the memory is gone.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from okazja._core.blocks import Blocks
from okazja._transport import mapping

__all__ = ["LARGE", "Arena", "Bell", "Block", "Large", "Reader", "Reference", "create", "read"]

LARGE = 1 << 16  # bytes; smaller values, and smaller buffers of a value, travel in packets and replies
CACHE = 1 << 26  # bytes at the end of an arena that are kept for the next values: touched pages are quick
ENTRIES = 1 << 16  # blocks of an arena at most
HEADER = struct.Struct("<QQ")  # key, rows
ALIGN = 64  # bytes; where a buffer starts inside its block
WINDOW = 1 << 26  # bytes of an arena that are mapped at once, and then for good
COPIED = 1 << 17  # bytes of buffers up to which a reader copies them: a mapping of their own would cost more
STEP = 1 << 20  # bytes copied at once; other threads may run in between
NUDGE = 1 << 25  # bytes let go of by a reader, upon which the writer is told to have a look

T = TypeVar("T")


class Bell:
    """An eventfd that is closed with its last user: its number never stands for another file."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        """Make it readable."""
        os.eventfd_write(self.fd, 1)

    def __del__(self) -> None:
        os.close(self.fd)


# What the reader needs: key of the arena, number of the block, where it starts in the file, and the sizes
# of what it holds: buffers, and last the pickle or the marshalled value.
Reference = tuple[int, int, int, tuple[int, ...]]


def create(rows: int) -> int:
    """A new arena for as many readers, as a descriptor. It takes no memory until it is used."""
    fd = os.memfd_create("okazja-arena", os.MFD_CLOEXEC)
    try:
        os.pwrite(fd, HEADER.pack(int.from_bytes(os.urandom(8), "little"), rows), 0)
        os.ftruncate(fd, _start(rows))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _start(rows: int) -> int:
    """Where blocks start: the header has a page, however large."""
    return mmap.PAGESIZE + rows * ENTRIES


class Block:
    """A part of an arena that is in use as long as this object lives."""

    __slots__ = ("_gone", "number")

    def __init__(self, number: int, gone: deque[int]) -> None:
        self.number = number
        self._gone = gone

    def __del__(self) -> None:
        self._gone.append(self.number)


class Large:
    """A payload or a reply's body that stands for blocks, and keeps them in use.

    ``reference`` is what travels in its place. Its length is that of the blocks, in bytes.
    """

    __slots__ = ("_size", "blocks", "reference")

    def __init__(self, reference: Any, blocks: list[Block], size: int) -> None:
        self.reference = reference
        self.blocks = blocks
        self._size = size

    def __len__(self) -> int:
        return min(self._size, sys.maxsize)


class Arena:
    """The writer's side. Thread-safe; of no use in a child of a fork.

    The lock guards everything but the copying. It is re-entrant, because a garbage collection may come
    while it is held and run a finalizer that submits a call; that call goes without a block.
    """

    def __init__(self, fd: int) -> None:
        self.key, rows = HEADER.unpack(os.pread(fd, HEADER.size, 0))
        self.fd = fd
        self._owner = os.getpid()
        self._rows = rows
        self._start = _start(rows)
        self._header: memoryview | None = None  # mapped with the first block
        self._lock = threading.RLock()
        self._inside = False  # somebody is in the middle of a change
        self._writers: set[object] = set()  # threads that copy: one that is broken off is none any more
        self._fd_is_open = True
        self._closed = False
        self._blocks = Blocks(mmap.PAGESIZE)
        self._places: dict[int, int] = {}  # number of a block → where it starts, after ``_start``
        self._numbers: list[int] = []  # free ones below ``_next``
        self._next = 0
        self._gone: deque[int] = deque()  # blocks whose owner has let go
        self._waiting = 0  # of these, those that a reader may still look at: byte n is 1 for block n
        self._length = 0  # bytes after ``_start`` that the file has; all of them were written once
        self.swollen = False  # it takes more than CACHE
        self._windows: dict[int, memoryview] = {}

    # --- writing ------------------------------------------------------------------------------------

    def put(self, buffers: Sequence[memoryview], stream: Sequence[Any]) -> tuple[Block, Reference] | None:
        """Copy buffers, and the parts of a stream of bytes, into one block.

        Returns None where that can't be done: too many blocks, no memory, or in a child of a fork.
        """
        sizes = (*[buffer.nbytes for buffer in buffers], sum(map(len, stream)))
        places, total = _layout(sizes)
        end = 0
        writer = object()
        try:
            self._writers.add(writer)
            taken = self._take(total)
            if taken is None:
                return None
            block, start = taken
            for buffer, place in zip(buffers, places, strict=False):
                self._write(start + place, buffer)
            position = start + places[-1]
            for part in stream:
                self._write(position, memoryview(part))
                position += len(part)
            end = start + total
        except OSError:
            return None  # the system has no memory left; the block goes back
        finally:
            self._done_writing(writer, end)
        return block, (self.key, block.number, self._start + start, sizes)

    def _take(self, size: int) -> tuple[Block, int] | None:
        with self._lock:
            if self._inside or self._closed or os.getpid() != self._owner:
                return None
            self._inside = True
            try:
                if self._header is None:
                    self._header = mapping.shared(self.fd, 0, self._start)
                self._collect()
                if not self._numbers and self._next == ENTRIES:
                    return None
                number = self._numbers.pop() if self._numbers else self._next
                self._next = max(self._next, number + 1)
                block = Block(
                    number, self._gone
                )  # before its place: an exception that breaks in gives both back
                start = self._places[number] = self._blocks.take(size)
                return block, start
            except OSError:
                return None
            finally:
                self._inside = False

    def _done_writing(self, writer: object, end: int) -> None:
        """All below ``end`` is written; after a failure that is 0, for the file may end before the block does."""
        with self._lock:
            self._length = max(self._length, end)
            self.swollen = self._length > CACHE
            self._writers.discard(writer)
            self._close_if_unused()

    def _write(self, position: int, part: memoryview) -> None:
        """Copy to where the file may have been written before: then touched pages are mapped already.

        Writing to untouched pages is quicker through the system, by half.
        """
        if part.format != "B" or part.ndim != 1:
            part = part.cast("B")
        if position + len(part) > self._length:
            done = 0
            while done < len(part):
                done += os.pwrite(self.fd, part[done:], self._start + position + done)
            return
        done = 0
        while done < len(part):
            number, offset = divmod(position + done, WINDOW)
            step = min(STEP, WINDOW - offset, len(part) - done)
            self._window(number)[offset : offset + step] = part[done : done + step]
            done += step

    def _window(self, number: int) -> memoryview:
        window = self._windows.get(number)
        if window is None:
            window = mapping.shared(self.fd, self._start + number * WINDOW, WINDOW)
            self._windows[number] = window
        return window

    # --- memory that comes back ---------------------------------------------------------------------------

    def lend(self, blocks: Sequence[Block]) -> None:
        """From now on the only reader may look at these blocks, until it says otherwise."""
        assert self._header is not None
        for block in blocks:
            self._header[mmap.PAGESIZE + block.number] = 1

    def tidy(self, *, rest: bool = False) -> None:
        """Give memory back to the system, where more than CACHE of it is at hand; with ``rest`` all but that."""
        if not self.swollen or not (self._gone or self._waiting):
            return
        with self._lock:
            if not (self._inside or self._closed):
                self._inside = True
                try:
                    self._collect()
                    if rest:
                        self._cut(CACHE + self._blocks.end)
                finally:
                    self._inside = False

    def _collect(self) -> None:
        """Take blocks back that nobody needs, with the lock held."""
        while self._gone:
            self._waiting |= 1 << 8 * self._gone.popleft()
        if not self._waiting:
            return
        assert self._header is not None
        held = 0
        for row in range(self._rows):
            first = mmap.PAGESIZE + row * ENTRIES
            held |= int.from_bytes(self._header[first : first + self._next], "little")
        free = self._waiting & ~held
        self._waiting &= held
        while free:
            lowest = free & -free
            free ^= lowest
            number = lowest.bit_length() >> 3
            if number in self._places:  # it was given one
                self._blocks.give(self._places.pop(number))
            self._numbers.append(number)
        end = self._blocks.end
        # Not while calls flow: what is cut off then would be wanted in a moment.
        self._cut(2 * (CACHE + end) if self._blocks else CACHE + end)

    def _cut(self, limit: int) -> None:
        """Shorten the file if it is longer than ``limit``."""
        if self._length > limit:
            self._length = self._blocks.end + CACHE // 2
            self.swollen = self._length > CACHE
            os.ftruncate(self.fd, self._start + self._length)

    def reader_is_gone(self, row: int) -> None:
        """A reader is dead, and looks at nothing any more."""
        with self._lock:
            if self._header is not None:
                first = mmap.PAGESIZE + row * ENTRIES
                self._header[first : first + self._next] = bytes(self._next)

    def close(self) -> None:
        """Give the descriptor back. What readers have mapped stays theirs."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._windows.clear()
                self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._closed and not self._writers and self._fd_is_open:
            self._fd_is_open = False
            os.close(self.fd)

    def leave(self) -> None:
        """In a child of a fork: give the descriptor back, without a wait for the lock."""
        if not self._closed:
            self._closed = True
            self._windows.clear()
            if self._fd_is_open:
                self._fd_is_open = False
                os.close(self.fd)


class Reader:
    """The reader's side of one arena, found by the arena's key.

    private: whether a fork of this process shall make its own copies of what is mapped (in workers),
    rather than have it kept in use for ever (in the parent, which may hold much more).
    """

    def __init__(self, fd: int, row: int, *, private: bool) -> None:
        self.fd = fd
        self.private = private
        self.nudge: tuple[deque[Any], Any, Bell] | None = None  # where to say that much was let go of
        self._row = mmap.PAGESIZE + row * ENTRIES
        self._header: Any = None
        self._windows: dict[int, memoryview] = {}
        self._let_go = 0  # bytes since the last nudge
        self.key, self._rows = HEADER.unpack(os.pread(fd, HEADER.size, 0))
        _readers[self.key] = self

    def look(self, offset: int, size: int) -> memoryview | None:
        """A block as it stands in the arena, to be copied from at once; None where it is not in one window."""
        number, start = divmod(offset, WINDOW)
        if start + size > WINDOW:
            return None
        window = self._windows.get(number)
        if window is None:
            try:
                self._windows[number] = window = mapping.shared(self.fd, number * WINDOW, WINDOW)
            except OSError:
                return None
        return window[start : start + size]

    def map(self, number: int, offset: int, size: int) -> memoryview:
        """A block, writable, of which nobody else sees what is written. In use until its last view is gone."""
        header = self._map_header()
        again = self.private and header[self._row + number]  # an earlier run of the item still looks at it
        header[self._row + number] = 1
        view = None if again else mapping.private(self.fd, offset, size, self, number)
        if view is None:
            try:
                view = memoryview(bytearray(size))
                _read(self.fd, offset, view)
            finally:
                if not again:
                    self.let_go(number, size)
        return view

    def _map_header(self) -> Any:
        if self._header is None:
            self._header = mapping.shared(self.fd, 0, _start(self._rows))
        return self._header

    def let_go(self, number: int, size: int) -> None:
        """Say that a block is not looked at any more. Called anywhere, at any moment: it takes no lock."""
        self._map_header()[self._row + number] = 0
        self._let_go += size
        nudge = self.nudge
        if nudge is not None and self._let_go >= NUDGE:
            self._let_go = 0
            nudge[0].append(nudge[1])
            nudge[2].ring()

    def leave(self) -> None:
        """In a child of a fork: what it does to what it sees is nobody's business."""
        self._header = bytearray(_start(self._rows))
        self.nudge = None

    def close(self) -> None:
        """Give the descriptor back. What is mapped stays."""
        self.nudge = None
        self._windows.clear()
        _readers.pop(self.key, None)
        os.close(self.fd)


_readers: dict[int, Reader] = {}  # by key


def _layout(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where each part starts inside its block, and how long the block is."""
    places, end = [], 0
    for size in sizes:
        place = -(-end // ALIGN) * ALIGN
        places.append(place)
        end = place + size
    return places, end


def read(reference: Reference, make: Callable[[memoryview, list[memoryview]], T]) -> T:
    """What ``make`` makes of the stream and the buffers of a block.

    It may keep the buffers, which are writable and its own, but not the stream.
    """
    key, number, offset, sizes = reference
    places, total = _layout(sizes)
    reader = _readers[key]
    window = reader.look(offset, total) if sum(sizes[:-1]) <= COPIED else None
    if window is None:
        whole = reader.map(number, offset, total)
        parts = [whole[place : place + size] for place, size in zip(places, sizes, strict=True)]
        return make(parts.pop(), parts)
    try:
        copies = [
            memoryview(bytearray(window[place : place + size]))
            for place, size in zip(places, sizes[:-1], strict=False)
        ]
        return make(window[places[-1] : total], copies)
    finally:
        if not reader.private:  # there only a mapping sets the byte, and one of an earlier run may still live
            reader.let_go(number, total)


def _read(fd: int, offset: int, view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = os.preadv(fd, [view[done:]], offset + done)
        if not count:
            raise EOFError(f"the shared memory of a value ends {len(view) - done} bytes early")
        done += count
