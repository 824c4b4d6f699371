"""Barrier for processes."""

from __future__ import annotations

from collections.abc import Callable
from threading import BrokenBarrierError
from time import monotonic, monotonic_ns
from typing import Any, Self

from okazja.sync import faces
from okazja.sync.shared.layout import ACTOR, BARRIER_KIND, BROKEN, PARTIES, VERDICT, WAITS
from okazja.sync.shared.lock import QuietLock
from okazja.sync.shared.primitive import Primitive
from okazja.sync.shared.region import Region

__all__ = ["SharedBarrier"]

PASSED, FAILED = 1, 2  # verdicts; a death's is FAILED


class SharedBarrier(Primitive, faces.Barrier):
    """`threading.Barrier` for the threads of all processes of an executor.

    The death of a party that waits, or runs the action, breaks it. How many wait is not counted anywhere: it is the
    number of threads that are found waiting.
    """

    kind = BARRIER_KIND

    def __init__(
        self,
        region: Region,
        place: int,
        lock: QuietLock,
        action: Callable[[], object] | None,
        timeout: float | None,
    ) -> None:
        super().__init__(region, place)
        self._lock = lock  # around each look at who waits; never while the action runs
        self._action = action
        self._timeout = timeout
        self._door = place + 1  # waiting room of those who come while an action runs

    @classmethod
    def create(
        cls,
        region: Region,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> Self:
        """A new one. Raises ValueError if parties is below 1."""
        if parties < 1:
            raise ValueError("parties must be >= 1")
        lock = QuietLock.create(region)
        return cls(region, cls._place(region, LOCK=lock._id, PARTIES=parties), lock, action, timeout)

    def _options(self) -> tuple[Any, ...]:
        return self._lock, self._action, self._timeout

    def _wait(self, timeout: float | None = None) -> int:
        timeout = self._timeout if timeout is None else timeout
        deadline = None if timeout is None else monotonic() + timeout
        slots, seat, naps = self._slots, self._slots.seat()[2], 0
        while True:
            try:
                with self._lock:
                    acting, index, number = self._come(deadline is not None)
                if not acting:
                    return index if number and self._passed(number, deadline) else self._complete(index)
                slots.sleep(seat, deadline, naps)
                naps += 1
                if deadline is not None and monotonic() >= deadline:
                    self.abort()
            finally:
                self._words[WAITS + seat.slot] = 0

    def _come(self, timed: bool) -> tuple[bool, int, int]:
        """With the lock held: whether an action runs, how many have come before, and the number of the wait, if any."""
        words, seat = self._words, self._slots.seat()[2]
        if words[self._id + BROKEN]:
            raise BrokenBarrierError
        index = self._waiting()
        if words[self._id + ACTOR]:
            return True, index, self._slots.enter(seat, self._door, monotonic_ns(), timed=timed)
        if index + 1 < self.parties:
            return False, index, self._slots.enter(seat, self._id, monotonic_ns(), timed=timed)
        words[self._id + ACTOR] = seat.slot + 1
        return False, index, 0

    def _passed(self, number: int, deadline: float | None) -> bool:
        """Sleep until somebody says how it ends."""
        slots, seat, naps = self._slots, self._slots.seat()[2], 0
        while not slots.was_woken(seat, number):
            if deadline is not None and monotonic() >= deadline:
                with self._lock:
                    if not slots.was_woken(seat, number):
                        self._break()
                break
            slots.sleep(seat, deadline, naps)
            naps += 1
            if naps > 1 and not slots.was_woken(seat, number):
                self._others_may_be_gone()
        if self._words[VERDICT + seat.slot] != PASSED:
            raise BrokenBarrierError
        return True

    def _complete(self, index: int) -> int:
        """The last to come: run the action, and let all go."""
        words = self._words
        try:
            if self._action is not None:
                self._action()
            with self._lock:
                if words[self._id + BROKEN]:
                    raise BrokenBarrierError
                words[self._id + ACTOR] = 0
                self._end(PASSED)
        except BaseException:
            self.abort()
            raise
        return index

    def _end(self, verdict: int) -> None:
        """With the lock held: all who wait go on, and those at the door come in."""
        for slot, number in self._slots.sleepers(self._id):
            self._slots.wake(slot, number, verdict)
        for slot, number in self._slots.sleepers(self._door):
            self._slots.wake(slot, number)

    def _break(self) -> None:
        """With the lock held."""
        self._words[self._id + BROKEN] = 1
        self._words[self._id + ACTOR] = 0
        self._end(FAILED)

    def reset(self) -> None:
        """As new; those that wait get BrokenBarrierError."""
        with self._lock:
            self._words[self._id + ACTOR] = 0
            self._end(FAILED)
            self._words[self._id + BROKEN] = 0

    def abort(self) -> None:
        """Break it: those that wait, or come later, get BrokenBarrierError until `reset`."""
        with self._lock:
            self._break()

    @property
    def parties(self) -> int:
        """How many wait for each other."""
        return int(self._words[self._id + PARTIES])

    @property
    def n_waiting(self) -> int:
        """How many wait now: of those that are being let go, none or all."""
        with self._lock:
            return self._waiting()

    def _waiting(self) -> int:
        return len(self._slots.sleepers(self._id))

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return self._words[self._id + BROKEN] != 0

    def __repr__(self) -> str:
        state = "broken" if self.broken else f"{self.n_waiting} of {self.parties} wait"
        return self._describe(state)
