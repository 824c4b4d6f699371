"""Which occurrence of an item the next one is, where items repeat: 0 the first time that a pass meets it.

A pass gives the occurrences of a key one after the other, so those that it has given are 0, 1, 2 … without a gap. Those
of outcomes that earlier runs left are marked in a map of bits; those that are new are either in the database, after all
that was there before, or in flight. So memory stays bounded however long the input is: an eighth of a byte for each
old outcome, and what is in flight.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from okazja.journal.keys import Key

__all__ = ["Visits"]

CACHED = 100_000  # keys that repeat, whose next occurrence is remembered


class Visits:
    """The occurrences that this pass has given. ``last`` is the id of the last outcome of earlier runs."""

    def __init__(self, last: int) -> None:
        self._last = last
        self._old = bytearray((last >> 3) + 1)  # a bit for each old outcome: met in this pass
        self._lock = threading.Lock()  # held by look-ups and by the writer, for the two dicts
        self._in_flight: dict[Key, int] = {}  # the highest occurrence of each
        self._more: dict[Key, int] = {}  # how many of a key are in flight beyond one
        self._next: dict[Key, int] = {}  # of keys that repeat

    def in_flight(self, keys: Iterable[Key]) -> dict[Key, int]:
        """Those of the keys that are on their way to the disk, with their highest occurrence."""
        with self._lock:
            found = self._in_flight
            return {key: found[key] for key in keys if key in found} if found else {}

    def take_off(self, keys: Sequence[Key]) -> None:
        """The first occurrence of each of these keys, none of which was met before."""
        with self._lock:
            self._in_flight.update(zip(keys, (0,) * len(keys), strict=True))

    def give(self, key: Key, occurrence: int, *, new: bool) -> None:
        """An item is this occurrence; ``new``: no outcome of it was there."""
        with self._lock:
            if key in self._in_flight:
                self._in_flight[key] = occurrence
                if new:
                    self._more[key] = self._more.get(key, 0) + 1
            elif new:
                self._in_flight[key] = occurrence
        if occurrence:
            if len(self._next) >= CACHED:
                self._next.clear()
            self._next[key] = occurrence + 1

    def land(self, keys: Iterable[Key]) -> None:
        """New outcomes of these keys are on disk, where any look-up sees them."""
        with self._lock:
            for key in keys:
                more = self._more.get(key)
                if more is None:
                    self._in_flight.pop(key, None)
                elif more == 1:
                    del self._more[key]
                else:
                    self._more[key] = more - 1

    def mark(self, row: int) -> None:
        """An old outcome was met."""
        if row <= self._last:
            self._old[row >> 3] |= 1 << (row & 7)

    def is_met(self, row: int) -> bool:
        """Whether the outcome of this id was met in this pass, or is of this pass."""
        return row > self._last or bool(self._old[row >> 3] & (1 << (row & 7)))

    def next_of(self, key: Key, flying: dict[Key, int], find: Callable[[Key, int], int | None]) -> int:
        """The next occurrence of a key that was met before.

        flying: what was in flight before the database was asked. find: the id of the outcome of any occurrence, None
        where there is none.
        """
        if key in self._next:
            return self._next[key]
        if key in flying:
            return flying[key] + 1

        def is_given(occurrence: int) -> bool:
            row = find(key, occurrence)
            return row is not None and self.is_met(row)

        low, high = 0, 1  # the highest that is known to be given; one that is not
        while is_given(high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if is_given(middle) else (low, middle)
        return high
