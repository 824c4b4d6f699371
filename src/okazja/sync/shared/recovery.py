"""Counting what is left of the primitives when threads died, or were interrupted, in the middle of changing them.

`recover` is called in the executor's process when a worker has ended, and by every thread that has waited for a while,
which finds processes that the executor did not start (those that a task forked, workers of nested executors).

All of it happens under the guard. What the shares of the dead say is added to what may be missing, and forgotten. Then
the permits are counted. Let a primitive have ``P`` permits, of which ``V`` are in its sem_t, and let the shares of the
living say ``S`` in all, without what is known to be void. Shares never say too little, so at least ``P - V - S``
permits are lost; that is exact as soon as no thread is in the middle of an attempt or a release. They are looked at in
an order in which nothing can escape:

1. close the gate, and have every processor's writes seen: now whoever is about to try either has said so, or sees the
   gate and does not try. So shares can only say less from now on;
2. read the shares, have every processor's writes seen again, and then take all permits in hand: what a thread gave back
   before its share said less is in hand then.

What is lost goes back; a lock whose owner died becomes an orphan instead, which the next to come takes over, and is
told. As long as something may be missing that could as well be with a living thread, it is looked at again later.

Each step leaves words from which the next to look can start again: a primitive stays marked as uncounted until all of
it is back, and those who wait for it are told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

from okazja.sync.shared import counter, shares
from okazja.sync.shared.layout import (
    ACTOR,
    BARRIER_KIND,
    BROKEN,
    CONDITION_KIND,
    COUNTED,
    COUNTS,
    DIED,
    GATE,
    HIGH,
    INSIDE,
    KIND,
    LEFT,
    LOCK,
    LOCKS,
    MISSING,
    OF,
    ORPHAN,
    PERMITS,
    PID,
    SEMAPHORE,
    SIGNALS,
    START,
    UNCOUNTED,
    VAIN,
    VERDICT,
    VOID,
    WAITS,
    WANT,
    WANT_STEP,
    WHOSE,
    WORD,
)
from okazja.sync.shared.shares import Share
from okazja.sync.shared.slots import Slots, started

__all__ = ["Recovery", "give_up", "recover"]

log = logging.getLogger("okazja")

LONGEST = 0.002  # seconds until a thread that does not get out of the middle of something is left for later
GLANCE = 0.0002  # seconds between two looks
AGAIN = 0.05  # seconds after which `Recovery` looks again at what was left; then twice as many, and so on
RARELY = 1.0  # at most; and those who wait do not look again earlier than that after somebody has
BROKEN_UP = 2  # verdict on a barrier's waiters


def recover(slots: Slots, *, rarely: bool = False) -> bool:
    """Give what dead threads had to the living, and tell those. True if something is left to be done later.

    It is when what the dead may have had could as well be with a thread that lives. rarely: do not look at that again
    right after somebody else has.
    """
    words = slots.words
    if not _dead(slots):
        if not words[LEFT]:
            return False
        if rarely and time.monotonic_ns() - words[VAIN] < RARELY * 1e9:
            return True
    return slots.region.guarded(_recover, slots)


def give_up(slots: Slots, primitive: int, share: Share) -> None:
    """One of the permits that the calling thread's share tells of may be there or not, and is to be nobody's."""
    slots.region.guarded(_give_up, slots, primitive, share)


class Recovery:
    """Recovers in a thread of its own, as soon as a worker is known to have ended. Thread-safe; waits for nothing."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._lock = threading.Lock()  # around the three below
        self._wanted = False
        self._works = False
        self._ended = False
        self._bell = threading.Event()

    def soon(self) -> None:
        """Have it done."""
        with self._lock:
            self._wanted = True
            self._bell.set()
            if self._works or self._ended:
                return
            self._works = True
        threading.Thread(target=self._work, name="okazja-recovery", daemon=True).start()

    def close(self) -> None:
        """Let it be: the executor has ended."""
        with self._lock:
            self._ended = True
            self._bell.set()

    def _work(self) -> None:
        left, pause = False, AGAIN
        while True:
            with self._lock:
                if self._ended or not (self._wanted or left):
                    self._works = False
                    return
                if self._wanted:
                    pause = AGAIN
                self._wanted = False
                self._bell.clear()
            try:
                left = recover(self._slots)
            except Exception:  # those who wait find the dead by themselves, or say why they can't
                log.exception("what a worker held when it ended could not be given to others")
                left = False
            if left:
                self._bell.wait(pause)
                pause = min(2 * pause, RARELY)


