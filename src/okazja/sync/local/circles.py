"""Threads that wait for each other's locks: the wait that would close the circle is an error.

Only certain circles count: every lock in it is one that its owner alone gives back (an RLock, or a Lock in a ``with``
statement), and every wait is without a timeout. Then none of them can ever go on. The circle is walked twice: a thread
found asleep behind a lock that stays taken stays asleep, so what both walks find is true of one moment.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from okazja.errors import Deadlock

__all__ = ["forbid_circle", "sleeps_no_more"]

_lock = threading.Lock()  # around who waits for what, so that exactly one of a circle is told
_waits: dict[int, Any] = {}  # the lock that a thread waits for without a timeout


def forbid_circle(me: int, target: Any) -> None:
    """A thread is about to sleep for a lock. Raises Deadlock if its wait would close a circle."""
    with _lock:
        _waits[me] = target
        circle = _walk(me, target)
        if circle and circle == _walk(me, target):
            raise Deadlock(_story(me, target, circle))


def sleeps_no_more(me: int) -> None:
    """That wait is over."""
    _waits.pop(me, None)


def _walk(me: int, target: Any) -> list[tuple[int, Any, int]]:
    """The others of the circle: thread, lock that it waits for, and the number of the hold that it waits behind."""
    found: list[tuple[int, Any, int]] = []
    hold = target._owner()
    while hold is not None:
        ident = hold[0]
        if ident == me:
            return [*found, (me, target, id(hold))]
        if any(ident == thread for thread, _, _ in found):
            return []  # a circle of others: they were told
        target = _waits.get(ident)
        if target is None:
            return []
        found.append((ident, target, id(hold)))
        hold = target._owner()
    return []


def _story(me: int, target: Any, circle: list[tuple[int, Any, int]]) -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    steps = []
    waiting, wanted = me, target
    for ident, lock, _ in circle:
        holder = "itself" if ident == waiting else names.get(ident, str(ident))
        steps.append(f"{names.get(waiting, waiting)} waits for {wanted!r}, held by {holder}")
        where = _place(ident)
        if ident not in (me, waiting) and where:
            steps[-1] += f" ({where})"
        waiting, wanted = ident, lock
    return f"this would wait for ever: {'; '.join(steps)}. Take locks in the same order everywhere"


def _place(ident: int) -> str:
    """The line of the user's that a thread stands at."""
    frame = sys._current_frames().get(ident)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("okazja.sync"):
        frame = frame.f_back
    return f"at {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
