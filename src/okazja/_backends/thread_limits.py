"""Calls on threads that may take only so long, or are stopped: interrupted, and left behind where that does not help.

An exception can be raised in another thread, but it lands wherever that thread is by then. So that it never
lands outside of its task, whoever wants to end an attempt takes its ``end``, of which there is one: the
thread when the task has returned, or the watcher before it interrupts. A thread that comes too late waits
until the exception is on its way and takes it, so that nothing is left of it when it goes on.
"""

from __future__ import annotations

import _thread
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from time import monotonic

from okazja._backends import serial
from okazja._core.messages import Call, Reply, Stop
from okazja._core.timeouts import Step, Timeouts, overdue_error, stop_call
from okazja._transport.codec import RAISED
from okazja._worker.coroutines import runs_coroutine, standing_in, wake
from okazja._worker.interrupt import Interrupted
from okazja.errors import RemoteTraceback

__all__ = ["ThreadLimits", "may_be_daemon", "raise_in", "take"]

LINGER = 0.1  # seconds that the watcher stays when nothing runs, so that short calls don't start one each

Abandon = Callable[["Attempt", Reply], None]  # gives the thread's place to another, delivers the reply


class Attempt:
    """One execution of a call that has a limit or may be stopped."""

    __slots__ = ("_end", "_report", "call", "ident", "sent", "started", "thread", "where")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.thread = threading.current_thread()
        self.ident = threading.get_ident()
        self.started = 0.0  # 0: not yet
        self.where: str | None = None  # where it was interrupted; None: it was not
        self.sent = _thread.allocate_lock()  # held until the interrupt is on its way
        self.sent.acquire()
        self._end = deque([None])
        self._report = deque([None])

    def take_end(self) -> bool:
        """Whether the caller alone may end it: one atomic step, which no interrupt can tear."""
        return take(self._end)

    def take_report(self) -> bool:
        """Whether the caller alone may tell what came of it."""
        return take(self._report)


def take(token: deque[None]) -> bool:
    """Whether there was one left to take; no lock, no step in between."""
    try:
        token.pop()
    except IndexError:
        return False
    return True


