"""The future of a submitted call, which is also the sink that its reply ends up in."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import weakref
from collections.abc import Generator
from contextlib import suppress
from typing import Any, Generic, TypeVar

from okazja._core.messages import Call, Reply
from okazja._transport.codec import ERROR, RAISED, VALUE, decode_error, decode_value
from okazja.errors import describe

__all__ = ["Future", "report_lost"]

T = TypeVar("T")

log = logging.getLogger("okazja")


class Future(concurrent.futures.Future[T], Generic[T]):
    """A ``concurrent.futures.Future`` that can also be awaited.

    An exception that nobody has looked at when the future goes away is logged, once, with its
    traceback, by the logger ``okazja``. Looking means: ``result``, ``exception``, ``await``.
    """

    name = ""  # of the function that was submitted
    _lost: _Lost | None = None

    def result(self, timeout: float | None = None) -> T:
        """The result, waited for up to ``timeout`` seconds (default: for ever).

        Raises what the call raised, TimeoutError, or CancelledError.
        """
        try:
            return super().result(timeout)
        finally:
            self._looked_at()
            self = None  # type: ignore[assignment]  # noqa: PLW0642  (breaks a cycle with the traceback)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None. Raises TimeoutError or CancelledError."""
        try:
            return super().exception(timeout)
        finally:
            self._looked_at()

    def set_exception(self, exception: BaseException | None) -> None:
        """Set the exception; for executors and tests."""
        if exception is not None:
            self._lost = _Lost(exception, self.name)
        super().set_exception(exception)

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio

        # Not asyncio.wrap_future: before CPython 3.12 that never completes if the call raised StopIteration.
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def complete() -> None:
            if not done.done():
                done.set_result(None)

        def tell(_: object) -> None:
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(complete)

        self.add_done_callback(tell)
        try:
            yield from done
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self.cancelled():
            raise asyncio.CancelledError
        return self.result()  # a StopIteration leaves this generator as RuntimeError (PEP 479)

    def __repr__(self) -> str:
        shown = super().__repr__()
        return f"{shown[:-1]} of {self.name}>" if self.name else shown

    def _looked_at(self) -> None:
        lost = self._lost
        if lost is not None and self.done():
            lost.error = self._lost = None

    def _after_fork(self, error: BaseException) -> None:
        """In a child of a fork, where nobody will complete it. No callback runs, no lock is waited for."""
        self._condition = threading.Condition()
        self._done_callbacks.clear()  # type: ignore[attr-defined]  # of the base class, untyped
        if not self.done():
            super().set_exception(error)

    # --- as the sink of its call

    def _begin(self) -> bool:
        if self._state == "RUNNING":  # it was sent before, and came back unstarted
            return True
        return self.set_running_or_notify_cancel()

    def _settle(self, _: Call, reply: Reply) -> None:
        form, body = reply[1], reply[2]
        if form == VALUE or form == 0:
            self.set_result(body)
        elif form == RAISED:
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
        self._invoke_callbacks()  # type: ignore[attr-defined]


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
    """In a child of a fork: what was lost is the parent's to report."""
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
