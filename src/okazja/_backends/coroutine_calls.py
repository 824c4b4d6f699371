"""Calls of coroutine functions on one event loop: each a task, with its mark on the board and its limit.

Everything here is called in the loop's thread. A call that is over has had exactly one reply, whatever its coroutine
does: an exception is its own failure, a SystemExit too; one that goes on although it was cancelled is left behind.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from time import monotonic_ns, perf_counter
from types import CoroutineType
from typing import Any

from okazja._backends.base import Spec
from okazja._core.messages import Call, Reply, Stop
from okazja._core.timeouts import GRACE, overdue_error, stop_call
from okazja._transport.board import CALL, DONE, FIRST, ITEM, PID, STARTED, TID
from okazja._transport.codec import RAISED, VALUE
from okazja._worker.coroutines import standing
from okazja._worker.own_loop import cancelled
from okazja.errors import RemoteTraceback

__all__ = ["MOST_MARKED", "CoroutineCalls"]

MOST_MARKED = 1000  # coroutines that have a mark on the board: nobody reads a tree with more

log = logging.getLogger("okazja")


class _Attempt:
    """One execution of a call."""

    __slots__ = ("call", "ending", "over", "slot", "started", "task", "timer", "where")

    def __init__(self, call: Call, slot: int) -> None:
        self.call = call
        self.slot = slot
        self.started = 0.0  # of the performance counter; 0: its task has not begun
        self.over = False  # its reply was given
        self.ending = False  # its end is on its way
        self.where: str | None = None  # where it was cancelled or interrupted; None: it was not
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None]


class CoroutineCalls:
    """Those of one executor. ``over`` is given each reply, when the call's place is free again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, spec: Spec, over: Callable[[Reply], None]) -> None:
        self._loop = loop
        self._board = spec.board
        self._over = over
        self._marked = min(spec.max_workers, MOST_MARKED)
        beyond = range(spec.board.slots, spec.board.slots + spec.max_workers - self._marked)
        self._slots = [*reversed(beyond), *range(self._marked - 1, -1, -1)]  # the last one is taken next
        self._words: list[memoryview] = []  # of the slots that were used so far
        self._described: list[str] = []  # what these say
        self._pid, self._tid = os.getpid(), threading.get_native_id()
        self.attempts: dict[Call, _Attempt] = {}

    def start(self, call: Call) -> None:
        """Run a call that has begun."""
        slot = call.slot = self._slots.pop()
        attempt = _Attempt(call, slot)
        if slot < self._marked:
            self._mark(slot, call)
        attempt.task = self._loop.create_task(self._run(attempt), name=call.fn.name, context=call.context)
        self.attempts[call] = attempt
        if call.limit is not None:
            attempt.timer = self._loop.call_later(call.limit, self._look_at, attempt, call.limit)

    def _mark(self, slot: int, call: Call) -> None:
        if slot == len(self._words):  # the lowest free slot is taken first
            self._words.append(self._board.words(slot))
            self._described.append("")
            self._words[slot][TID] = self._tid
        name = call.fn.name
        if self._described[slot] != name:
            self._described[slot] = name
            self._board.describe(slot, name)
        words = self._words[slot]
        words[FIRST] = call.base + 1
        words[ITEM] = 0
        words[STARTED] = monotonic_ns()
        words[CALL] = call.id
        words[PID] = self._pid

    async def _run(self, attempt: _Attempt) -> None:
        call = attempt.call
        args, kwargs = call.payload
        attempt.started = start = perf_counter()
        reply: Reply
        try:
            value = await call.fn.target(*args, **kwargs)
            if type(value) is CoroutineType:
                value = await value
            reply = call, VALUE, value, perf_counter() - start, 1
            del value
        except asyncio.CancelledError as problem:
            reply = call, RAISED, cancelled(call.fn.name, problem), perf_counter() - start, 1
        except BaseException as error:
            trace = error.__traceback__
            body = error.with_traceback(trace.tb_next if trace else None)
            reply = call, RAISED, body, perf_counter() - start, 1
            del body, trace
        del call, args, kwargs  # see serial.execute
        self._end(attempt, reply)

    def _end(self, attempt: _Attempt, reply: Reply) -> None:
        """The coroutine has come to its end, sooner or later."""
        self.attempts.pop(attempt.call, None)
        if attempt.over:  # it was left behind
            return
        if attempt.timer is not None:
            attempt.timer.cancel()
        submitted = attempt.call.stop is not None and attempt.call.base < 0
        if attempt.where is not None and not submitted:  # else its future has what came of it
            reply = _timed_out(attempt, "was cancelled")
        self._settle(attempt, reply)

    def _settle(self, attempt: _Attempt, reply: Reply) -> None:
        attempt.over = True
        if attempt.slot < self._marked:
            words = self._words[attempt.slot]
            words[DONE] += 1
            words[CALL] = 0
            if attempt.slot:  # an executor with nothing to do shows one worker
                words[PID] = 0
        self._slots.append(attempt.slot)
        del attempt
        self._over(reply)

    # --- calls that are to end ------------------------------------------------------------------------

    def stop(self, chosen: Callable[[Call], bool], stop: Stop) -> None:
        """Have the chosen calls that run end."""
        for attempt in list(self.attempts.values()):
            if not attempt.over and chosen(attempt.call):
                stop_call(attempt.call, stop)
                self._cancel(attempt)

    def stop_one(self, call: Call, stop: Stop) -> None:
        """Have a call end, if it runs."""
        attempt = self.attempts.get(call)
        if attempt is not None and not attempt.over:
            stop_call(call, stop)
            self._cancel(attempt)

    def _look_at(self, attempt: _Attempt, limit: float) -> None:
        """Its time should be over. A loop's clock may be coarse, and a task begin late."""
        left = attempt.started + limit - perf_counter() if attempt.started else limit
        if left > 0:
            attempt.timer = self._loop.call_later(max(left, 0.001), self._look_at, attempt, limit)
        else:
            self._cancel(attempt)

    def _cancel(self, attempt: _Attempt) -> None:
        if attempt.over or attempt.ending:
            return
        if (
            not attempt.started
        ):  # a task that is cancelled before it begins never does, and so would not end either
            self._loop.call_soon(self._cancel, attempt)
            return
        attempt.ending = True
        if attempt.timer is not None:
            attempt.timer.cancel()
        if (
            attempt.where is not None
        ):  # it blocked the loop, was interrupted, and may need a while to clean up
            attempt.timer = self._loop.call_later(GRACE, self._cancel_now, attempt)
            return
        lines = standing(attempt.task.get_coro())[1:]  # without the frame of _run
        attempt.where = "".join(["Traceback (most recent call last):\n", *lines, "asyncio.CancelledError"])
        self._cancel_now(attempt)

    def _cancel_now(self, attempt: _Attempt) -> None:
        attempt.timer = self._loop.call_later(GRACE, self._give_up, attempt)
        attempt.task.cancel()

    def _give_up(self, attempt: _Attempt) -> None:
        """Leave a coroutine behind that goes on although it was cancelled: its place is another's now."""
        stop = attempt.call.stop
        if stop is not None and not stop.abandon:
            return  # nobody waits for its outcome
        reply = _timed_out(attempt, "could not be cancelled: its coroutine still runs")
        log.warning("%s; another has taken its place", reply[2])
        self._settle(attempt, reply)


def _timed_out(attempt: _Attempt, what: str) -> Reply:
    error: Any = overdue_error(attempt.call, what)
    error.__cause__ = RemoteTraceback(attempt.where or "")
    return attempt.call, RAISED, error, perf_counter() - attempt.started, 1
