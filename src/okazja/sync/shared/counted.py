"""What locks and semaphores have in common: a number of permits, of which it can be told whether the dead have some.

``_try`` is the attempt on the sem_t, ``_post`` gives back to it. A thread says so in its share (`Share`) *before* it
tries, and takes it back *after* it has given back or tried in vain: so no permit is ever with a thread whose share
does not say so. Between the two it looks at the gate, which whoever counts has closed.

The interpreter looks for signals after calls only. So of the statements below which say something in a share, ``took``
and ``said`` change together, and a signal's exception comes either before the attempt that they announce was made, or
after it: what was said is then given up, and whoever counts finds out whether there was a permit.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, monotonic_ns, sleep
from types import TracebackType

from okazja.sync.coroutines import check_seconds
from okazja.sync.shared import counter, shares
from okazja.sync.shared.deadlock import look_for_circles
from okazja.sync.shared.layout import (
    COUNTS,
    FOREIGN,
    GATE,
    HINT,
    LEFT,
    MISSING,
    ORPHAN,
    PERMITS,
    SEMAPHORE,
    VOID,
    WAITS,
    WORD,
)
from okazja.sync.shared.primitive import Primitive
from okazja.sync.shared.region import Region
from okazja.sync.shared.shares import Share
from okazja.sync.shared.slots import Seat

__all__ = ["Counted", "deadline_of"]

MOST_SECONDS = 9_223_372_036.0  # as threading.TIMEOUT_MAX has it
# Further attempts, a microsecond in all, before a thread sleeps: whoever has it may be quick.
SPINS = range(20)
SEVERAL = 5  # looks at who has a permit that somebody else gives back
SOON = 50e-6  # seconds between two of them
FAR = 1000  # more permits than that which nobody can have, and the share is put right


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
        share = None
        try:
            share = self._mine.share
            share.took.value = share.said = share.said + 1
            if not self._gate.value and (self._try(False) or self._spin()):
                share.has += 1
                return True
            share.took.value = share.said = share.said - 1
        except BaseException as error:
            self._broken_into(error, share)
        return self._acquire_slowly(True, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        share = None
        try:
            share = self._mine.share
            if share.has and not share.given.value:
                share.has -= 1
                self._post()
                share.took.value = share.said = share.said - 1
            else:
                share = None
        except BaseException as problem:
            self._broken_into(problem, share)
        if share is None:
            self._release_slowly()
        elif self._hint.value:
            self._wake_next(share.seat)

    def _broken_into(self, error: BaseException, share: Share | None) -> None:
        """An exception came in the short way: have a share if it was for want of one.

        Else it broke in, from a signal handler, after the share had said that there is a permit: raise it.
        """
        if share is None and isinstance(error, AttributeError):
            self._share()
            return
        if share is not None:
            self._give_up(share)
            if isinstance(
                error, ValueError
            ):  # there are all permits: another has given back what this thread had
                self._region.guarded(self._one_void_less)
        raise error

    def _one_void_less(self) -> None:
        void = self._id + VOID
        self._words[void] -= min(1, self._words[void])

    def _spin(self) -> bool:
        """Try a few times more. The share says so."""
        attempt = self._try
        for _ in SPINS:  # noqa: SIM110 - a generator would cost as much as the attempts
            if attempt(False):
                return True
        return False

    # --- acquiring -------------------------------------------------------------------------------------

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Plain acquire. Raises Deadlock where that would wait for ever, in a circle."""
        if blocking and timeout == -1:
            return self.__enter__()
        return self._acquire_slowly(blocking, deadline_of(blocking, timeout))

    def _attempt(self, share: Share) -> bool:
        """Try once. Whoever counts has the permits in hand meanwhile: that is waited out."""
        words = self._words
        while True:
            counts = words[COUNTS]  # before the look at the gate: a count that begins in between is noticed
            share.took.value = share.said = share.said + 1
            try:
                closed = self._gate.value
                got = not closed and self._try(False)
            except BaseException:
                self._give_up(share)
                raise
            if got:
                share.has += 1
                return True
            share.took.value = share.said = share.said - 1
            if not closed and words[COUNTS] == counts:
                return words[self._id + ORPHAN] != 0 and self._inherit(share)
            self._region.guarded(_nothing)  # whoever has closed the gate has it

    def _inherit(self, share: Share) -> bool:
        """Take it over from an owner that died, if one did."""
        return False

    def _acquire_slowly(self, blocking: bool, deadline: float | None) -> bool:
        """After a first attempt that did not succeed. An exception that breaks in leaves nothing behind."""
        share = self._share()
        if share.given.value:
            self._region.guarded(share.settle)
        has = share.has
        try:
            return self._attempt(share) or (blocking and self._wait(share, deadline))
        except BaseException:
            if share.has > has:
                self._release_slowly()
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
                    if self._words[LEFT]:
                        self._others_may_be_gone()
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
        try:
            self._hint.value = 0
            self._slots.fence(sleeper)  # who comes now either is seen below, or sets the hint anew
            sleepers = self._slots.sleepers(self._id)
            if sleepers:
                if len(sleepers) > 1:
                    self._hint.value = 1
                self._slots.wake(*sleepers[0])
        except BaseException:
            self._hint.value = 1
            raise

    # --- releasing -------------------------------------------------------------------------------------

    def _release_slowly(self) -> None:
        """Where it is not plain that the calling thread has one."""
        share = self._share()
        with self._whole(share):
            self._region.guarded(self._give_back, share)
        if self._hint.value:
            self._wake_next(share.seat)

    @abstractmethod
    def _give_back(self, share: Share) -> None:
        """Under the guard: give a permit back, this thread's or another's. Raises where there is none."""

    def _post_own(self, share: Share) -> None:
        share.has -= 1
        self._post()
        share.took.value = share.said = share.said - 1

    def _post_for_others(self, share: Share) -> None:
        """Under the guard: give back what another thread has, or nobody.

        Whoever dies in here leaves the permit for those who count.
        """
        share.took.value = share.said = share.said + 1
        self._attribute(share)
        self._post()
        share.took.value = share.said = share.said - 1

    def _attribute(self, share: Share) -> bool:
        """Under the guard: find out whose it is; False: nobody's.

        Who is about to try for a permit says so as well, but only for a moment, unless it is held up.
        """
        words, sayers = self._words, self._sayers(share)
        if not sayers:
            return False
        words[self._id + FOREIGN] = 1
        if len(sayers) == 1 and not words[self._id + MISSING]:
            back = shares.given(self._region, min(sayers))
            back.value += 1
        else:
            words[self._id + VOID] += 1
            self._attribute_surplus(sayers)
        return True

    def _attribute_surplus(self, sayers: set[int]) -> None:
        """Who says that it has far more permits than there are says so much too much: so its word never wraps."""
        words = self._words
        for share in sayers:
            surplus = min(shares.held(words[share]) - words[self._id + PERMITS] - 1, words[self._id + VOID])
            if surplus > FAR:
                shares.given(self._region, share).value += surplus
                words[self._id + VOID] -= surplus

    def _sayers(self, mine: Share) -> set[int]:
        """The other shares that say that they have a permit, each time they are looked at."""
        found: set[int] = set()
        for look in range(SEVERAL):
            now = {
                share
                for share in shares.of_primitive(self._words, self._id)
                if share != mine.word and shares.held(self._words[share]) > 0
            }
            found = found & now if look else now
            if len(found) <= 1:
                break
            sleep(SOON)
        return found

    # --- exceptions that break in ----------------------------------------------------------------------

    @contextmanager
    def _whole(self, share: Share) -> Iterator[None]:
        """If an exception breaks in while the share says one more than the thread has, give that one up."""
        before = self._in_doubt(share)
        try:
            yield
        except BaseException:
            if self._in_doubt(share) > before:
                self._give_up(share)
            raise

    def _in_doubt(self, share: Share) -> int:
        """How many permits it tells of that the thread does not know to have."""
        return share.said - share.has

    def _give_up(self, share: Share) -> None:
        """One of the permits that the share tells of may be there or not, and is to be nobody's."""
        from okazja.sync.shared.recovery import give_up

        give_up(self._slots, self._id, share)
        if self._hint.value:
            self._wake_next(share.seat)


def _nothing() -> None:
    """Nothing: whoever has it called under the guard has waited for that."""
