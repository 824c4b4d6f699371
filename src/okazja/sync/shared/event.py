"""Event for processes."""

from __future__ import annotations

from time import monotonic, monotonic_ns
from typing import Self

from okazja.sync import faces
from okazja.sync.shared.layout import EVENT_KIND, FLAG, WAITS
from okazja.sync.shared.primitive import Primitive
from okazja.sync.shared.region import Region

__all__ = ["SharedEvent"]


class SharedEvent(Primitive, faces.Event):
    """`threading.Event` for the threads of all processes of an executor."""

    kind = EVENT_KIND

    def __init__(self, region: Region, place: int) -> None:
        super().__init__(region, place)
        self._flag = place + FLAG

    @classmethod
    def create(cls, region: Region) -> Self:
        """A new one, not set."""
        return cls(region, cls._place(region))

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._words[self._flag] != 0

    def set(self) -> None:
        """Raise the flag; all that wait go on."""
        self._words[self._flag] = 1
        self._slots.fence(self._slots.seat()[2])  # who comes now either sees the flag, or is seen below
        for slot, number in self._slots.sleepers(self._id):
            self._slots.wake(slot, number)

    def clear(self) -> None:
        """Take the flag down."""
        self._words[self._flag] = 0

    def _wait(self, timeout: float | None = None) -> bool:
        if self.is_set():
            return True
        deadline = None if timeout is None else monotonic() + timeout
        slots, seat = self._slots, self._slots.seat()[2]
        try:
            number = slots.enter(seat, self._id, monotonic_ns(), timed=deadline is not None)
            slots.fence(seat)
            naps = 0
            while not self.is_set() and not slots.was_woken(seat, number):
                if deadline is not None and monotonic() >= deadline:
                    return False
                slots.sleep(seat, deadline, naps)
                naps += 1
            return True
        finally:
            self._words[WAITS + seat.slot] = 0

    def __repr__(self) -> str:
        return self._describe("set" if self.is_set() else "unset")
