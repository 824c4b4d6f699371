"""Counting what is left of the primitives when threads died, or were interrupted, in the middle of changing them.

`recover` is called in the executor's process when a worker has ended, and by every thread that has waited for a while,
which finds processes that the executor did not start (those that a task forked, workers of nested executors).

Under the guard: close the gate, so that no window opens any more; wait until those that were open are closed, but for
those of the dead; then nobody changes the words, and what the dead had follows from them. Then open the gate.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from okazja.sync.shared import counter
from okazja.sync.shared.layout import (
    ACTOR,
    BARRIER_KIND,
    BROKEN,
    CONDITION_KIND,
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

__all__ = ["recount", "recover"]

STALLED = 0.02  # seconds that a window may stay open before its thread is taken for stopped
GLANCE = 0.0002  # seconds between two looks at a window
BROKEN_UP = 2  # verdict on a barrier's waiters


def recover(slots: Slots) -> bool:
    """Give what dead threads had to the living, and tell those. True if something is left to be done later.

    It is when a thread that lives is stopped in the middle of changing a primitive that a dead one had touched.
    """
    if not slots.words[LEFT] and not _dead(slots):
        return False
    return slots.region.guarded(_recover, slots)


def recount(slots: Slots, primitive: int, want: int) -> None:
    """Close the window that the calling thread has open at ``want``: an exception broke into it."""
    slots.region.guarded(_recount, slots, primitive, want)


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
    words[GATE] = 1
    try:
        counter.settle()
        stalled = _wait_for_windows(slots, set(touched), dead)
        counter.settle()
        for primitive in touched:
            words[primitive + UNCOUNTED] = primitive in stalled
            if primitive not in stalled:
                _count(slots, primitive, dead)
        words[LEFT] = bool(stalled)
        if not stalled:
            for slot in dead:
                _free(slots, slot)
    finally:
        words[GATE] = 0
    _tell(slots, touched)
    return bool(stalled)


def _recount(slots: Slots, primitive: int, want: int) -> None:
    """Under the guard."""
    words = slots.words
    words[GATE] = 1
    try:
        words[want] = 0
        counter.settle()
        if _wait_for_windows(slots, {primitive}, set()):
            words[primitive + UNCOUNTED] = words[LEFT] = 1
        else:
            counter.settle()
            _count(slots, primitive, set())
    finally:
        words[GATE] = 0


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


def _count(slots: Slots, primitive: int, dead: set[int]) -> None:
    """The words of this primitive are at rest: make them whole."""
    kind = slots.words[primitive + KIND]
    if kind in LOCKS:
        _count_lock(slots, primitive, dead)
    elif kind == SEMAPHORE_KIND:
        _count_semaphore(slots, primitive, dead)
    elif kind == BARRIER_KIND:
        _break_barrier(slots, primitive)


def _count_lock(slots: Slots, primitive: int, dead: set[int]) -> None:
    words = slots.words
    semaphore = counter.attach(slots.region.address + (primitive + SEMAPHORE) * WORD)
    holder = words[primitive + HOLDER]
    if holder and holder - 1 in dead:
        words[primitive + ORPHAN] = words[PID + holder - 1]
        words[primitive + HOLDER] = words[primitive + DEPTH] = 0
    elif not holder and not words[primitive + ORPHAN] and not semaphore._get_value():
        semaphore.release()  # whoever took it had not begun to use it, or had done with it


def _count_semaphore(slots: Slots, primitive: int, dead: set[int]) -> None:
    words, high = slots.words, slots.words[HIGH]
    taken, given = words[primitive + TAKEN], words[primitive + GIVEN]
    for slot in dead:
        words[taken + slot] = words[given + slot] = 0
    if words[primitive + SIGNALS]:
        return
    held = sum(words[taken : taken + high].tolist()) - sum(words[given : given + high].tolist())
    semaphore = counter.attach(slots.region.address + (primitive + SEMAPHORE) * WORD)
    for _ in range(words[primitive + PERMITS] - semaphore._get_value() - held):
        semaphore.release()


def _break_barrier(slots: Slots, primitive: int) -> None:
    slots.words[primitive + ACTOR] = 0
    slots.words[primitive + BROKEN] = 1


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
