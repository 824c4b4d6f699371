"""A waiting room: where threads of all processes wait until a queue has something for them.

Whoever waits enters, raises the hint, and looks once more before it sleeps. Whoever has changed something looks at the
hint after an atomic operation on memory (the release of a lock is one): so one of the two sees the other.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, monotonic_ns

from okazja._transport.patience import Patience
from okazja.sync.shared.slots import Slots

__all__ = ["Room"]


class Room:
    """One of them. ``place``: the index of its word, the hint, which names it as well."""

    __slots__ = ("_patience", "_place", "_slots", "_words")

    def __init__(self, slots: Slots, place: int) -> None:
        self._slots = slots
        self._words = slots.words
        self._place = place
        self._patience = Patience()

    def wake_one(self) -> None:
        """Have the one who has waited longest look again."""
        words, place, slots = self._words, self._place, self._slots
        words[place] = 0
        slots.fence(slots.here.seat[2])  # who enters now raises the hint anew, or is seen below
        sleepers = slots.sleepers(place)
        if len(sleepers) > 1:
            words[place] = 1
        if sleepers:
            slots.wake(*sleepers[0])

    def wake_all(self) -> None:
        """Have all who wait look again."""
        self._slots.fence(self._slots.here.seat[2])
        for slot, number in self._slots.sleepers(self._place):
            self._slots.wake(slot, number)

    def wait(self, ready: Callable[[], object], deadline: float | None) -> bool:
        """Wait until ``ready()``; False: the time is over. Raises ExecutorShutdown where the executor has ended."""
        if deadline is not None and monotonic() >= deadline:
            return bool(ready())
        if self._patience.awake(lambda _: ready()):
            return True
        slots, words, place = self._slots, self._words, self._place
        seat = slots.here.seat[2]
        since = monotonic_ns()
        done, naps = False, 0
        try:
            while True:
                slots.enter(seat, place, since, timed=deadline is not None)
                words[place] = 1
                slots.fence(seat)
                done = bool(ready())
                if done or (deadline is not None and monotonic() >= deadline):
                    return done
                slots.sleep(seat, deadline, naps)
                naps += 1
        finally:
            slots.leave(seat)
            if not done and words[place]:
                self.wake_one()  # a wake-up that it used up may have been meant for another
