"""Counting what is left of the primitives when threads died, or were interrupted, in the middle of changing them.

`recover` is called in the executor's process when a worker has ended, and by every thread that has waited for a while,
which finds processes that the executor did not start (those that a task forked, workers of nested executors).

Under the guard: close the gate, so that nothing is released any more; take all permits in hand, so that nothing can be
acquired; wait until the windows that were open are closed, but for those of the dead. Then nobody changes the words,
and what the dead had follows from them: give back as many permits as nobody living has, and open the gate.

Whoever dies in the middle of this leaves the primitive marked as uncounted, and the next to look starts again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

from okazja.sync.shared import counter
from okazja.sync.shared.layout import (
    ACTOR,
    BARRIER_KIND,
    BROKEN,
    CONDITION_KIND,
    COUNTED,
    COUNTS,
    DEPTH,
    GATE,
    GIVEN,
    HIGH,
    HOLDER,
    INSIDE,
    KIND,
    LEFT,
    LOCK,
    LOCKS,
    ORPHAN,
    PERMITS,
    PID,
    SEMAPHORE,
    SEMAPHORE_KIND,
    SIGNALS,
    START,
    TAKEN,
    UNCOUNTED,
    VERDICT,
    WAITS,
    WANT,
    WANT_STEP,
    WORD,
)
from okazja.sync.shared.slots import Slots, started

__all__ = ["Recovery", "recount", "recover"]

log = logging.getLogger("okazja")

STALLED = 0.02  # seconds that a window may stay open before its thread is taken for stopped
GLANCE = 0.0002  # seconds between two looks at a window
AGAIN = 0.05  # seconds after which what was left is tried again
BROKEN_UP = 2  # verdict on a barrier's waiters


def recover(slots: Slots) -> bool:
    """Give what dead threads had to the living, and tell those. True if something is left to be done later.

    It is when a thread that lives is stopped in the middle of changing a primitive that a dead one had touched.
    """
    if not slots.words[LEFT] and not _dead(slots):
        return False
    return slots.region.guarded(_recover, slots)


def recount(slots: Slots, primitive: int, slot: int) -> None:
    """Close the window that the calling thread, in this slot, has open: an exception broke into it."""
    slots.region.guarded(_recount, slots, primitive, slot)


class Recovery:
    """Recovers in a thread of its own, as soon as a worker is known to have ended. Thread-safe; waits for nothing."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._lock = threading.Lock()  # around the two below
        self._wanted = False
        self._works = False

    def soon(self) -> None:
        """Have it done."""
        with self._lock:
            self._wanted = True
            if self._works:
                return
            self._works = True
        threading.Thread(target=self._work, name="okazja-recovery", daemon=True).start()

    def _work(self) -> None:
        left = False
        while True:
            with self._lock:
                if not self._wanted and not left:
                    self._works = False
                    return
                self._wanted = False
            try:
                left = recover(self._slots)
            except Exception:  # those who wait find the dead by themselves, or say why they can't
                log.exception("what a worker held when it ended could not be given to others")
                left = False
            if left:
                time.sleep(AGAIN)


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
    left = _count(slots, touched, dead)
    if not left:
        for slot in dead:
            _free(slots, slot)
    _tell(slots, touched)
    return left


def _recount(slots: Slots, primitive: int, slot: int) -> None:
    """Under the guard."""
    slots.words[primitive + UNCOUNTED] = slots.words[LEFT] = 1
    slots.words[WANT + slot * WANT_STEP] = 0
    _count(slots, [primitive], set())


