"""What locks and semaphores have in common: a number of permits, of which it can be told whether the dead have some.

``_try`` is the attempt on the sem_t, ``_post`` gives back to it. A thread says so in its share (`Share`) *before* it
tries, and takes it back *after* it has given back or tried in vain: so no permit is ever with a thread whose share
does not say so. Between the two it looks at the gate, which whoever counts has closed.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from time import monotonic, monotonic_ns
from types import TracebackType

from okazja.sync.coroutines import check_seconds
from okazja.sync.shared import counter, shares
from okazja.sync.shared.deadlock import look_for_circles
from okazja.sync.shared.layout import COUNTS, FOREIGN, GATE, HINT, ORPHAN, SEMAPHORE, WAITS, WORD
from okazja.sync.shared.primitive import Primitive
from okazja.sync.shared.region import Region
from okazja.sync.shared.shares import OWN, Share
from okazja.sync.shared.slots import Seat

__all__ = ["Counted", "deadline_of"]

MOST_SECONDS = 9_223_372_036.0  # as threading.TIMEOUT_MAX has it
SPINS = range(
    20
)  # further attempts, a microsecond in all, before a thread sleeps: whoever has it may be quick


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
    """Acquiring and releasing: the short way, and what to do where it does not succeed."""

    def __init__(self, region: Region, place: int, most: int) -> None:
        super().__init__(region, place)
        self._semaphore = counter.attach(region.address + (place + SEMAPHORE) * WORD, most)
        self._try = self._semaphore.acquire
        self._post = self._semaphore.release
        self._hint = region.cell(place + HINT)
        self._gate = region.cell(GATE)
        self._mine = threading.local()  # ``share``, the Share of a thread that has one
        self._slots.users[id(self)] = self

    def forget_shares(self) -> None:
        """In a forked child: they are the parent's."""
        self._mine = threading.local()

    def _share(self) -> Share:
        """That of the calling thread; made if it has none."""
        try:
            share: Share = self._mine.share
        except AttributeError:
            share = self._mine.share = self._slots.share(self._id)
        return share

    # --- the short way ---------------------------------------------------------------------------------

    def __enter__(self) -> bool:
        share, took = None, 0
        try:
            share = self._mine.share
            took = share.took.value
            share.took.value = took + 1
            if not self._gate.value and (self._try(False) or self._spin()):
                return True
            share.took.value -= 1
        except BaseException as error:
            self._broken_into(error, share, took)
        return self._acquire_slowly(True, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        share, took = None, 0
        try:
            share = self._mine.share
            took = share.cell.value
            if 0 < took < OWN:
                self._post()
                share.took.value -= 1
                if self._hint.value:
                    self._wake_next(share.seat)
                return
        except BaseException as problem:
            self._broken_into(problem, share, took - 1)
        self._release_slowly()

    def _spin(self) -> bool:
        """Try a few times more. The share says so."""
        attempt = self._try
        for _ in SPINS:  # noqa: SIM110 - a generator would cost as much as the attempts
            if attempt(False):
                return True
        return False

    # --- acquiring -------------------------------------------------------------------------------------

    def _attempt(self, share: Share) -> bool:
        """Try once. Whoever counts has the permits in hand meanwhile: that is waited out."""
        words = self._words
        while True:
            counts = words[COUNTS]  # before the look at the gate: a count that begins in between is noticed
            share.took.value += 1
            closed = self._gate.value
            if not closed and self._try(False):
                return True
            share.took.value -= 1
            if not closed and words[COUNTS] == counts:
                return words[self._id + ORPHAN] != 0 and self._inherit(share)
            self._region.guarded(_nothing)

    def _inherit(self, share: Share) -> bool:
        """Take it over from an owner that died, if one did."""
        return False

    def _acquire_slowly(self, blocking: bool, deadline: float | None) -> bool:
        """After a first attempt that did not succeed. An exception that breaks in leaves nothing behind."""
        share = self._share()
        took = share.took.value
        try:
            return self._attempt(share) or (blocking and self._wait(share, deadline))
        except BaseException:
            self._mend(share, took)
            raise

    def _wait(self, share: Share, deadline: float | None) -> bool:
        if deadline is not None and monotonic() >= deadline:
            return False
        slots, sleeper = self._slots, share.seat
        since, naps = monotonic_ns(), 0
        try:
            while True:
                number = slots.enter(sleeper, self._id, since, timed=deadline is not None)
                self._hint.value = 1
                slots.fence(sleeper)
                if self._attempt(share):
                    return True
                slots.sleep(sleeper, deadline, naps)
                if deadline is not None and monotonic() >= deadline:
                    return self._attempt(share)
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

    # --- releasing -------------------------------------------------------------------------------------

    def _release_slowly(self) -> None:
        """Where the share does not simply say that the thread has one."""
        share = self._share()
        if not 0 <= share.cell.value < OWN:
            self._region.guarded(share.settle)
        took = share.took.value - (share.count > 0)
        try:
            self._region.guarded(self._give_back, share)
        except BaseException:
            self._mend(share, took)
            raise
        if self._hint.value:
            self._wake_next(share.seat)

    @abstractmethod
    def _give_back(self, share: Share) -> None:
        """Under the guard: give a permit back, this thread's or another's. Raises where there is none."""

    def _post_for(self, share: Share, whose: int | None) -> None:
        """Under the guard: give back what this thread has, or what another has: the share with that index.

        None: nobody's. Whoever dies in here leaves the permit for those who count.
        """
        words = self._words
        if whose != share.word:
            share.took.value += 1
            if whose is not None:
                words[self._id + FOREIGN] = 1
                words[whose] = (words[whose] + shares.GIVEN_ONE) & _WORD
        words[self._id + ORPHAN] = 0
        self._post()
        share.took.value -= 1

    # --- exceptions that break in ----------------------------------------------------------------------

    def _broken_into(self, error: BaseException, share: Share | None, took: int) -> None:
        """An exception came in the short way: have a share if it was for want of one.

        Else it broke in, from a signal handler: mend what it has torn, and raise it. took: what the share says when
        that is done.
        """
        if share is None and isinstance(error, AttributeError):
            self._share()
            return
        if share is not None:
            self._mend(share, took)
        raise error

    def _mend(self, share: Share, took: int) -> None:
        """What the share says beyond ``took`` is true or not, and is to be given up: whoever counts finds out."""
        if share.took.value > took:
            from okazja.sync.shared.recovery import give_up

            give_up(self._slots, self._id, share, took)
        if self._hint.value:
            self._wake_next(share.seat)


_WORD = (1 << 64) - 1


def _nothing() -> None:
    """Have waited for the guard."""
