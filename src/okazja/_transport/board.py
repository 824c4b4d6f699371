"""The board: one shared page on which every worker leaves a mark of what it runs.

A worker writes the mark before it touches a call's arguments, so that whoever finds the worker dead
knows which item was running. Readers need no lock and no cooperation of the worker: a process that
was killed or stopped leaves its last mark in place. ``okazja tree`` reads the boards of other
processes through ``/proc``.

Layout, little-endian 64-bit words unless said otherwise:

* header, 256 bytes: magic, process id of the owner, number of the executor in that process, number
  of slots, then backend (32 bytes, UTF-8, zero-padded) and name of the executor (64 bytes).
* a slot a worker, 256 bytes: the words named below, then what runs (168 bytes, UTF-8, zero-padded).
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from dataclasses import dataclass

__all__ = [
    "CALL",
    "COMMAND",
    "DONE",
    "FIRST",
    "ITEM",
    "PID",
    "SPAN",
    "STARTED",
    "TARGET",
    "TARGET_ITEM",
    "TID",
    "UNKNOWN",
    "Board",
    "Mark",
]

MAGIC = b"OKAZJA02"
HEADER = struct.Struct("<8sQQQ32s64s")
SLOT_BYTES = 256
TEXT_BYTES = 168

# The words of a slot.
PID = 0  # process that runs this worker; 0: none yet
TID = 1  # native id of the worker's thread
CALL = 2  # number of the call that runs; 0: idle
ITEM = 3  # position, inside that call's chunk, of the item that runs
STARTED = 4  # CLOCK_MONOTONIC at which the call began, in a stream the item, ns; 0: none has begun
DONE = 5  # items finished so far
COMMAND = 6  # what the parent asks for, see okazja._worker.loop
TARGET = 7  # the call the command is about
FIRST = 8  # index in the input of its chunk's first item, plus 1; 0: a submitted call
TARGET_ITEM = 9  # the item that is to be interrupted, by its position plus 1; 0: whichever runs
SPAN = 10  # further items, after ITEM, any of which may be the one that runs

UNKNOWN = (1 << 64) - 1  # as ITEM: some item of the chunk has made the worker useless, nobody knows which


@dataclass(frozen=True, slots=True)
class Mark:
    """What one worker runs, as read from the board."""

    slot: int
    pid: int
    tid: int
    call: int
    item: int
    index: int | None  # of the item in the input of its map; None for a submitted call
    started_ns: int
    done: int
    span: int
    text: str


class Board:
    """Marks of all workers of one executor, in memory shared with them."""

    def __init__(self, memory: mmap.mmap, fd: int | None) -> None:
        self.fd = fd  # descriptor to pass to workers; None where there is nothing to pass
        self._memory = memory
        magic, self.owner, self.number, self.slots, backend, name = HEADER.unpack_from(memory)
        if magic != MAGIC:
            raise ValueError(f"not a board: it starts with {magic!r} instead of {MAGIC!r}")
        self.backend: str = _text(backend)
        self.name: str = _text(name)

    @classmethod
    def create(cls, slots: int, *, number: int, backend: str, name: str) -> Board:
        """A new board for ``slots`` workers, all idle."""
        size = SLOT_BYTES * (slots + 1)
        fd: int | None = None
        if sys.platform == "linux":
            fd = os.memfd_create("okazja-board", os.MFD_CLOEXEC)
            os.ftruncate(fd, size)
            memory = mmap.mmap(fd, size)
        else:
            memory = mmap.mmap(-1, size)
        HEADER.pack_into(
            memory, 0, MAGIC, os.getpid(), number, slots, backend.encode()[:32], name.encode()[:64]
        )
        return cls(memory, fd)

    @classmethod
    def attach(cls, fd: int) -> Board:
        """The board behind a descriptor that was passed or opened."""
        return cls(mmap.mmap(fd, os.fstat(fd).st_size), fd)

    def words(self, slot: int) -> memoryview:
        """The words of one worker, to be read and assigned by the names above."""
        start = SLOT_BYTES * (slot + 1)
        return memoryview(self._memory)[start : start + SLOT_BYTES - TEXT_BYTES].cast("Q")

    def describe(self, slot: int, text: str) -> None:
        """Say what a worker runs: the name of the function."""
        start = SLOT_BYTES * (slot + 2) - TEXT_BYTES
        self._memory[start : start + TEXT_BYTES] = text.encode()[:TEXT_BYTES].ljust(TEXT_BYTES, b"\0")

    def read(self, slot: int) -> Mark:
        """The mark of one worker; words are read one by one, so a busy worker's may not match."""
        start = SLOT_BYTES * (slot + 1)
        words = struct.unpack_from("<11Q", self._memory, start)
        pid, tid, call, item, started, done, _, _, first, _, span = words
        text = _text(self._memory[start + SLOT_BYTES - TEXT_BYTES : start + SLOT_BYTES])
        index = first - 1 + item if first else None
        return Mark(slot, pid, tid, call, item, index, started, done, span, text)

    def clear(self, slot: int) -> None:
        """Make a slot ready for the next worker that takes it."""
        start = SLOT_BYTES * (slot + 1)
        self._memory[start : start + SLOT_BYTES] = bytes(SLOT_BYTES)

    def close(self) -> None:
        """Give the descriptor back; the mapping ends with its last view."""
        fd, self.fd = self.fd, None  # before the close, in which other threads may run
        if fd is not None:
            os.close(fd)


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")
