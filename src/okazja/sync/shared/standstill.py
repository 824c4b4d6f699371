"""When all who use an executor's primitives wait for one another: what can be seen of that in shared memory.

A thread is *parked* if it waits without a limit of time. That is a standstill if nobody else is left, which is not
known here (see okazja._engine.standstill), and if two looks find the same waits, each of which has looked around in
between, from beginning to end: what was there to be had when the last of them came, it would have found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from okazja.sync.shared import shares
from okazja.sync.shared.layout import (
    BARRIER_KIND,
    CONDITION_KIND,
    COUNTS,
    EVENT_KIND,
    GET,
    HIGH,
    JOIN,
    KIND,
    LEFT,
    LOCK_KIND,
    LOCKS,
    LOOKS,
    PID,
    PURPOSE,
    PUT,
    RLOCK_KIND,
    SEMAPHORE_KIND,
    SINCE,
    STORY,
    STORY_SIZE,
    TID,
    TIMED,
    TOLD,
    WAITS,
    WANT,
    WANT_STEP,
)
from okazja.sync.shared.recovery import recover
from okazja.sync.shared.slots import Slots

__all__ = ["Parked", "counts", "end_waits", "in_vain", "parked", "same", "story"]

ROUNDS = 2  # looks that each has to have made; the first of them may have begun before

KINDS = {
    LOCK_KIND: "acquire of Lock",
    RLOCK_KIND: "acquire of RLock",
    SEMAPHORE_KIND: "acquire of Semaphore",
    CONDITION_KIND: "wait of Condition",
    EVENT_KIND: "wait of Event",
    BARRIER_KIND: "wait of Barrier",
}
PURPOSES = {GET: "get of an empty queue", PUT: "put to a full queue", JOIN: "join of a queue"}


@dataclass(frozen=True, slots=True)
class Parked:
    """A thread that waits. Its process, its native id, what for, since when (ns), how often it has looked so far."""

    pid: int
    thread: int
    room: int
    since: int
    looks: int


def parked(slots: Slots) -> dict[int, Parked] | None:
    """Those who wait, by slot; None: somebody is about to go on, or to count what the dead have left."""
    words, high = slots.words, slots.words[HIGH]
    if words[LEFT]:
        recover(slots)  # of those who wait nobody is in the middle of anything: what is missing is found
    found: dict[int, Parked] = {}
    for slot, room in enumerate(words[WAITS : WAITS + high].tolist()):
        if words[PID + slot] and words[WANT + slot * WANT_STEP]:
            return None
        if room and words[PID + slot]:
            if words[TIMED + slot]:
                return None
            found[slot] = _thread(slots, slot)
    return found


def _thread(slots: Slots, slot: int) -> Parked:
    return Parked(*(slots.words[array + slot] for array in (PID, TID, WAITS, SINCE, LOOKS)))


def counts(slots: Slots) -> int:
    """How often permits were counted so far."""
    return int(slots.words[COUNTS])


def same(before: Mapping[int, Parked], now: Mapping[int, Parked]) -> bool:
    """Whether these are the very waits that were seen before, however often they have looked since."""
    return before.keys() == now.keys() and all(
        (was.pid, was.thread, was.room, was.since)
        == (now[slot].pid, now[slot].thread, now[slot].room, now[slot].since)
        for slot, was in before.items()
    )


def in_vain(before: Mapping[int, Parked], now: Mapping[int, Parked]) -> bool:
    """Whether they are, and all have looked around meanwhile."""
    return same(before, now) and all(now[slot].looks >= was.looks + ROUNDS for slot, was in before.items())


def end_waits(slots: Slots, waits: Mapping[int, Parked], text: str) -> None:
    """Have each of these waits raise Deadlock. One that has ended meanwhile is not disturbed, nor is the next."""
    words, data = slots.words, text.encode()
    place = slots.region.allocate(len(data))
    slots.region.view(place, len(data))[:] = data
    words[STORY], words[STORY_SIZE] = place, len(data)
    for slot, wait in waits.items():
        words[TOLD + slot] = wait.since
        slots.park(slot).release()


def story(slots: Slots, waits: Mapping[int, Parked], name: Callable[[Parked], str]) -> list[str]:
    """Who waits for what, a line each; ``name`` says who it is."""
    lines = []
    for wait in sorted(waits.values(), key=lambda wait: wait.since):
        what, holder = _what(slots, wait.room)
        owner = f", which {name(_thread(slots, holder))} has" if holder >= 0 else ""
        lines.append(f"  {name(wait)}: {what} {wait.room:#x}{owner}")
    return lines


def _what(slots: Slots, room: int) -> tuple[str, int]:
    """What is waited for in a room, and the slot that has it; -1: none, or not known."""
    words = slots.words
    for primitive in slots.primitives():
        kind = words[primitive + KIND]
        if primitive == room or (primitive + 1 == room and kind == BARRIER_KIND):
            owners = shares.holders(words, primitive) if kind in LOCKS else ()
            return KINDS[kind], next(iter(owners), -1)
    return PURPOSES.get(words[room + PURPOSE], "a wait for"), -1
