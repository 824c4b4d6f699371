"""Blocks of shared memory for the items of a queue that are too large for its ring.

A block belongs to the process that its first word names, from the moment that one begins to fill it until the last view
of the process that took it is gone; 0: it is free. The blocks of one size are linked to a list. What belongs to a dead
process is free again, unless a record of the ring still names it.

Who takes an item maps its block privately: it may write to it, and nobody else sees that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from okazja._transport import mapping
from okazja.sync.shared.region import Region
from okazja.sync.shared.slots import started

__all__ = ["CLASSES", "Blocks"]

PAGE = 4096  # bytes; the first of a block is its header
SMALLEST = 16  # bits of the smallest size
CLASSES = 20  # sizes: from 2**16 bytes to 2**35
NEXT = 1  # word of a block's header: the next of its size; 0: none
STEP = 1 << 20  # bytes copied at once; other threads may run in between
COPIED = 1 << 17  # bytes up to which an item is copied out: a mapping of its own would cost more
ALIGN = 64  # bytes; where a buffer starts
PID_BITS = 22  # of a process's name; the rest is when it started


def name_of(pid: int, start: int) -> int:
    """A process as one word."""
    return start << PID_BITS | pid


class Blocks:
    """Those of one queue. ``place``: the index of the first of `CLASSES` words, where the lists start."""

    private = True  # as `okazja._transport.mapping` asks: a fork makes its own copies of what is mapped

    def __init__(self, region: Region, place: int, me: Callable[[], int]) -> None:
        self._region = region
        self._words = region.words
        self._place = place
        self._me = me

    def fill(
        self, parts: Sequence[Any], lock: Any, in_use: Callable[[], set[int]]
    ) -> tuple[int, tuple[int, ...]]:
        """A block with these buffers, and their sizes. ``lock`` is around the lists, ``in_use`` what the ring names."""
        sizes = tuple(memoryview(part).nbytes for part in parts)
        places, total = layout(sizes)
        block = self._claim(max(total + PAGE - 1, 1).bit_length(), lock, in_use)
        try:
            start = block + PAGE
            for place, part in zip(places, parts, strict=True):
                view = memoryview(part).cast("B")
                target = self._region.view(start + place, view.nbytes)
                for at in range(0, view.nbytes, STEP):
                    target[at : at + STEP] = view[at : at + STEP]
        except BaseException:
            self._words[block >> 3] = 0
            raise
        return block, sizes

    def _claim(self, bits: int, lock: Any, in_use: Callable[[], set[int]]) -> int:
        words, me = self._words, self._me()
        bits = max(bits, SMALLEST)
        if bits >= SMALLEST + CLASSES:
            raise MemoryError(f"an item of 2**{bits} bytes is too large for a queue")
        first = self._place + bits - SMALLEST
        with lock:
            block = words[first]
            while block:
                if not words[block >> 3]:
                    words[block >> 3] = me
                    return int(block)
                block = words[(block >> 3) + NEXT]
            block = self._of_the_dead(words[first], in_use)
            if not block:
                block = self._region.allocate((1 << bits) + PAGE + PAGE) + PAGE - 1 & -PAGE
                words[(block >> 3) + NEXT] = words[first]
                words[block >> 3] = me
                words[first] = block
            words[block >> 3] = me
            return int(block)

    def _of_the_dead(self, block: int, in_use: Callable[[], set[int]]) -> int:
        words = self._words
        alive: dict[int, bool] = {}
        found = []
        while block:
            name = words[block >> 3]
            if name not in alive:
                alive[name] = started(name & (1 << PID_BITS) - 1) == name >> PID_BITS
            if not alive[name]:
                found.append(block)
            block = words[(block >> 3) + NEXT]
        used = in_use() if found else set()
        return next((block for block in found if block not in used), 0)

    def hand_over(self, block: int) -> None:
        """It is this process's from now on."""
        self._words[block >> 3] = self._me()

    def read(self, block: int, sizes: tuple[int, ...]) -> list[memoryview]:
        """The buffers of a block that belongs to this process. It is free again when the last view of them is gone."""
        places, total = layout(sizes)
        start = block + PAGE
        if total > COPIED:
            whole = mapping.private(self._region.descriptor, start, total, self, block >> 3)  # type: ignore[arg-type]
            if whole is not None:
                return [whole[place : place + size] for place, size in zip(places, sizes, strict=True)]
        try:
            shared = self._region.view(start, total)
            return [
                memoryview(bytearray(shared[place : place + size]))
                for place, size in zip(places, sizes, strict=True)
            ]
        finally:
            self._words[block >> 3] = 0

    def let_go(self, number: int, size: int) -> None:
        """The last view of a block is gone. Called anywhere, at any moment: it takes no lock."""
        self._words[number] = 0

    def drop(self, block: int) -> None:
        """Nobody will read it."""
        self._words[block >> 3] = 0


def layout(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where buffers of these sizes start, and where the last one ends."""
    places, end = [], 0
    for size in sizes:
        start = end + ALIGN - 1 & -ALIGN
        places.append(start)
        end = start + size
    return places, max(end, 1)


def process_name() -> int:
    """This process as one word."""
    return name_of(os.getpid(), started(os.getpid()))
