"""One side of a queue: those who put, or those who take, one at a time.

There is a lock; but a thread that has been alone at its side for a while goes in without it. Then its number stands in
the word of the side. It goes in by saying so (its WANT names the side) and looking at that word: two plain steps. Who
wants in as well takes the lock, strikes the number out, has every processor's writes seen, and waits until the thread
is seen outside: so either that one has seen that it may not, or it is waited for. A dead one is not waited for: what is
done inside is done with one store, at the end.

The number is struck out in two steps, the first of which says that it may still be inside: so whoever is killed or
interrupted in between leaves the rest to the next who has the lock. Each time it takes longer until a thread may go in
without it again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from okazja.sync.shared import counter
from okazja.sync.shared.layout import PID, START, WANT, WANT_STEP
from okazja.sync.shared.lock import QuietLock
from okazja.sync.shared.region import Region
from okazja.sync.shared.slots import started

__all__ = ["SIDE_WORDS", "Side", "new_lock"]

ALONE, LAST, TIMES, LIMIT = range(4)  # words of a side
SIDE_WORDS = 8
LEAVING = 1 << 32  # beside the number of a thread that may go in no more, and may still be inside
FIRST_LIMIT = 64  # times in a row with the lock, after which a thread may go in without
MOST = 1 << 20
GLANCE = 50e-6  # seconds between two looks at a thread that is inside

P = ParamSpec("P")
R = TypeVar("R")


class Side:
    """One of them. ``place``: the index of its first word; ``lock``: that of its lock.

    ``begins`` is called with a slot before its thread may go in without the lock; ``settle`` when it may no more and is
    outside, and when it comes with the lock although it need not. Both with the lock, and again where whoever called
    came no further.

    To go in without the lock, in a thread whose place is (want, mark, seat)::

        try:
            want.value = side.place
            if side.alone.value == mark == side.mine:
                ...  # inside
        finally:
            want.value = 0
    """

    __slots__ = ("_begins", "_lock", "_settle", "_words", "alone", "mine", "place")

    def __init__(
        self,
        region: Region,
        place: int,
        lock: int,
        begins: Callable[[int], object] = bool,
        settle: Callable[[int], object] = bool,
    ) -> None:
        self._words = region.words
        self._begins, self._settle = begins, settle
        self.alone = region.cell(place + ALONE)  # slot, plus 1, of the thread that may go in without the lock
        self._lock = QuietLock(region, lock)
        self.place = place
        # The same number, once its thread has been in here with the lock: before, the slot may have been a dead
        # process's, and this one may not be registered. Whoever has the side sets it to 0 in a forked child.
        self.mine = 0

    def locked(self, mark: int, action: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``action`` inside, with the lock, for a thread that may not go in without (its slot, plus 1).

        It takes no lock and waits for nothing. From some time on that thread may go in without.
        """
        words, place = self._words, self.place
        with self._lock:
            if words[place] == mark and _register():  # since another life of the slot, or by another object
                self._settle(mark - 1)
            elif words[place]:
                self._strike_out()
            result = action(*args, **kwargs)
            if words[place] == mark:
                self.mine = mark
            elif words[place + LAST] != mark:
                words[place + LAST], words[place + TIMES] = mark, 0
            else:
                words[place + TIMES] += 1
                if words[place + TIMES] >= max(words[place + LIMIT], FIRST_LIMIT) and _register():
                    words[place + TIMES] = 0
                    self._begins(mark - 1)
                    words[place] = self.mine = mark
        return result

    def apart(self, action: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``action`` inside, with the lock: it may go inside of another side."""
        with self._lock:
            if self._words[self.place]:
                self._strike_out()
            return action(*args, **kwargs)

    def _strike_out(self) -> None:
        """With the lock: have the thread that goes in without it do so no more, and be outside."""
        words, place = self._words, self.place
        slot = (words[place] & LEAVING - 1) - 1
        words[place] = slot + 1 | LEAVING
        words[place + LIMIT] = min(2 * max(words[place + LIMIT], FIRST_LIMIT), MOST)
        counter.settle_soon()
        while words[WANT + slot * WANT_STEP] == place and started(words[PID + slot]) == words[START + slot]:
            time.sleep(GLANCE)
        self._settle(slot)
        words[place] = 0


def _register() -> bool:
    """Have this process's writes seen when others want it; whether that can be had."""
    global _registered
    if _registered != os.getpid() and counter.register():
        _registered = os.getpid()
    return _registered == os.getpid()


_registered = 0  # the process that has asked for it


def new_lock(region: Region) -> int:
    """A lock for a side; where it is."""
    return QuietLock.create(region)._id
