"""What each thread has of each lock and semaphore: its share, one word.

Its lower half is written by its thread alone: how many permits it has, *or is about to try for, or has just given
back*. Its upper half is written by others, under the guard: how many of these they have given back for it. So a share
never says less than what its thread has; outside of the few steps around an attempt or a release, it says just that.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from okazja.sync.shared.layout import (
    LINE,
    NEXT_OF_PRIMITIVE,
    NEXT_OF_SLOT,
    OF,
    OWNS,
    SHARES,
    WHOSE,
    WORD,
)
from okazja.sync.shared.region import Region

if TYPE_CHECKING:
    from okazja.sync.shared.slots import Seat

__all__ = ["Share", "find", "given", "held", "holders", "of_primitive", "of_slot"]

HALF = 32  # bits
MASK = (1 << HALF) - 1
SIGN = 1 << HALF - 1
_LOWER, _UPPER = (0, WORD // 2) if sys.byteorder == "little" else (WORD // 2, 0)  # where they are, in bytes


class Share:
    """A share of the calling thread. There is one object of it, so that all copies of a lock know the same."""

    __slots__ = ("given", "has", "said", "seat", "took", "word")

    def __init__(self, region: Region, word: int, seat: Seat) -> None:
        self.word = word  # its index
        self.took = ctypes.c_int32.from_address(region.address + word * WORD + _LOWER)
        self.given = given(region, word)
        self.said: int = self.took.value  # the same, at hand
        # How many permits the thread has, as far as it knows; of an RLock, how often it has it. In the middle of an
        # attempt or a release, the share says one more.
        self.has = 0
        self.seat = seat  # so that the slot is the thread's for as long as the share is

    def settle(self) -> None:
        """Under the guard: what others have given back for it is taken off."""
        back = self.given.value
        self.has = max(0, self.has - back)
        self.said -= back
        self.took.value = self.said
        self.given.value = 0


def given(region: Region, word: int) -> ctypes.c_uint32:
    """The upper half of a share: a store to it leaves the lower one to its thread."""
    return ctypes.c_uint32.from_address(region.address + word * WORD + _UPPER)


def held(word: int) -> int:
    """How many permits a share says that its thread has."""
    difference = (word - (word >> HALF)) & MASK
    return difference - MASK - 1 if difference & SIGN else difference


def of_primitive(words: memoryview, primitive: int) -> Iterator[int]:
    """All shares of a lock or semaphore, the newest first."""
    share = words[primitive + SHARES]
    while share:
        yield share
        share = words[share + NEXT_OF_PRIMITIVE]


def of_slot(words: memoryview, slot: int) -> Iterator[int]:
    """All shares of a thread, the newest first."""
    share = words[OWNS + slot]
    while share:
        yield share
        share = words[share + NEXT_OF_SLOT]


def holders(words: memoryview, primitive: int) -> dict[int, int]:
    """Slots of the threads that have permits, or are about to try for one; and how many, at most."""
    counts = {words[share + WHOSE]: held(words[share]) for share in of_primitive(words, primitive)}
    return {slot: count for slot, count in counts.items() if count > 0}


def find(region: Region, primitive: int, slot: int) -> int:
    """Under the guard: the share of a slot; made if there is none."""
    words = region.words
    for share in of_primitive(words, primitive):
        if (
            words[share + WHOSE] == slot
        ):  # perhaps of a thread that has ended: what was given back is taken off
            words[share] = held(words[share]) & MASK
            return share
    share = region.allocate_inside(LINE) // WORD
    words[share + OF], words[share + WHOSE] = primitive, slot
    words[share + NEXT_OF_PRIMITIVE] = words[primitive + SHARES]
    words[share + NEXT_OF_SLOT] = words[OWNS + slot]
    words[OWNS + slot] = share  # first: what can be found by `find` is found when the thread dies
    words[primitive + SHARES] = share
    return share
