"""Calls of coroutine functions on one event loop: each a task, with its mark on the board and its limit.

Everything here is called in the loop's thread. A call that is over has had exactly one reply, whatever its coroutine
does: an exception is its own failure, a SystemExit too; one that goes on although it was cancelled is left behind.

There may be very many of them, so a call costs a task and little else: the task runs the coroutine itself, and holds
what is to be known of the call.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
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

__all__ = ["MOST_MARKED", "Attempt", "CoroutineCalls"]

MOST_MARKED = 1000  # coroutines that have a mark on the board: nobody reads a tree with more

log = logging.getLogger("okazja")


class Attempt(asyncio.Task[Any]):
    """One execution of a call."""

    __slots__ = ("call", "ending", "over", "started", "timer", "where")

    call: Call
    started: float  # of the performance counter; 0: it has not begun
    over: bool  # its reply was given
    ending: bool  # its end is on its way
    where: str | None  # where it was cancelled or interrupted; None: it was not
    timer: asyncio.TimerHandle | None


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
        self._attempts: list[Attempt | None] = [None] * (spec.board.slots + len(beyond))  # by slot
        self._when_ended = self._ended  # one for all of them, and one context, too
        self._context = copy_context()
        self._alive = 0  # coroutines that have not come to their end, those that were left behind included

    def any_alive(self) -> bool:
        """Whether some coroutine has begun and not come to its end. May be asked in any thread."""
        return self._alive > 0

    def start(self, call: Call) -> None:
        """Run a call that has begun."""
        slot = call.slot = self._slots.pop()
        if slot < self._marked:
            self._mark(slot, call)
        self._attempt(call, _coroutine(call), 0.0 if _is_watched(call) else perf_counter())

    def _attempt(self, call: Call, coroutine: Coroutine[Any, Any, Any], started: float) -> None:
        attempt = Attempt(coroutine, loop=self._loop, name=call.fn.name, context=call.context)
        attempt.call, attempt.started = call, started
        attempt.over = attempt.ending = False
        attempt.where = attempt.timer = None
        attempt.add_done_callback(self._when_ended, context=self._context)
        self._attempts[call.slot] = attempt
        self._alive += 1
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

    def _ended(self, attempt: Attempt) -> None:
        """The coroutine has come to its end, sooner or later."""
        self._alive -= 1
        call = attempt.call
        seconds = perf_counter() - attempt.started
        reply: Reply
        try:
            error = attempt.exception()
        except asyncio.CancelledError as problem:
            reply = call, RAISED, cancelled(call.fn.name, problem), seconds, 1
        else:
            if error is not None:
                reply = call, RAISED, _without_own_frame(error), seconds, 1
            else:
                reply = call, VALUE, attempt.result(), seconds, 1
            del error
        if attempt.timer is not None:
            attempt.timer.cancel()
        if type(reply[2]) is CoroutineType:
            self._go_on(attempt, reply[2])
        elif not attempt.over:  # else it was left behind
            submitted = call.stop is not None and call.base < 0
            if attempt.where is not None and not submitted:  # else its future has what came of it
                reply = _timed_out(attempt, "was cancelled")
            self._settle(attempt, reply)

    def _go_on(self, attempt: Attempt, coroutine: Coroutine[Any, Any, Any]) -> None:
        """A coroutine has returned another, which is the rest of it."""
        if attempt.where is None:
            self._attempt(attempt.call, coroutine, attempt.started)
            return
        coroutine.close()
        if not attempt.over:
            self._settle(attempt, _timed_out(attempt, "was cancelled"))

    def _settle(self, attempt: Attempt, reply: Reply) -> None:
        attempt.over = True
        slot = attempt.call.slot
        if slot < self._marked:
            words = self._words[slot]
            words[DONE] += 1
            words[CALL] = 0
            if slot:  # an executor with nothing to do shows one worker
                words[PID] = 0
        self._slots.append(slot)
        self._attempts[slot] = None
        del attempt
        self._over(reply)

    # --- calls that are to end ------------------------------------------------------------------------

    def stop(self, chosen: Callable[[Call], bool], stop: Stop) -> None:
        """Have the chosen calls that run end."""
        for attempt in list(self._attempts):
            if attempt is not None and chosen(attempt.call):
                stop_call(attempt.call, stop)
                self._cancel(attempt)

    def stop_one(self, call: Call, stop: Stop) -> None:
        """Have a call end, if it runs."""
        attempt = self._attempts[call.slot]
        if attempt is not None and attempt.call is call:
            stop_call(call, stop)
            self._cancel(attempt)

    def _look_at(self, attempt: Attempt, limit: float) -> None:
        """Its time should be over. A loop's clock may be coarse, and a task begin late."""
        left = attempt.started + limit - perf_counter() if attempt.started else limit
        if left > 0:
            attempt.timer = self._loop.call_later(max(left, 0.001), self._look_at, attempt, limit)
        else:
            self._cancel(attempt)

    def _cancel(self, attempt: Attempt) -> None:
        if attempt.over or attempt.ending or attempt.done():
            return
        if not attempt.started:
            # A task that is cancelled before it begins never does, and so would not end either.
            self._loop.call_soon(self._cancel, attempt)
            return
        attempt.ending = True
        if attempt.timer is not None:
            attempt.timer.cancel()
        if attempt.where is not None:
            # It blocked the loop, was interrupted, and may need a while to clean up.
            attempt.timer = self._loop.call_later(GRACE, self._cancel_now, attempt)
            return
        coroutine: Any = attempt.get_coro()
        lines = standing(coroutine)[coroutine.cr_code is _watched.__code__ :]  # without a frame of ours
        attempt.where = "".join(["Traceback (most recent call last):\n", *lines, "asyncio.CancelledError"])
        self._cancel_now(attempt)

    def _cancel_now(self, attempt: Attempt) -> None:
        attempt.timer = self._loop.call_later(GRACE, self._give_up, attempt)
        attempt.cancel()

    def _give_up(self, attempt: Attempt) -> None:
        """Leave a coroutine behind that goes on although it was cancelled: its place is another's now."""
        stop = attempt.call.stop
        if stop is not None and not stop.abandon:
            return  # nobody waits for its outcome
        reply = _timed_out(attempt, "could not be cancelled: its coroutine still runs")
        log.warning("%s; another has taken its place", reply[2])
        self._settle(attempt, reply)


