"""When an item has run for too long, and what to do about it: interrupt it first, then end its worker.

Pure: the clock is passed in. Times are seconds of one clock, whichever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from okazja._core.messages import Call, Stop

__all__ = ["GRACE", "LONGEST_PAUSE", "Step", "Timeouts", "overdue_error", "stop_call", "timeout_error"]

STOP_LIMIT = (
    0.01  # seconds that an item of a stopped call may take; also how often one that begins is looked at
)
GRACE = 1.0  # seconds for an interrupted item to end by itself
LONGEST_PAUSE = 3600.0  # seconds between two looks, at most: waiting calls take no arbitrarily large number


class Step(Enum):
    """What is to be done about a worker."""

    WAIT = "wait"
    INTERRUPT = "interrupt"
    GIVE_UP = "give up"


@dataclass(slots=True)
class _Overdue:
    item: Any
    until: float  # when it is given up
    given_up: bool = False


class Timeouts:
    """The items that are overdue, by worker.

    Guarantees: an item is interrupted at most once, not before its limit, and given up at most once, not
    before ``grace`` seconds more. Who looks again when told to finds each item on the moment it is due.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._overdue: dict[Any, _Overdue] = {}  # by worker

    def look(self, worker: Any, item: Any, started: float, limit: float, now: float) -> tuple[Step, float]:
        """What to do about a worker, and in how many seconds at the latest to look at it again.

        worker, item: any keys. It runs the item since ``started``; None: it has begun none, or one without a limit.
        limit: seconds that the item may take, or any other that this worker may begin.
        """
        overdue = self._overdue.get(worker)
        if overdue is not None and overdue.item != item:
            del self._overdue[worker]
            overdue = None
        if overdue is not None:
            return self._look_again(overdue, now)
        left = limit if item is None else started + limit - now
        if left > 0:
            return Step.WAIT, min(left, LONGEST_PAUSE)
        self._overdue[worker] = _Overdue(item, now + self._grace)
        return Step.INTERRUPT, self._grace

    def _look_again(self, overdue: _Overdue, now: float) -> tuple[Step, float]:
        if overdue.given_up:
            return Step.WAIT, LONGEST_PAUSE
        if now < overdue.until:
            return Step.WAIT, overdue.until - now
        overdue.given_up = True
        return Step.GIVE_UP, LONGEST_PAUSE

    def gone(self, worker: Any) -> tuple[Any, bool] | None:
        """The worker is no more, or idle: the item that was overdue there, if any, and whether it was given up."""
        overdue = self._overdue.pop(worker, None)
        return None if overdue is None else (overdue.item, overdue.given_up)


def timeout_error(name: str, limit: float, what_was_done: str) -> TimeoutError:
    """The error of an item of the function ``name`` that took longer than ``limit`` seconds."""
    return TimeoutError(f"{name} took longer than item_timeout={limit:g} s and {what_was_done}")


def overdue_error(call: Call, what_was_done: str) -> TimeoutError:
    """The error of an item that took longer than it may, or was stopped."""
    if call.stop is not None:
        return TimeoutError(f"{call.fn.name} ran when {call.stop.why} and {what_was_done}")
    return timeout_error(call.fn.name, call.limit or 0.0, what_was_done)


def stop_call(call: Call, stop: Stop) -> None:
    """Have a call be overdue, unless it is already."""
    if call.stop is None:
        call.stop = stop
        call.limit = STOP_LIMIT if call.limit is None else min(call.limit, STOP_LIMIT)
