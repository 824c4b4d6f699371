"""The slots of the threads that use an executor's primitives, and how a thread sleeps in its own.

A thread takes a slot at its first use and keeps it. When it ends, the slot is for the next thread of its process; when
the process ends, whoever counts afterwards frees its slots (see okazja.sync.shared.recovery).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import Any

from okazja._transport import waiting
from okazja.errors import Deadlock, ExecutorShutdown, UnsupportedHere
from okazja.sync.shared import counter, shares
from okazja.sync.shared.layout import (
    CLOSED,
    HEAD,
    HIGH,
    LOOKS,
    NEXT,
    OF,
    PARKS,
    PID,
    SEM,
    SEQ,
    SIGNALS,
    SINCE,
    SLOTS,
    START,
    STORY,
    STORY_SIZE,
    TID,
    TIMED,
    TOLD,
    VERDICT,
    WAITS,
    WANT,
    WANT_STEP,
    WOKEN,
    WORD,
)
from okazja.sync.shared.region import Cell, Region
from okazja.sync.shared.shares import Share

__all__ = ["Place", "Seat", "Slots", "started"]

# Seconds after which a sleeping thread looks around by itself: whether it is long enough asleep to give back work that
# is behind it, whether others have died, and whether it waits in a circle.
PAUSES = (0.002, 0.5, 1.0)


def started(pid: int) -> int:
    """When a process started, in ticks since the system did; 0: it is not there, or dead."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in {b"Z", b"X"} else int(fields[19])


class Seat:
    """A thread's slot. Its end gives the slot back, in whatever thread that happens."""

    __slots__ = ("_pid", "_retired", "park", "slot")

    def __init__(self, slot: int, park: Any, retired: deque[int]) -> None:
        self.slot = slot
        self.park = park  # the semaphore at which this thread sleeps
        self._retired = retired
        self._pid = os.getpid()

    def __del__(self, getpid: Any = os.getpid) -> None:
        if getpid() == self._pid:  # in a forked child, the slot is the parent's
            self._retired.append(self.slot)


# What a thread has at hand: the cell of its WANT, its slot plus 1, and its seat.
Place = tuple[Cell, int, Seat]


