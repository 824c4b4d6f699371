"""The threads beside an event loop: they run the plain functions, and tell the loop when they are free again."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any

from okazja._backends.base import Deliver, Spec
from okazja._backends.threads import ThreadBackend
from okazja._core.messages import Call, Stop
from okazja._worker.coroutines import AnyCoroutine, set_home
from okazja._worker.own_loop import boxed, unboxed

__all__ = ["PlainThreads"]


class PlainThreads(ThreadBackend):
    """A thread backend that reports each call that is over: it had its reply, was refused, or taken back."""

    def __init__(self, over: Callable[[int], None]) -> None:
        self._tell_over = over  # so many calls are over; in any thread
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, spec: Spec, deliver: Deliver) -> None:
        """See Backend."""

        def deliver_and_tell(replies: Any, events: Any) -> float | None:
            try:
                return deliver(replies, events)
            finally:
                self._tell_over(len(replies))

        super().open(spec, deliver_and_tell)

    def use(self, loop: asyncio.AbstractEventLoop) -> None:
        """Where coroutines run that the calls return."""
        self._loop = loop

    def _initialize(self) -> bool:
        assert self._loop is not None
        set_home(_Beside(self._loop))
        return super()._initialize()

    def _refuse(self, call: Call) -> None:
        super()._refuse(call)
        self._tell_over(1)

    def drop(self) -> list[Call]:
        """See Backend."""
        calls = super().drop()
        self._tell_over(len(calls))
        return calls

    def stop(self, chosen: Callable[[Call], bool], stop: Stop) -> list[Call]:
        """See Backend."""
        calls = super().stop(chosen, stop)
        self._tell_over(len(calls))
        return calls


class _Beside:
    """Runs the coroutines that a thread's calls return on the loop beside it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: concurrent.futures.Future[Any] | None = None
        self.running: AnyCoroutine | None = None

    def run(self, coroutine: AnyCoroutine) -> Any:
        """See Home. Its context variables are those of the caller, from which the call to the loop takes them."""
        box: list[Any] = []
        self.running = coroutine
        self._future = asyncio.run_coroutine_threadsafe(boxed(coroutine, box), self._loop)
        del coroutine
        try:
            self._future.result()
            return unboxed(box)
        finally:
            self._future = self.running = None

    def wake(self) -> None:
        """See Home. The exception lands in the thread once that waits no more."""
        future = self._future
        if future is not None:
            future.cancel()

    def close(self) -> None:
        """See Home. The loop is the backend's."""
