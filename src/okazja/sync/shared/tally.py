"""Who has how many items of a queue that are not done, so that what the dead had does not hold up ``join``.

There are two arrays over the slots of threads, each word of which one thread writes: how many items it has taken, and
how many it has said to be done. A thread that takes without the lock counts nothing: HEAD does, and what it has taken
is written down when somebody wants to know. All counts are modulo 2**31.
"""

from __future__ import annotations

from collections.abc import Callable

from okazja.sync.shared.blocks import PID_BITS
from okazja.sync.shared.layout import HIGH, SLOTS
from okazja.sync.shared.region import Region
from okazja.sync.shared.ring import COUNT, Ring
from okazja.sync.shared.slots import started

__all__ = ["TALLY_WORDS", "Tally"]

# What the thread that takes without the lock had taken before, and what all had: both when it began to.
BEFORE, SINCE = 0, 1
GOT = 8  # by slot: items taken, but for those that were taken without the lock just now
# By slot: items said to be done; what the dead had taken is added by whoever finds that out.
DID = GOT + SLOTS
WHO = DID + SLOTS  # by slot: the process that counts there
TALLY_WORDS = WHO + SLOTS


class Tally:
    """That of one queue. ``place``: the index of its first word; ``me``: tells the name of this process.

    What says so is to be called with the lock of those who take, and while nobody takes without it.
    """

    __slots__ = ("_known", "_me", "_place", "_ring", "_words")

    def __init__(self, region: Region, place: int, ring: Ring, me: Callable[[], int]) -> None:
        self._words, self._place = region.words, place
        self._ring = ring
        self._me = me
        self._known: set[int] = set()  # slots, of this process, that count for it

    def forget(self) -> None:
        """In a forked child."""
        self._known = set()

    def unfinished(self) -> int:
        """Items that were put and are not done; exact below 2**31."""
        place, high = self._place, self._words[HIGH]
        done = sum(self._words[place + DID : place + DID + high].tolist())
        return (self._ring.put_so_far - done) & COUNT

    def done(self, slot: int) -> None:
        """The thread of this slot, which calls, says one to be done."""
        self._words[self._place + DID + slot] += 1

    def begin(self, slot: int) -> None:
        """With the lock: this thread is about to take; its slot may have been a dead process's."""
        if slot in self._known:
            return
        who, me = self._place + WHO + slot, self._me()
        if self._words[who] != me:
            if self._words[who]:
                self.write_off(slot, self._words[who])
            self._words[who] = me
        self._known.add(slot)

    def taken(self, slot: int) -> None:
        """With the lock: this thread has taken one."""
        self._words[self._place + GOT + slot] += 1

    def count_from_now(self, slot: int) -> None:
        """With the lock: this thread is about to take without it."""
        words, place = self._words, self._place
        words[place + BEFORE], words[place + SINCE] = words[place + GOT + slot], self._ring.taken_so_far

    def count_until_now(self, slot: int) -> None:
        """With the lock: write down what this thread, which takes without it, has taken. Again is the same."""
        words, place = self._words, self._place
        taken = self._ring.taken_so_far - words[place + SINCE]
        words[place + GOT + slot] = words[place + BEFORE] + taken & COUNT

    def write_off(self, slot: int, name: int) -> int:
        """With the lock: what a dead process had taken and not finished is done. How much it was."""
        words, place, high = self._words, self._place, self._words[HIGH]
        if words[place + WHO + slot] != name:
            return 0  # another process's by now
        counted = sum(words[place + GOT : place + GOT + high].tolist())
        # It may have died before it had counted what it had taken.
        words[place + GOT + slot] += (self._ring.taken_so_far - counted) & COUNT
        lost = (words[place + GOT + slot] - words[place + DID + slot]) & COUNT
        if lost > COUNT >> 1:
            return 0  # it has said so for others
        words[place + DID + slot] += lost
        return lost

    def of_the_dead(self) -> list[tuple[int, int, int]]:
        """Slots that count for dead processes: slot, name, and process id."""
        words, place, high = self._words, self._place, self._words[HIGH]
        found = []
        for slot, name in enumerate(words[place + WHO : place + WHO + high].tolist()):
            pid = name & (1 << PID_BITS) - 1
            if name and started(pid) != name >> PID_BITS:
                found.append((slot, name, pid))
        return found