class Slots:
    """The slots of one region, as this process sees them."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.words = region.words
        self._retired: deque[int] = deque()  # slots of this process without a thread
        self._parks: dict[int, Any] = {}
        self._pid, self._start = os.getpid(), started(os.getpid())
        # Where the thread has a place: ``seat``, a Place, and ``shares``, each a Share, by primitive.
        self.here = threading.local()
        # Primitives of this process, by `id`, for copies of one are equal: threads have shares of them at hand.
        self.users: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        region.forgets.append(self._forget)

    def _forget(self) -> None:
        """In a forked child."""
        self._pid, self._start = os.getpid(), started(os.getpid())
        self._retired = deque()
        self.here.__dict__.clear()
        for user in list(self.users.values()):
            user.forget_shares()

    # --- taking a slot ----------------------------------------------------------------------------------

    def seat(self) -> Place:
        """The calling thread's place; taken if it has none."""
        self.sit()
        place: Place = self.here.seat
        return place

    def sit(self) -> bool:
        """Take a place for the calling thread, unless it has one."""
        if hasattr(self.here, "seat"):
            return False
        seat = self.claim()
        here = self.here.__dict__
        place = (self.region.cell(WANT + seat.slot * WANT_STEP), seat.slot + 1, seat)
        here.setdefault("shares", {})
        here.setdefault("seat", place)  # a signal handler may have taken one in the middle of this
        return True

    def share(self, primitive: int) -> Share:
        """The calling thread's share of a lock or semaphore."""
        seat, known = self.seat()[2], self.here.shares
        share: Share | None = known.get(primitive)
        if share is None:
            word = self.region.guarded(shares.find, self.region, primitive, seat.slot)
            share = known.setdefault(
                primitive, Share(self.region, word, seat)
            )  # a signal handler may have been first
        return share

    def claim(self) -> Seat:
        """A slot for the calling thread."""
        slot = self.region.guarded(self._take)
        if slot < 0:
            from okazja.sync.shared.recovery import recover

            recover(self)  # perhaps some are of dead processes
            slot = self.region.guarded(self._take)
        if slot < 0:
            raise UnsupportedHere(
                f"more than {SLOTS} threads use the primitives of this executor: use fewer at a time"
            )
        return Seat(slot, self.park(slot), self._retired)

    def _take(self) -> int:
        """Under the guard. The process id is written last: a slot without one is free."""
        words = self.words
        slot = self._retired_slot()
        if slot < 0:
            high = words[HIGH]
            pids = words[PID : PID + high].tolist()
            slot = pids.index(0) if 0 in pids else high
            if slot == high:
                if high == SLOTS:
                    return -1
                counter.initialise(self.region.address + PARKS * WORD + slot * SEM, 0)
                words[HIGH] = high + 1
        words[START + slot] = self._start
        words[TID + slot] = threading.get_native_id()
        words[PID + slot] = self._pid
        return slot

    def _retired_slot(self) -> int:
        """One of a thread that has ended; not one that still owns something, for another thread may release it."""
        for _ in range(len(self._retired)):
            slot = self._retired.popleft()
            if not any(self._owns_some(share) for share in shares.of_slot(self.words, slot)):
                return slot
            self._retired.append(slot)
        return -1

    def _owns_some(self, share: int) -> bool:
        words = self.words
        return shares.held(words[share]) > 0 and not words[words[share + OF] + SIGNALS]

    def primitives(self) -> Iterator[int]:
        """All of the region, newest first."""
        words = self.words
        primitive = words[HEAD]
        while primitive:
            yield primitive
            primitive = words[primitive + NEXT]

    # --- sleeping ---------------------------------------------------------------------------------------

    def park(self, slot: int) -> Any:
        """The semaphore of a slot."""
        park = self._parks.get(slot)
        if park is None:
            address = self.region.address + PARKS * WORD + slot * SEM
            park = self._parks[slot] = counter.attach(address)
        return park

    def enter(self, seat: Seat, room: int, since: int, *, timed: bool) -> int:
        """Stand in a waiting room, where whoever looks can wake this thread. Returns the number of the wait.

        To leave it, set WAITS to 0: not by a call, into which an exception could break before anything is done.
        """
        words, slot = self.words, seat.slot
        words[SINCE + slot] = since
        words[TIMED + slot] = timed
        words[VERDICT + slot] = 0
        words[SEQ + slot] = number = words[SEQ + slot] + 1
        words[WAITS + slot] = room
        return int(number)

    def sleep(self, seat: Seat, deadline: float | None, naps: int) -> None:
        """Until somebody posts, or the deadline (of `monotonic`) is over, or it is time to look around.

        naps: how often this wait has slept so far. It may be for nothing. Raises ExecutorShutdown where the executor
        has ended, and Deadlock where somebody has found that this wait could not end.
        """
        words, slot = self.words, seat.slot
        if naps == 1 and waiting.before_wait is not None:
            waiting.before_wait()
        if naps > 1 and deadline is None and waiting.still_waits is not None:
            waiting.still_waits()
        words[LOOKS + slot] += 1
        pause = PAUSES[min(naps, len(PAUSES) - 1)]
        if deadline is not None:
            pause = max(0.0, min(pause, deadline - monotonic()))
        seat.park.acquire(True, pause)
        if words[CLOSED]:
            raise ExecutorShutdown(
                "the executor of this primitive was shut down while a thread waited for it"
            )
        if words[TOLD + slot] and words[TOLD + slot] == words[SINCE + slot]:
            raise Deadlock(bytes(self.region.view(words[STORY], words[STORY_SIZE])).decode())

    @classmethod
    def of(cls, region: Region) -> Slots:
        """Those of a region; made once a process."""
        with _making:
            if region.slots is None:
                region.slots = cls(region)
            assert isinstance(region.slots, Slots)
            return region.slots

    @staticmethod
    def fence(seat: Seat) -> None:
        """What was written before is seen by others before what is read afterwards was read.

        An atomic operation on memory is such a fence. It also takes up a wake-up that came too late for its wait.
        """
        seat.park.release()
        while seat.park.acquire(False):
            pass

    def sleepers(self, room: int) -> list[tuple[int, int]]:
        """Who stands in a waiting room and was not woken: slot and number of the wait, the first to come first."""
        words, high = self.words, self.words[HIGH]
        waits = words[WAITS : WAITS + high].tolist()
        if room not in waits:
            return []
        found = []
        for slot, waits_for in enumerate(waits):
            if waits_for == room:
                number, since = words[SEQ + slot], words[SINCE + slot]
                here = words[WAITS + slot] == room and words[SEQ + slot] == number
                if here and words[WOKEN + slot] != number:
                    found.append((since, slot, number))
        return [(slot, number) for _, slot, number in sorted(found)]

    def wake(self, slot: int, number: int, verdict: int = 0) -> None:
        """End that wait. A thread that waits no longer, or again, wakes up for nothing at most."""
        words = self.words
        words[VERDICT + slot] = verdict
        words[WOKEN + slot] = number
        self.park(slot).release()

    def was_woken(self, seat: Seat, number: int) -> bool:
        """Whether somebody has ended that wait."""
        return bool(self.words[WOKEN + seat.slot] == number)


_making = threading.Lock()  # held for an instant by whoever unpickles


def _after_fork() -> None:
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