class ThreadLimits:
    """The attempts that run, and the thread that watches them while there are any."""

    def __init__(self, name: str, abandon: Abandon) -> None:
        self._name = name
        self._abandon = abandon
        # Re-entrant: a stream may be finalized, and so stopped, anywhere. Entered by itself, as that of a run.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._attempts: set[Attempt] = set()
        self._timeouts = Timeouts()
        self._next = 0.0  # when the watcher looks
        self._last = 0.0  # when the last attempt ended
        self._closed = False
        self.watcher: threading.Thread | None = None

    def run(self, call: Call) -> Reply | None:
        """Run a call in this thread, up to its limit. None: this thread was left behind, and has to end."""
        attempt = Attempt(call)
        try:
            self._register(attempt)
        except RuntimeError as error:  # no more threads
            return call, RAISED, error, 0.0, 1
        reply: Reply | None = None
        try:
            attempt.started = monotonic()
            reply = serial.execute(call)
            if not attempt.take_end():
                attempt.sent.acquire()
                _withdraw()
        except Interrupted:
            pass  # it was late; there is only one
        self._unregister(attempt)
        if not attempt.take_report():
            return None
        if attempt.where is None:
            return reply
        return _timed_out(attempt, "was interrupted")

    def _register(self, attempt: Attempt) -> None:
        call = attempt.call
        with self._lock:
            halt = getattr(call.sink, "halt", None)
            if halt is not None:  # since the call was begun
                stop_call(call, halt)
            if call.limit is not None:  # else nobody needs to watch, unless it is stopped
                self._watch_from(monotonic() + call.limit)
            self._attempts.add(attempt)

    def _watch_from(self, when: float) -> None:
        """With the lock held: have the watcher look at that time."""
        if self.watcher is None:
            watcher = threading.Thread(
                target=self._watch, name=f"{self._name}-watcher", daemon=may_be_daemon()
            )
            self._next = when
            watcher.start()
            self.watcher = watcher
        elif when < self._next:
            self._changed.notify_all()

    def stop(self, chosen: Callable[[Call], bool], stop: Stop) -> None:
        """Interrupt the chosen calls that run now."""
        with self._lock:
            calls = [attempt.call for attempt in list(self._attempts) if chosen(attempt.call)]
            for call in calls:
                stop_call(call, stop)
            if calls:
                self._watch_from(0.0)

    def _unregister(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts.discard(attempt)
            if attempt.call.limit is None:
                return
            self._timeouts.gone(attempt)
            if not self._attempts:
                self._last = monotonic()
                if self._closed:
                    self._changed.notify_all()

    def close(self) -> None:
        """The watcher ends with the last attempt."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    # --- the watcher

    def _watch(self) -> None:
        while True:
            with self._lock:
                due, pause = self._look(monotonic())
                if pause is None:
                    self.watcher = None
                    return
                if not due:
                    self._next = monotonic() + pause
                    self._changed.wait(pause)
                    continue
            for step, attempt in due:
                if step is Step.INTERRUPT:
                    _interrupt(attempt)
                else:
                    self._give_up(attempt)

    def _look(self, now: float) -> tuple[list[tuple[Step, Attempt]], float | None]:
        """What to do, and in how many seconds to look again; None: there is nothing to watch any more."""
        due: list[tuple[Step, Attempt]] = []
        pause: float | None = None
        for attempt in list(self._attempts):
            limit = attempt.call.limit
            if limit is None:
                continue
            step, left = self._timeouts.look(
                attempt, attempt if attempt.started else None, attempt.started, limit, now
            )
            pause = left if pause is None else min(pause, left)
            if step is not Step.WAIT:
                due.append((step, attempt))
        if pause is None:  # it lingers
            left = 0.0 if self._closed else self._last + LINGER - now
            return due, left if left > 0 else None
        return due, pause

    def _give_up(self, attempt: Attempt) -> None:
        """Leave a thread behind in its call, which nothing can end."""
        stop = attempt.call.stop
        if (stop is not None and not stop.abandon) or not attempt.take_report():
            return
        self._unregister(attempt)
        what = f"could not be interrupted: it still runs in thread {attempt.thread.name}"
        self._abandon(attempt, _timed_out(attempt, what))


def may_be_daemon() -> bool:
    """Whether daemon threads are allowed; some subinterpreters have none."""
    allowed: Callable[[], bool] = getattr(threading, "_daemon_threads_allowed", lambda: True)
    return allowed()


def _interrupt(attempt: Attempt) -> None:
    if not attempt.take_end():
        return
    try:
        attempt.where = ""
        attempt.where = _where(attempt.ident)
        raise_in(attempt.ident, Interrupted)
        wake(attempt.ident)
    finally:
        attempt.sent.release()
    waiting = sys.modules.get("okazja.sync.local.waiting")
    if waiting is not None:
        waiting.rouse(attempt.ident)  # it may sleep at a lock, where it sees nothing


def raise_in(ident: int, kind: type[BaseException]) -> None:
    """Raise an exception in a thread as soon as it runs Python code. One that was not raised yet is replaced."""
    import ctypes  # a millisecond for the first Executor of a program, most of which never interrupt a thread

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))


class _Nothing(BaseException):
    """Takes the place of an exception that is wanted no more."""


def _withdraw() -> None:
    """Take back what was to be raised in this thread.

    It is replaced and caught rather than just taken away: before CPython 3.13 all threads would go on looking for it
    at every turn, for ever, which makes them slower (3.12) and hangs whatever is traced (3.11).
    """
    try:
        raise_in(threading.get_ident(), _Nothing)
        while True:
            pass
    except _Nothing:
        pass


def _where(ident: int) -> str:
    """Where a thread stands in its task; if that is a coroutine, where it waits."""
    if waits := standing_in(ident):
        return "".join(["Traceback (most recent call last):\n", *waits, "Interrupted"])
    frame = sys._current_frames().get(ident)
    inner = takewhile(
        lambda pair: pair[0].f_code is not serial.execute.__code__ and not runs_coroutine(pair[0]),
        traceback.walk_stack(frame),
    )
    lines = traceback.StackSummary.extract(inner).format()
    return "".join(["Traceback (most recent call last):\n", *reversed(lines), "Interrupted"])


def _timed_out(attempt: Attempt, what: str) -> Reply:
    call = attempt.call
    error = overdue_error(call, what)
    error.__cause__ = RemoteTraceback(attempt.where or "")
    return call, RAISED, error, monotonic() - attempt.started, 1
