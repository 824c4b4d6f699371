"""Finding threads that wait for each other in a circle.

A thread is stuck if it waits without a limit of time for what only stuck threads have. To be sure, two looks have to
see the very same waits: then there is a moment between them in which all of them waited, and none could go on.

Not counted as stuck are those who wait for a lock that they have themselves, or that was once released by a thread
that did not have it: so a lock is used as a signal, and somebody else may give it.
"""

from __future__ import annotations

from okazja.errors import Deadlock
from okazja.sync.shared import shares
from okazja.sync.shared.layout import (
    COUNTED,
    FOREIGN,
    HIGH,
    INSIDE,
    KIND,
    LOCK_KIND,
    PID,
    RLOCK_KIND,
    SEMAPHORE_KIND,
    SEQ,
    SIGNALS,
    SINCE,
    TID,
    TIMED,
    WAITS,
    WOKEN,
)
from okazja.sync.shared.slots import Seat, Slots

__all__ = ["look_for_circles"]

Wait = tuple[int, int, frozenset[int]]  # what for, number of the wait, slots that have it
NAMES = {LOCK_KIND: "Lock", RLOCK_KIND: "RLock", SEMAPHORE_KIND: "Semaphore"}


def look_for_circles(slots: Slots, seat: Seat) -> None:
    """Raise Deadlock if the calling thread is the last to have come into a circle."""
    circle = _circle(_stuck(_waits(slots)), seat.slot)
    if not circle:
        return
    again = _stuck(_waits(slots))
    if any(again.get(slot) != wait for slot, wait in circle.items()):
        return
    # Not one in a condition's `wait`, as long as there is another: it can't go on without its lock.
    last = max(circle, key=lambda slot: (not slots.words[INSIDE + slot], slots.words[SINCE + slot]))
    if last == seat.slot and not slots.words[INSIDE + last]:
        raise Deadlock(_story(slots, circle))


def _waits(slots: Slots) -> dict[int, Wait]:
    """Those who wait without a limit of time, by slot."""
    words, high = slots.words, slots.words[HIGH]
    found: dict[int, Wait] = {}
    for slot, primitive in enumerate(words[WAITS : WAITS + high].tolist()):
        if primitive and not words[TIMED + slot] and words[WOKEN + slot] != words[SEQ + slot]:
            number = words[SEQ + slot]
            found[slot] = (primitive, number, frozenset(_holders(slots, primitive, slot)))
    return found


def _holders(slots: Slots, primitive: int, waiter: int) -> set[int]:
    """Who alone can end this wait; nobody, where that is not known."""
    words = slots.words
    if words[primitive + KIND] not in COUNTED or words[primitive + SIGNALS] or words[primitive + FOREIGN]:
        return set()
    holders = shares.holders(words, primitive).keys()
    return set() if waiter in holders else set(holders)


def _stuck(waits: dict[int, Wait]) -> dict[int, Wait]:
    """Those of them that wait for nobody but each other: the rest, when all others have been crossed out."""
    left = dict(waits)
    while True:
        free = [slot for slot, (_, _, holders) in left.items() if not holders or not holders <= left.keys()]
        if not free:
            return left
        for slot in free:
            del left[slot]


def _circle(stuck: dict[int, Wait], start: int) -> dict[int, Wait]:
    """Everybody whom this thread waits for, if they wait for it too; else nothing."""
    reached: set[int] = set()
    ahead = [start] if start in stuck else []
    while ahead:
        for holder in stuck[ahead.pop()][2] - reached:
            reached.add(holder)
            ahead.append(holder)
    return {slot: stuck[slot] for slot in reached} if start in reached else {}


def _story(slots: Slots, circle: dict[int, Wait]) -> str:
    """Who waits for whom."""
    words = slots.words

    def thread(slot: int) -> str:
        return f"process {words[PID + slot]}, thread {words[TID + slot]}"

    lines = [
        f"  {thread(slot)} waits for {NAMES[words[primitive + KIND]]} {primitive:#x}, which "
        f"{' and '.join(map(thread, sorted(holders)))} {'have' if len(holders) > 1 else 'has'}"
        for slot, (primitive, _, holders) in circle.items()
    ]
    return (
        "these threads wait for each other and would do so for ever:\n"
        + "\n".join(lines)
        + "\nTake such locks in the same order everywhere"
    )