def _dead(slots: Slots) -> set[int]:
    """The slots of processes that are no more."""
    words, high = slots.words, slots.words[HIGH]
    by_process: dict[tuple[int, int], list[int]] = {}
    starts = words[START : START + high].tolist()
    for slot, pid in enumerate(words[PID : PID + high].tolist()):
        if pid:
            by_process.setdefault((pid, starts[slot]), []).append(slot)
    dead: set[int] = set()
    for (pid, start), of_process in by_process.items():
        if started(pid) != start:
            dead.update(of_process)
    return dead


def _recover(slots: Slots) -> bool:
    """Under the guard."""
    words = slots.words
    dead = _dead(slots)
    if not dead and not words[LEFT]:
        return False
    touched = [p for p in slots.primitives() if words[p + UNCOUNTED] or _touches(slots, p, dead)]
    words[LEFT] = 1
    for primitive in touched:
        words[primitive + UNCOUNTED] = 1
    for slot in dead:
        _bury(slots, slot)
    met = [p for p in touched if words[p + KIND] not in COUNTED]  # where threads wait for each other
    for primitive in met:
        if words[primitive + KIND] == BARRIER_KIND:
            words[primitive + ACTOR] = 0
            words[primitive + BROKEN] = 1
    changed = _count(slots, [p for p in touched if words[p + KIND] in COUNTED])
    if dead or met or changed:
        _tell(slots, touched)
    for primitive in met:
        words[primitive + UNCOUNTED] = 0
    return _sum_up(slots)


def _sum_up(slots: Slots) -> bool:
    """Whether something is left."""
    words = slots.words
    left = any(words[primitive + UNCOUNTED] for primitive in slots.primitives())
    words[VAIN] = time.monotonic_ns() if left else 0
    words[LEFT] = left
    return left


def _touches(slots: Slots, primitive: int, dead: set[int]) -> bool:
    """Whether one of the dead had it, or was about to change it, or to be told something by it."""
    words = slots.words
    kind = words[primitive + KIND]
    if kind in {CONDITION_KIND, BARRIER_KIND} and _touches(slots, words[primitive + LOCK], dead):
        return True
    if kind in COUNTED and any(
        shares.held(words[share]) and words[share + WHOSE] in dead
        for share in shares.of_primitive(words, primitive)
    ):
        return True
    rooms = {primitive, primitive + 1}
    return any(
        words[WAITS + slot] in rooms
        or words[INSIDE + slot] == primitive
        or (kind == BARRIER_KIND and words[primitive + ACTOR] == slot + 1)
        for slot in dead
    )


def _bury(slots: Slots, slot: int) -> None:
    """What its shares say may be missing; the slot is free. The process id last: then it is somebody else's."""
    words = slots.words
    for share in shares.of_slot(words, slot):
        if (count := shares.held(words[share])) > 0:
            primitive = words[share + OF]
            words[primitive + DIED] = words[PID + slot]
            words[primitive + VOID] -= min(
                count, words[primitive + VOID]
            )  # perhaps it was these that were void
            _miss(slots, primitive, count)
        words[share] = 0
    words[WANT + slot * WANT_STEP] = words[WAITS + slot] = words[INSIDE + slot] = words[VERDICT + slot] = 0
    words[PID + slot] = 0


def _miss(slots: Slots, primitive: int, count: int) -> None:
    """So many permits more may be missing."""
    words = slots.words
    words[primitive + MISSING] += count
    words[primitive + UNCOUNTED] = words[LEFT] = 1


def _give_up(slots: Slots, primitive: int, share: Share) -> None:
    """Under the guard."""
    _miss(slots, primitive, 1)
    share.took.value = share.said = share.said - 1
    _count(slots, [primitive])
    _sum_up(slots)