def _count(slots: Slots, primitives: list[int], dead: set[int]) -> bool:
    """Under the guard: make these primitives whole. True if some could not be counted yet."""
    words = slots.words
    for primitive in primitives:
        words[primitive + UNCOUNTED] = words[LEFT] = 1
    words[COUNTS] += 1
    words[GATE] = 1
    in_hand: dict[int, int] = {}
    try:
        counter.settle()
        for primitive in primitives:
            if words[primitive + KIND] in COUNTED and not words[primitive + SIGNALS]:
                in_hand[primitive] = _take_all(slots, primitive)
        stalled = _wait_for_windows(slots, set(primitives), dead)
        counter.settle()
        for primitive in primitives:
            if primitive not in stalled:
                _settle(slots, primitive, in_hand, dead)
                words[primitive + UNCOUNTED] = 0
    finally:
        for primitive, permits in in_hand.items():
            _give(slots, primitive, permits)
        words[GATE] = 0
    words[LEFT] = any(words[primitive + UNCOUNTED] for primitive in slots.primitives())
    return bool(stalled)


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


def _touches(slots: Slots, primitive: int, dead: set[int]) -> bool:
    """Whether one of the dead had it, or was about to change it, or to be told something by it."""
    words = slots.words
    kind = words[primitive + KIND]
    if kind in {CONDITION_KIND, BARRIER_KIND} and _touches(slots, words[primitive + LOCK], dead):
        return True
    rooms = {primitive, primitive + 1}
    return any(
        words[WANT + slot * WANT_STEP] == primitive
        or words[WAITS + slot] in rooms
        or words[INSIDE + slot] == primitive
        or (kind == BARRIER_KIND and words[primitive + ACTOR] == slot + 1)
        or slots.holds(primitive, slot)
        for slot in dead
    )


def _wait_for_windows(slots: Slots, primitives: set[int], dead: set[int]) -> set[int]:
    """Have each living thread seen outside of these primitives' windows once. Those where that took too long.

    A window that opens after the gate was closed changes nothing, so one such look at each thread is enough.
    """
    words = slots.words
    until = time.monotonic() + STALLED
    inside = {slot for slot in range(words[HIGH]) if slot not in dead}
    while True:
        wants = words[WANT : WANT + words[HIGH] * WANT_STEP : WANT_STEP].tolist()
        inside = {slot for slot in inside if wants[slot] in primitives}
        if not inside or time.monotonic() >= until:
            return {wants[slot] for slot in inside}
        time.sleep(GLANCE)


def _settle(slots: Slots, primitive: int, in_hand: dict[int, int], dead: set[int]) -> None:
    """The words of this primitive are at rest, and its permits in hand: find out how many there should be."""
    words, kind = slots.words, slots.words[primitive + KIND]
    if kind in LOCKS:
        holder = words[primitive + HOLDER]
        if holder and holder - 1 in dead:
            words[primitive + ORPHAN] = words[PID + holder - 1]
            words[primitive + HOLDER] = words[primitive + DEPTH] = 0
        elif not holder and not words[primitive + ORPHAN]:
            in_hand[primitive] = 1  # whoever took it had not begun to use it, or had done with it
    elif kind == SEMAPHORE_KIND:
        for slot in dead:
            words[words[primitive + TAKEN] + slot] = words[words[primitive + GIVEN] + slot] = 0
        if primitive in in_hand:
            in_hand[primitive] = max(0, words[primitive + PERMITS] - held(slots, primitive))
    elif kind == BARRIER_KIND and dead:
        words[primitive + ACTOR] = 0
        words[primitive + BROKEN] = 1


def held(slots: Slots, primitive: int) -> int:
    """How many permits of a semaphore are with threads."""
    words, high = slots.words, slots.words[HIGH]
    taken, given = words[primitive + TAKEN], words[primitive + GIVEN]
    return sum(words[taken : taken + high].tolist()) - sum(words[given : given + high].tolist())


def _free(slots: Slots, slot: int) -> None:
    """The process id last: then it is somebody else's."""
    words = slots.words
    words[WANT + slot * WANT_STEP] = words[WAITS + slot] = words[INSIDE + slot] = words[VERDICT + slot] = 0
    words[PID + slot] = 0


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
