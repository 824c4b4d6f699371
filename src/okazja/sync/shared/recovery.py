"""Counting what is left of the primitives when threads died, or were interrupted, in the middle of changing them.

`recover` is called in the executor's process when a worker has ended, and by every thread that has waited for a while,
which finds processes that the executor did not start (those that a task forked, workers of nested executors).

All of it happens under the guard. What the shares of the dead say is added to what may be missing, and forgotten. Then
the permits are counted. Let a primitive have ``P`` permits, of which ``V`` are in its sem_t, and let the shares of the
living say ``S`` in all. Shares never say too little, so at least ``P - V - S`` permits are lost; that is exact as soon
as no thread is in the middle of an attempt or a release. They are looked at in an order in which nothing can escape:

1. close the gate, and have every processor's writes seen: now whoever is about to try either has said so, or sees the
   gate and does not try. So shares can only say less from now on;
2. read the shares, and then take all permits in hand: if one of them went home in between, it is in hand.

What is lost goes back; a lock whose owner died becomes an orphan instead, which the next to come takes over, and is
told. As long as something may be missing that could as well be with a living thread, it is looked at again later.

Whoever dies in the middle of this leaves the primitive marked as uncounted, and the next to look starts again.
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
    VERDICT,
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

LONGEST = 0.005  # seconds until a thread that does not get out of the middle of something is left for later
GLANCE = 0.0002  # seconds between two looks
AGAIN = 0.05  # seconds after which what was left is looked at again; then twice as many, and so on
RARELY = 1.0  # at most
BROKEN_UP = 2  # verdict on a barrier's waiters


def recover(slots: Slots) -> bool:
    """Give what dead threads had to the living, and tell those. True if something is left to be done later.

    It is when what the dead may have had could as well be with a thread that lives.
    """
    if not slots.words[LEFT] and not _dead(slots):
        return False
    return slots.region.guarded(_recover, slots)


def give_up(slots: Slots, primitive: int, share: Share, took: int) -> None:
    """What the calling thread's share says beyond ``took`` may be true or not, and is to be nobody's."""
    slots.region.guarded(_give_up, slots, primitive, share, took)


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
    for primitive in touched:
        if words[primitive + KIND] == BARRIER_KIND:
            words[primitive + ACTOR] = 0
            words[primitive + BROKEN] = 1
    _count(slots, touched)
    _tell(slots, touched)
    return bool(words[LEFT])


def _touches(slots: Slots, primitive: int, dead: set[int]) -> bool:
    """Whether one of the dead had it, or was about to change it, or to be told something by it."""
    words = slots.words
    kind = words[primitive + KIND]
    if kind in {CONDITION_KIND, BARRIER_KIND} and _touches(slots, words[primitive + LOCK], dead):
        return True
    if kind in COUNTED and any(
        words[share] and words[share + WHOSE] in dead for share in shares.of_primitive(words, primitive)
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
            words[words[share + OF] + DIED] = words[PID + slot]
            _miss(slots, words[share + OF], count)
        words[share] = 0
    words[WANT + slot * WANT_STEP] = words[WAITS + slot] = words[INSIDE + slot] = words[VERDICT + slot] = 0
    words[PID + slot] = 0


def _miss(slots: Slots, primitive: int, count: int) -> None:
    """So many permits more may be missing."""
    words = slots.words
    words[primitive + MISSING] += count
    words[primitive + UNCOUNTED] = words[LEFT] = 1


def _give_up(slots: Slots, primitive: int, share: Share, took: int) -> None:
    """Under the guard."""
    _miss(slots, primitive, share.took.value - took)
    share.took.value = took
    _count(slots, [primitive])


def _count(slots: Slots, primitives: Iterable[int]) -> None:
    """Under the guard: make these primitives whole. LEFT says whether all are."""
    words = slots.words
    until = time.monotonic() + LONGEST
    open_ = {p for p in primitives if not _is_whole(slots, p)}
    while open_:
        lost = {p for p in open_ if _lost(slots, p, _in_sem(slots, p)) > 0}
        if lost:
            open_ -= _close_gate_and_count(slots, lost)
        if time.monotonic() >= until:
            break
        if open_:
            time.sleep(GLANCE)
            open_ = {p for p in open_ if not _is_whole(slots, p)}
    words[LEFT] = any(words[primitive + UNCOUNTED] for primitive in slots.primitives())


def _is_whole(slots: Slots, primitive: int) -> bool:
    """Whether nothing of it can be missing, as far as a look without the gate tells."""
    words = slots.words
    whole = (
        words[primitive + KIND] not in COUNTED
        or words[primitive + SIGNALS]
        or not words[primitive + MISSING]
        or words[primitive + ORPHAN]
        or _in_sem(slots, primitive) >= words[primitive + PERMITS]
    )
    if whole:
        words[primitive + UNCOUNTED] = words[primitive + MISSING] = words[primitive + DIED] = 0
    return bool(whole)


def _in_sem(slots: Slots, primitive: int) -> int:
    return int(_semaphore(slots, primitive)._get_value())


def _said(slots: Slots, primitive: int) -> int:
    """How many permits the shares of the living say that they have."""
    return sum(shares.holders(slots.words, primitive).values())


def _lost(slots: Slots, primitive: int, at_home: int) -> int:
    return int(slots.words[primitive + PERMITS]) - at_home - _said(slots, primitive)


def _close_gate_and_count(slots: Slots, primitives: set[int]) -> set[int]:
    """Those of them of which nothing can be missing any more."""
    words = slots.words
    words[COUNTS] += 1
    words[GATE] = 1
    in_hand = dict.fromkeys(primitives, 0)
    whole = set()
    try:
        counter.settle()
        said = {primitive: _said(slots, primitive) for primitive in primitives}
        counter.settle()  # what these threads had given back before they said less is at home now
        for primitive in primitives:
            missing = words[primitive + MISSING]
            words[primitive + MISSING] = max(missing, words[primitive + PERMITS])  # should this thread die
            in_hand[primitive] = _take_all(slots, primitive)
            lost = max(0, words[primitive + PERMITS] - in_hand[primitive] - said[primitive])
            if lost and words[primitive + KIND] in LOCKS and words[primitive + DIED]:
                words[primitive + ORPHAN] = words[primitive + DIED]
                words[primitive + DIED] = 0
            else:
                in_hand[primitive] += lost
            if lost >= missing or not said[primitive]:
                whole.add(primitive)
                words[primitive + MISSING] = words[primitive + UNCOUNTED] = 0
            else:
                words[primitive + MISSING] = missing - lost
    finally:
        for primitive, permits in in_hand.items():
            _give(slots, primitive, permits)
        words[GATE] = 0
    return whole


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
