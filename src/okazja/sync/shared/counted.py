"""What locks and semaphores have in common: a number of permits, of which every process knows who has them.

``_try`` is the attempt on the sem_t, ``_post`` gives back to it. Both happen in windows only: the thread's WANT names
the primitive meanwhile, so that whoever counts the permits knows that its words may not agree yet.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import monotonic, monotonic_ns

from okazja.sync.coroutines import check_seconds
from okazja.sync.shared import counter
from okazja.sync.shared.deadlock import look_for_circles
from okazja.sync.shared.layout import COUNTS, GATE, HINT, ORPHAN, SEMAPHORE, WAITS, WORD
from okazja.sync.shared.primitive import Primitive
from okazja.sync.shared.region import Cell, Region
from okazja.sync.shared.slots import Place, Seat

__all__ = ["Counted", "deadline_of"]

MOST_SECONDS = 9_223_372_036.0  # as threading.TIMEOUT_MAX has it


def deadline_of(blocking: bool, timeout: float | None) -> float | None:
    """When to give up, on the clock of `monotonic`; None: never. Raises as threading.Lock.acquire does."""
    if timeout is None or timeout == -1:
        return None
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    check_seconds(timeout)
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > MOST_SECONDS:
        raise OverflowError("timeout value is too large")
    return monotonic() + timeout


class Counted(Primitive, ABC):
    """Acquiring, where it does not succeed at once."""

    def __init__(self, region: Region, place: int, most: int) -> None:
        super().__init__(region, place)
        self._semaphore = counter.attach(region.address + (place + SEMAPHORE) * WORD, most)
        self._try = self._semaphore.acquire
        self._post = self._semaphore.release
        self._hint = region.cell(place + HINT)
        self._gate = region.cell(GATE)

    # --- what a kind of it must know ------------------------------------------------------------------

    @abstractmethod
    def _note(self, mark: int) -> None:
        """Write down that this thread has (one more of) it. Inside a window; no calls."""

    @abstractmethod
    def _held(self, mark: int) -> int:
        """How many permits this thread has."""

    def _inherit(self, mark: int) -> bool:
        """Take it over from an owner that died, if one did."""
        return False

    @abstractmethod
    def _give_up(self) -> None:
        """Release what this thread has just got."""

    # --- acquiring -------------------------------------------------------------------------------------

    def _attempt(self, seat: Place) -> bool:
        """Try once. Whoever counts has the permits in hand meanwhile: that is waited out."""
        words, (want, mark, _) = self._words, seat
        while True:
            counts = words[COUNTS]  # before the look at the gate: a count that begins in between is noticed
            if not self._gate.value:
                want.value = self._id
                got = self._try(False)
                if got:
                    self._note(mark)
                want.value = 0
                if got or words[COUNTS] == counts:
                    break
            self._region.guarded(_nothing)
        return got or (words[self._id + ORPHAN] != 0 and self._inherit(mark))

    def _acquire_slowly(self, blocking: bool, deadline: float | None) -> bool:
        """After a first attempt that did not succeed. An exception that breaks in leaves nothing behind."""
        seat = self._slots.seat()
        before = self._held(seat[1])
        try:
            # No more than one further attempt: whoever has it gets on best while the others sleep.
            return self._attempt(seat) or (blocking and self._wait(seat, deadline))
        except BaseException:
            self._mend(seat)
            if self._held(seat[1]) > before:
                self._give_up()
            raise

    def _wait(self, seat: Place, deadline: float | None) -> bool:
        if deadline is not None and monotonic() >= deadline:
            return False
        slots, sleeper = self._slots, seat[2]
        since, naps = monotonic_ns(), 0
        try:
            while True:
                number = slots.enter(sleeper, self._id, since, timed=deadline is not None)
                self._hint.value = 1
                slots.fence(sleeper)
                if self._attempt(seat):
                    return True
                slots.sleep(sleeper, deadline, naps)
                if deadline is not None and monotonic() >= deadline:
                    return self._attempt(seat)
                if naps and not slots.was_woken(sleeper, number):
                    self._others_may_be_gone()
                    if deadline is None:
                        look_for_circles(slots, sleeper)
                naps += 1
        finally:
            self._words[WAITS + sleeper.slot] = 0
            self._wake_next(sleeper)

    def _wake_next(self, sleeper: Seat) -> None:
        """If there is a permit to be had, wake the one who has waited longest.

        A thread that got one, or gives up, does so too: the wake-up that it used up may have been meant for two.
        """
        if not self._hint.value or not self._semaphore._get_value():
            return
        self._hint.value = 0
        self._slots.fence(sleeper)  # who comes now either is seen below, or sets the hint anew
        sleepers = self._slots.sleepers(self._id)
        if sleepers:
            if len(sleepers) > 1:
                self._hint.value = 1
            self._slots.wake(*sleepers[0])

    def _unseated(self, error: BaseException) -> None:
        """An exception came in the short way to acquire or release: take a seat if it was for want of one.

        Else it broke in, from a signal handler: mend what it has torn, and raise it.
        """
        if isinstance(error, AttributeError) and self._slots.sit():
            return
        self._mend(self._slots.seat())
        raise error

    def _mend(self, seat: Place) -> None:
        """An exception broke in: if a window is open, find out what has happened, and close it."""
        if seat[0].value == self._id:
            from okazja.sync.shared.recovery import recount

            recount(self._slots, self._id, seat[2].slot)
        if self._hint.value:
            self._wake_next(seat[2])

    def _window(self, want: Cell) -> None:
        """Open a window, once nobody counts."""
        want.value = self._id
        while self._gate.value:
            want.value = 0
            self._region.guarded(_nothing)
            want.value = self._id


def _nothing() -> None:
    """Have waited for the guard."""
