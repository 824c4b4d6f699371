"""Which processes still have an end of a pipe: when none is left, the other end has nothing to wait for.

Each object that has the end open has a word in a table, the name of its process; who is dead has it no more. An end may
also be on its way: pickled, or about to be inherited by a child, and not yet there. So it is counted how often it was
sent and how often it came. A pickle that nobody opens (its call was cancelled) would be on its way for ever: once one
has come, the others are waited for a few seconds.
"""

from __future__ import annotations

import os
import weakref
from time import monotonic_ns

from okazja.sync.shared.blocks import PID_BITS, process_name
from okazja.sync.shared.region import Region
from okazja.sync.shared.slots import started

__all__ = ["USERS_WORDS", "Users"]

SENT, CAME, WHEN, TABLE = 0, 1, 2, 8  # words
ROOM = 120  # processes that have an end at a time; of more than these it is never known that they are gone
USERS_WORDS = TABLE + ROOM
ON_ITS_WAY = 5_000_000_000  # ns

_open: weakref.WeakSet[Users] = weakref.WeakSet()  # of this process


class Users:
    """One object of this process that has an end open. ``place``: the index of the first word of the end's table."""

    def __init__(self, region: Region, place: int, *, came: bool) -> None:
        self._region, self._words, self._place = region, region.words, place
        self._entry = 0
        region.guarded(self._enter, came)
        _open.add(self)

    def _enter(self, came: bool) -> None:
        """Under the guard. Each object has an entry of its own, so that to leave is one store."""
        words, first = self._words, self._place + TABLE
        if came:
            words[self._place + CAME] += 1
        entries = words[first : first + ROOM].tolist()
        if 0 in entries:
            self._entry = first + entries.index(0)
            words[self._entry] = process_name()
        else:
            words[self._place + SENT] += 1 << 32  # for ever on its way

    def send(self) -> None:
        """It is on its way to another process."""
        self._region.guarded(self._count)

    def _count(self) -> None:
        self._words[self._place + SENT] += 1
        self._words[self._place + WHEN] = monotonic_ns()

    def leave(self) -> None:
        """This object has it no more. May be called anywhere, at any moment, and again: one store."""
        entry, self._entry = self._entry, 0
        if entry:
            self._words[entry] = 0

    def __del__(self) -> None:
        self.leave()

    def none_left(self) -> bool:
        """Whether nobody has this end, nor ever will."""
        words, place = self._words, self._place
        if any(words[place + TABLE : place + TABLE + ROOM].tolist()):
            return False
        sent, came = words[place + SENT], words[place + CAME]
        late = came and sent < 1 << 32 and monotonic_ns() - words[place + WHEN] > ON_ITS_WAY
        return bool(came >= sent or late)

    def forget_dead(self) -> None:
        """Take those who died out of the table."""
        words, first = self._words, self._place + TABLE
        for entry, name in enumerate(words[first : first + ROOM].tolist(), first):
            if name and started(name & (1 << PID_BITS) - 1) != name >> PID_BITS:
                self._region.guarded(self._strike_out, entry, name)

    def _strike_out(self, entry: int, name: int) -> None:
        if self._words[entry] == name:
            self._words[entry] = 0


def _before_fork() -> None:
    for users in list(_open):
        if users._entry:
            users.send()


def _after_fork_in_child() -> None:
    for users in list(_open):
        if users._entry:  # that one is the parent's
            users._region.guarded(users._enter, True)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
