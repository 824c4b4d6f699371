"""The future of a submitted call, which is also the sink that its reply ends up in."""

from __future__ import annotations

import _thread
import concurrent.futures
import contextvars
import logging
import threading
import weakref
from collections.abc import Callable, Generator
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from okazja._core.messages import Call, Reply
from okazja._engine.library import library
from okazja._transport import waiting
from okazja._transport.codec import ERROR, RAISED, VALUE, decode_error, decode_value
from okazja.errors import TaskCancelled, describe

__all__ = ["Future", "report_lost"]

T = TypeVar("T")

log = logging.getLogger("okazja")

LONG_ENOUGH = 0.01  # seconds; a shorter timeout is not lengthened by a look for the reply
_OPEN = (PENDING, RUNNING)
_CANCELLED = (CANCELLED, CANCELLED_AND_NOTIFIED)
_CLOSED = (FINISHED, *_CANCELLED)
_guard = threading.RLock()  # around a future's state while it has no condition; never held for longer


class Future(concurrent.futures.Future[T], Generic[T]):
    """A ``concurrent.futures.Future`` that can also be awaited.

    An exception that nobody has looked at when the future goes away is logged, once, with its
    traceback, by the logger ``okazja``. Looking means: ``result``, ``exception``, ``await``.
    """

    name = ""  # of the function that was submitted
    _lost: _Lost | None = None
    # Its condition, made when somebody asks for it or adds a callback: most futures are completed without,
    # and a condition costs more than the rest of a future.
    _made: threading.Condition | None = None
    _sleepers: tuple[_thread.LockType, ...] = ()  # locks of threads that wait for the result
    # Gives the waiting thread something better to do than to sleep, where the call may be over in no time.
    _assist: Callable[[Future[T]], None] | None = None
    _call: Call | None = None
    _end: Callable[[Call], None] | None = None  # has its call end while it runs, where that is possible
    _unwanted = False  # nobody waits for it any more, so nobody misses its error

    def __init__(self) -> None:
        self._state = PENDING
        self._result: T | None = None
        self._exception: BaseException | None = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Callable[[Future[T]], object]] = []

    if not TYPE_CHECKING:  # where it is an attribute of the base class

        @property
        def _condition(self) -> threading.Condition:
            if self._made is None:
                with _guard:
                    if self._made is None:
                        self._made = threading.Condition()
            return self._made

    def result(self, timeout: float | None = None) -> T:
        """The result, waited for up to ``timeout`` seconds (default: for ever).

        Raises what the call raised, TimeoutError, or CancelledError.
        """
        try:
            self._wait(timeout)
            if self._exception is not None:
                raise self._exception
            return self._result  # type: ignore[return-value]  # set before the state was
        finally:
            self._looked_at()
            self = None  # type: ignore[assignment]  # noqa: PLW0642  (breaks a cycle with the traceback)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None. Raises TimeoutError or CancelledError."""
        try:
            self._wait(timeout)
            return self._exception
        finally:
            self._looked_at()

    def _wait(self, timeout: float | None) -> None:
        """Wait until it is finished. Raises TimeoutError or CancelledError.

        Not with the condition: entering one is a Python function, and an exception that breaks in there
        (Ctrl-C) would leave it locked for ever.
        """
        assist = self._assist
        if assist is not None and (timeout is None or timeout > LONG_ENOUGH):
            assist(self)
        if self._state not in _CLOSED:
            sleeper = _thread.allocate_lock()
            sleeper.acquire()
            with _guard:
                if self._state not in _CLOSED:
                    self._sleepers = (*self._sleepers, sleeper)
            waiting.for_calls[_thread.get_ident()] = self if timeout is None else None
            try:
                while self._state not in _CLOSED and _acquire(sleeper, timeout):
                    pass
            finally:
                waiting.for_calls.pop(_thread.get_ident(), None)
        if self._state in _CANCELLED:
            raise concurrent.futures.CancelledError
        if self._state != FINISHED:
            raise TimeoutError(f"{self.name or 'the call'} was not done within {timeout} seconds")

    def _wake(self) -> None:
        """The state has changed for good: those who wait go on."""
        with _guard:
            sleepers, self._sleepers = self._sleepers, ()
        for sleeper in sleepers:
            sleeper.release()

    def set_result(self, result: T) -> None:
        """Set the result; for executors and tests."""
        with _guard:
            alone = self._made is None and self._state in _OPEN
            if alone:  # nobody asks for its condition, and nobody is to be called
                self._result = result
                self._state = FINISHED
        if not alone:
            super().set_result(result)
        else:
            self._assist = self._call = self._end = None
            if self._sleepers:
                self._wake()

    def set_exception(self, exception: BaseException | None) -> None:
        """Set the exception; for executors and tests."""
        if exception is not None:
            self._lost = None if self._unwanted else _Lost(exception, self.name)
        super().set_exception(exception)

    def _invoke_callbacks(self) -> None:
        """What the base class does last when the state has changed for good."""
        self._assist = self._call = self._end = None  # with it the arguments
        self._wake()
        while self._done_callbacks:
            callback = self._done_callbacks.pop(0)  # before the call: none is called twice
            try:
                callback(self)
            except Exception:
                logging.getLogger("concurrent.futures").exception(
                    "exception calling callback for %r", self
                )  # as the base class says it

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in a coroutine, under asyncio or trio. If that is cancelled, so is the call, unless it runs.

        A coroutine that runs with the backend ``asyncio`` is cancelled as well.
        """
        here = library()
        if here is None:
            raise RuntimeError(
                f"no event loop runs here: take result() of {self!r}, or await it in a coroutine"
            )
        if not self.done():
            bell = here.bell()
            self.add_done_callback(lambda _: bell.ring())
            try:
                yield from bell.__await__()
            except BaseException:
                if not self.cancel():
                    self._cancel_running()
                raise
        if self.cancelled():
            raise here.cancelled if here.raises_cancelled else concurrent.futures.CancelledError
        return self.result()  # a StopIteration leaves this generator as RuntimeError (PEP 479)

    def _cancel_running(self) -> None:
        """Whoever awaited this was cancelled while it runs: end it where that harms nothing else."""
        call, end = self._call, self._end
        if call is not None and end is not None:
            end(call)
            self._unwanted = True

    def _get_snapshot(self) -> Any:
        """How asyncio.wrap_future looks at a future, from CPython 3.15 on."""
        snapshot = super()._get_snapshot()  # type: ignore[misc]  # not there before
        self._looked_at()
        return snapshot

    def __repr__(self) -> str:
        shown = super().__repr__()
        return f"{shown[:-1]} of {self.name}>" if self.name else shown

    def _looked_at(self) -> None:
        lost = self._lost
        if lost is not None and self.done():
            lost.error = self._lost = None

    def _after_fork(self, error: BaseException) -> None:
        """In a child of a fork, where nobody will complete it. No callback runs, no lock is waited for."""
        self._made = self._assist = self._call = self._end = None
        self._sleepers = ()
        self._done_callbacks.clear()
        for waiter in self._waiters:  # of wait() and as_completed(); some thread may have held their locks
            waiter.event._at_fork_reinit()
            if hasattr(waiter, "lock"):
                waiter.lock = threading.Lock()
        if not self.done():
            super().set_exception(error)

    def _context(self) -> contextvars.Context:
        """What context variables its call sees where memory is shared: those of the caller, now."""
        return contextvars.copy_context()

    # --- as the sink of its call

    _runs_again = False

    def _refused(self, call: Call) -> None:
        """It was cancelled."""

    def _begin(self) -> bool:
        if self._state == RUNNING:  # it was sent before, and came back unstarted
            return True
        with _guard:
            if self._made is None and self._state == PENDING:
                self._state = RUNNING
                return True
        return self.set_running_or_notify_cancel()

    def _settle(self, call: Call, reply: Reply) -> None:
        form, body = reply[1], reply[2]
        if form == VALUE or form == 0:
            self.set_result(body)
        elif form == RAISED:
            if call.stop is not None and isinstance(body, TaskCancelled):
                self._unwanted = True  # whoever stopped it knows
            self.set_exception(body)
        elif form == ERROR:
            self.set_exception(decode_error(body))
        else:
            try:
                value = decode_value(form, body)
            except Exception as error:
                self.set_exception(error)
            else:
                self.set_result(value)
        self = None  # type: ignore[assignment]  # noqa: PLW0642  (an exception's frames may lead here)

    def _settle_again(self, call: Call, reply: Reply) -> None:
        """As ``_settle``, after a thread was interrupted (Ctrl-C) in the middle of that."""
        if not self.done():
            self._settle(call, reply)
            return
        with self._condition:
            for waiter in self._waiters:
                if self not in waiter.finished_futures:
                    waiter.add_result(self)
            self._condition.notify_all()
        self._invoke_callbacks()

    def _fail(self, _: Call, error: BaseException, item: int | None = None) -> None:
        self.set_exception(error)

    def _drop(self, _: Call) -> None:
        """Cancelled after it was sent, but before it began."""
        if self.cancel():
            self.set_running_or_notify_cancel()
            return
        with self._condition:
            self._state = "CANCELLED_AND_NOTIFIED"
            for waiter in self._waiters:
                waiter.add_cancelled(self)
            self._condition.notify_all()
        self._invoke_callbacks()


def _acquire(lock: _thread.LockType, timeout: float | None) -> bool:
    """False when the time is over; the longest that a lock can wait may be shorter than asked for."""
    if timeout is None:
        return lock.acquire()
    lock.acquire(timeout=min(max(timeout, 0), threading.TIMEOUT_MAX))
    return timeout > threading.TIMEOUT_MAX


class _Lost:
    """An exception on a future; says so if it dies without having been looked at."""

    __slots__ = ("__weakref__", "error", "name")

    def __init__(self, error: BaseException, name: str) -> None:
        self.error: BaseException | None = error
        self.name = name
        _unseen.add(self)

    def __del__(self) -> None:
        if self.error is not None:
            task = f"a task ({self.name})" if self.name else "a task"
            report_lost(self.error, f"{task} failed and nobody looked at its future")


_unseen: weakref.WeakSet[_Lost] = weakref.WeakSet()


def report_all_lost() -> None:
    """At the end of the interpreter, when futures may live longer than what it takes to log."""
    for lost in list(_unseen):
        lost.__del__()
        lost.error = None


def forget_lost() -> None:
    """In a child of a fork: what was lost is the parent's to report, and some thread may have held the guard."""
    global _guard
    _guard = threading.RLock()
    for lost in list(_unseen):
        lost.error = None


def report_lost(error: BaseException, what: str) -> None:
    """Log an error that would be lost. Never raises: it is called while objects are being deleted."""
    with suppress(Exception):
        log.error(
            "%s: %s",
            what,
            describe(error),
            exc_info=(type(error), error, error.__traceback__),
        )
