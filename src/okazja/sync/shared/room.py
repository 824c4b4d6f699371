"""A waiting room: where threads of all processes wait until a queue has something for them.

Whoever waits enters, raises the hint, has every processor's writes seen, and looks once more before it sleeps. Whoever
has changed something looks at the hint afterwards: so one of the two sees the other.
"""

from __future__ import annotations

from collections.abc import Callable
from os import sched_yield
from time import monotonic, monotonic_ns

from okazja.sync.shared import counter
from okazja.sync.shared.layout import WAITS
from okazja.sync.shared.slots import Slots

__all__ = ["Room"]

AWAKE = 100_000  # ns that a thread looks again and again before it sleeps; after a wait that was long it
GLANCE = 5_000  # looks for so long only
LONG = 2_000_000  # ns


class Room:
    """One of them. ``place``: the index of its word, the hint, which names it as well."""

    __slots__ = ("_awake", "_place", "_slots", "hint")

    def __init__(self, slots: Slots, place: int) -> None:
        self._slots = slots
        self.hint = slots.region.cell(place)  # not 0: somebody may wait
        self._place = place
        self._awake = AWAKE  # ns; of the next wait of this process

    def wake_one(self) -> None:
        """Have the one who has waited longest look again."""
        place, slots = self._place, self._slots
        self.hint.value = 0
        slots.fence(slots.seat()[2])  # who enters now raises the hint anew, or is seen below
        sleepers = slots.sleepers(place)
        if len(sleepers) > 1:
            self.hint.value = 1
        if sleepers:
            slots.wake(*sleepers[0])

    def wake_all(self) -> None:
        """Have all who wait look again."""
        self._slots.fence(self._slots.seat()[2])
        for slot, number in self._slots.sleepers(self._place):
            self._slots.wake(slot, number)

    def glimpse(self, ready: Callable[[], object], deadline: float | None) -> bool:
        """As `wait`, for one that then takes nothing: a wake-up that it used up is for another, too."""
        found = self.wait(ready, deadline)
        if found and self.hint.value:
            self.wake_one()
        return found

    def wait(
        self, ready: Callable[[], object], deadline: float | None, look: Callable[[], object] = bool
    ) -> bool:
        """Wait until ``ready()``; False: the time is over. Raises ExecutorShutdown where the executor has ended.

        look: called now and then, about once a second, to look for the dead; it may change what ``ready`` says.
        """
        if deadline is not None and monotonic() >= deadline:
            return bool(ready())
        began = monotonic_ns()
        until = began + self._awake
        while monotonic_ns() < until:
            if ready():
                return True
            sched_yield()
        slots, place = self._slots, self._place
        seat = slots.seat()[2]
        done, naps = False, 0
        try:
            while True:
                slots.enter(seat, place, began, timed=deadline is not None)
                self.hint.value = 1
                slots.fence(seat)
                counter.settle_soon()
                done = bool(ready())
                if done or (deadline is not None and monotonic() >= deadline):
                    return done
                slots.sleep(seat, deadline, naps)
                naps += 1
                if naps > 1:
                    look()
        finally:
            slots.words[WAITS + seat.slot] = 0
            self._awake = GLANCE if monotonic_ns() - began > LONG else AWAKE
            if not done and self.hint.value:
                self.wake_one()  # a wake-up that it used up may have been meant for another