def _is_watched(call: Call) -> bool:
    """Whether its time counts from its first step: other tasks may have kept the loop until then."""
    return call.limit is not None


def _coroutine(call: Call) -> Coroutine[Any, Any, Any]:
    """What the call's task runs."""
    if _is_watched(call):
        return _watched(call)
    args, kwargs = call.payload
    try:
        coroutine = call.fn.target(*args, **kwargs)
    except TypeError:  # it can't take these arguments: its task fails with that
        return _watched(call)
    if not call.sink._runs_again:
        call.payload = None
    return coroutine  # type: ignore[no-any-return]


async def _watched(call: Call) -> Any:
    """Run a call from within its task."""
    attempt = asyncio.current_task()
    assert isinstance(attempt, Attempt)
    attempt.started = attempt.started or perf_counter()
    args, kwargs = call.payload
    return await call.fn.target(*args, **kwargs)


def _without_own_frame(error: BaseException) -> BaseException:
    """The error of a task, with the traceback of what is the user's."""
    trace = error.__traceback__
    if trace is not None and trace.tb_frame.f_code is _watched.__code__:
        return error.with_traceback(trace.tb_next)
    return error


def _timed_out(attempt: Attempt, what: str) -> Reply:
    error: Any = overdue_error(attempt.call, what)
    error.__cause__ = RemoteTraceback(attempt.where or "")
    return attempt.call, RAISED, error, perf_counter() - attempt.started, 1
