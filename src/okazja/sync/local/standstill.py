"""Every thread of this process waits for a primitive, or for a call that does: each wait becomes a Deadlock.

A thread that waits without a limit looks about once a second whether any other is left: one that does something else,
waits for a limited time or for what okazja doesn't know (so also an idle worker), one that Python doesn't know, a
signal handler. If two looks find none, and the very same waits, each of which has slept in vain in between, then
nobody is left who could end them.
"""

from __future__ import annotations

import os
import sys
import threading
from time import monotonic
from typing import Any

from okazja.sync.bystanders import has_handlers, waits_for_calls

__all__ = ["PAUSE", "Wait", "look", "waits"]

PAUSE = 1.0  # seconds that a thread sleeps before it looks
ROUNDS = (
    2  # sleeps that each has to have begun between two looks; the first of them may have been rung for before
)

waits: dict[int, Wait] = {}  # by thread, those without a limit; each writes its own entry
_turn = threading.Lock()  # around what follows, never waited for
_seen: dict[int, tuple[Wait, int]] = {}  # at the last look
_next = 0.0  # when to look again, at the earliest


class Wait:
    """One wait of one thread, from its first sleep to its last."""

    __slots__ = ("sleeps", "story", "target", "waiter")

    def __init__(self, waiter: Any, target: Any) -> None:
        self.waiter = waiter
        self.target = target  # the primitive
        self.sleeps = 0
        self.story = ""  # of the standstill that it is part of; then it is over


def look() -> None:
    """Tell all who wait, if nobody else is left."""
    global _next, _seen
    if not _turn.acquire(blocking=False):
        return
    try:
        if monotonic() < _next:
            return
        _next = monotonic() + PAUSE / 2
        now = dict(waits)
        if not _nobody_else(now):
            _seen = {}
            return
        if {ident: wait for ident, (wait, _) in _seen.items()} != now:
            _seen = {ident: (wait, wait.sleeps) for ident, wait in now.items()}
        elif all(wait.sleeps >= sleeps + ROUNDS for wait, sleeps in _seen.values()):
            _seen = {}
            story = _story(now)
            for wait in now.values():
                wait.story = story
                wait.waiter.ring()
    finally:
        _turn.release()


def _nobody_else(now: dict[int, Wait]) -> bool:
    frames = sys._current_frames()
    try:
        known = len(os.listdir("/proc/self/task")) == len(frames)  # noqa: PTH208
    except OSError:
        return False
    return (
        known
        and not has_handlers()
        and all(ident in now or waits_for_calls(ident, frame) is not None for ident, frame in frames.items())
    )


def _story(now: dict[int, Wait]) -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()
    lines = [
        f"  {names.get(ident, ident)} waits for {wait.target!r}{_place(frames.get(ident))}"
        for ident, wait in now.items()
    ]
    return "\n".join(
        [
            "every thread of this process waits, and so nobody is left who could end that:",
            *lines,
            "Have somebody put, set, release or notify what is waited for, or give the waits a timeout",
        ]
    )


def _place(frame: Any) -> str:
    """The line of the user's that a thread stands at."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("okazja.", "threading")):
        frame = frame.f_back
    return f" ({frame.f_code.co_filename}:{frame.f_lineno})" if frame is not None else ""
