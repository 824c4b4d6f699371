"""Which task of an event loop owns a re-entrant lock: for the lock itself, all tasks of a loop are one thread.

Everything here belongs to the thread of one loop (the thread is part of the key), so it needs no lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from threading import get_ident
from typing import Any

from okazja.sync.coroutines import left_until

__all__ = ["acquire_by_task", "current_task", "depth_in_task", "release_by_task", "try_by_task"]


class _Hold:
    """A task that owns a lock, or is about to, and how often it has acquired it."""

    __slots__ = ("depth", "queue", "task")

    def __init__(self, task: Any) -> None:
        self.task = task
        self.depth = 1
        self.queue: deque[Any] = deque()  # futures of the tasks that wait for it


_holds: dict[tuple[object, int], _Hold] = {}


def current_task() -> Any:
    """The task that runs in this thread, if any."""
    import asyncio

    return asyncio.current_task()


def depth_in_task(identity: object) -> int:
    """How often the current task holds this lock."""
    hold = _holds.get((identity, get_ident()))
    return hold.depth if hold is not None and hold.task is current_task() else 0


def try_by_task(identity: object, acquire: Callable[[], bool]) -> bool:
    """Acquire for the current task, at once or not at all."""
    key = identity, get_ident()
    hold = _holds.get(key)
    if hold is not None:
        mine = hold.task is current_task()
        hold.depth += mine
        return mine
    taken = acquire()
    if taken:
        _holds[key] = _Hold(current_task())
    return taken


async def acquire_by_task(
    identity: object, task: Any, acquire: Callable[[float], Awaitable[bool]], deadline: float | None
) -> bool:
    """Acquire for a task: first among the tasks of this loop, then with ``acquire(timeout)``."""
    key = identity, get_ident()
    while (hold := _holds.get(key)) is not None:
        if hold.task is task:
            hold.depth += 1
            return True
        if not await _queue(hold, deadline):
            return False
    _holds[key] = _Hold(task)
    taken = False
    try:
        left = left_until(deadline)
        taken = await acquire(-1 if left is None else left)
    finally:
        if not taken:
            _give_up(key)
    return taken


async def _queue(hold: _Hold, deadline: float | None) -> bool:
    """Wait until this hold is over; False: the time is."""
    import asyncio

    turn = asyncio.get_running_loop().create_future()
    hold.queue.append(turn)
    try:
        await asyncio.wait_for(turn, left_until(deadline))
    except TimeoutError:
        return False
    return True


def _give_up(key: tuple[object, int]) -> None:
    hold = _holds.pop(key)
    for turn in hold.queue:  # all of them: each may have been cancelled, and the first to run is the next
        if not turn.done():
            turn.set_result(None)


def release_by_task(identity: object, release: Callable[[], None]) -> None:
    """Release once. Raises RuntimeError if another task owns it."""
    key = identity, get_ident()
    hold = _holds.get(key)
    if hold is None:
        release()  # taken by a plain `with`, or not at all: the lock itself knows
        return
    if hold.task is not current_task():
        raise RuntimeError("cannot release un-acquired lock: another task of this event loop owns it")
    if hold.depth > 1:
        hold.depth -= 1
        return
    release()
    _give_up(key)