def _count(slots: Slots, primitives: Iterable[int]) -> bool:
    """Under the guard: make these locks and semaphores whole, as far as possible now. Whether any has changed."""
    until = time.monotonic() + LONGEST
    open_ = {p for p in primitives if not _is_whole(slots, p)}
    changed = False
    while open_:
        for primitive in [p for p in open_ if _lost(slots, p, _in_sem(slots, p)) > 0]:
            changed = True
            if _close_gate_and_count(slots, primitive):
                open_.remove(primitive)
        if not open_ or time.monotonic() >= until:
            break
        time.sleep(GLANCE)
        open_ = {p for p in open_ if not _is_whole(slots, p)}
    return changed


def _is_whole(slots: Slots, primitive: int) -> bool:
    """Whether nothing of it can be missing, as far as a look without the gate tells."""
    words = slots.words
    whole = (
        words[primitive + SIGNALS]
        or not words[primitive + MISSING]
        or words[primitive + ORPHAN]
        or _in_sem(slots, primitive) >= words[primitive + PERMITS]
    )
    if whole:
        _settled(slots, primitive)
    return bool(whole)


def _settled(slots: Slots, primitive: int) -> None:
    words = slots.words
    words[primitive + DIED] = words[primitive + MISSING] = words[primitive + UNCOUNTED] = 0


def _in_sem(slots: Slots, primitive: int) -> int:
    return int(_semaphore(slots, primitive)._get_value())


def _said(slots: Slots, primitive: int) -> int:
    """How many permits the living have at most: what their shares say, without what is known to be void."""
    words = slots.words
    return max(0, sum(shares.holders(words, primitive).values()) - words[primitive + VOID])


def _lost(slots: Slots, primitive: int, at_home: int) -> int:
    return int(slots.words[primitive + PERMITS]) - at_home - _said(slots, primitive)


def _close_gate_and_count(slots: Slots, primitive: int) -> bool:
    """Give back what is lost. True if nothing can be missing any more.

    Where an exception breaks in, or this thread dies, what it has in hand is missing, and it stays uncounted.
    """
    words = slots.words
    words[COUNTS] += 1
    words[GATE] = 1
    try:
        counter.settle()
        said = _said(slots, primitive)
        counter.settle()
        missing = words[primitive + MISSING]
        words[primitive + MISSING] = max(missing, words[primitive + PERMITS])  # as long as some are in hand
        in_hand = _take_all(slots, primitive)
        lost = max(0, words[primitive + PERMITS] - in_hand - said)
        if lost and words[primitive + KIND] in LOCKS and words[primitive + DIED]:
            words[primitive + ORPHAN] = words[primitive + DIED]
        else:
            in_hand += lost
        _give(slots, primitive, in_hand)
        if lost >= missing or not said:
            _settled(slots, primitive)
            return True
        words[primitive + MISSING] = missing - lost
    finally:
        words[GATE] = 0
    return False


def _take_all(slots: Slots, primitive: int) -> int:
    semaphore, permits = _semaphore(slots, primitive), 0
    while semaphore.acquire(False):
        permits += 1
    return permits


def _give(slots: Slots, primitive: int, permits: int) -> None:
    semaphore = _semaphore(slots, primitive)
    for _ in range(permits):
        semaphore.release()


def _semaphore(slots: Slots, primitive: int) -> Any:
    return counter.attach(slots.region.address + (primitive + SEMAPHORE) * WORD)


def _tell(slots: Slots, touched: Iterable[int]) -> None:
    """Wake all who wait: a wake-up may have died with its sender.

    Threads in a condition's `wait` return from it, for a notification may have gone to one of the dead.
    """
    words = slots.words
    for primitive in touched:
        kind = words[primitive + KIND]
        if kind in {CONDITION_KIND, BARRIER_KIND}:
            for slot, number in slots.sleepers(primitive):
                slots.wake(slot, number, BROKEN_UP)
    rooms = words[WAITS : WAITS + words[HIGH]].tolist()
    for slot, room in enumerate(rooms):
        if room:
            slots.park(slot).release()
