"""How a coroutine waits for a primitive: without blocking its event loop, and without ever losing what it waited for.

A helper thread waits until the thing is *probably* there, and takes nothing; then the event loop's own thread tries
again without blocking. So a cancelled wait has nothing to give back, and an owner is always the thread of the loop,
never a helper.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

__all__ = ["Enrolled", "aside", "check_seconds", "deadline_of", "in_loop", "left_until", "regained"]

SLICE = 0.25  # seconds after which a helper looks whether its coroutine was cancelled
IDLE = 1.0  # seconds that a helper without work stays

_modules = sys.modules


def in_loop() -> bool:
    """Whether the calling thread runs an event loop right now. Cheap, and never imports asyncio."""
    return "asyncio.events" in _modules and _modules["asyncio.events"]._get_running_loop() is not None


def deadline_of(timeout: float | None) -> float | None:
    """The time on the monotonic clock at which a wait of so many seconds is over; None and negative: never."""
    return None if timeout is None or timeout < 0 else monotonic() + timeout


def check_seconds(timeout: float | None) -> None:
    """Raise ValueError for what is no time at all, as threading does."""
    if timeout is not None and timeout != timeout:  # noqa: PLR0124  (only NaN is not itself)
        raise ValueError("timeout must be a number of seconds or None, got nan")


def left_until(deadline: float | None) -> float | None:
    """The seconds that are left, at least 0; None: for ever."""
    return None if deadline is None else max(0.0, deadline - monotonic())


async def aside(wait: Callable[[float], object], deadline: float | None) -> bool:
    """Have a helper thread call ``wait(seconds)`` again and again until it says True; False: the time is over.

    ``wait`` may be called many times, takes nothing, and goes on in its thread for at most `SLICE` after the
    coroutine was cancelled. Its error is raised here.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()
    over = threading.Event()

    def work() -> None:
        value, error = False, None
        try:
            while not over.is_set():
                left = left_until(deadline)
                if wait(SLICE if left is None else min(SLICE, left)):
                    value = True
                    break
                if left is not None and left <= SLICE:
                    break
        except BaseException as problem:
            error = problem
        if not over.is_set():
            _tell(loop, done, value, error)

    _have_done(work)
    try:
        return await done
    finally:
        over.set()


class Enrolled:
    """A coroutine's wait for a notification: a helper thread is the waiter, from before the lock is let go of."""

    def __init__(
        self,
        enrol: Callable[[], Any],
        wait: Callable[[Any, float], bool],
        withdraw: Callable[[Any], bool],
        pass_on: Callable[[], None],
    ) -> None:
        self._enrol, self._wait, self._withdraw, self._pass_on = enrol, wait, withdraw, pass_on
        self._over = threading.Event()

    async def begin(self, deadline: float | None) -> None:
        """Return when the waiter counts as one."""
        import asyncio

        loop = asyncio.get_running_loop()
        self._done: asyncio.Future[bool] = loop.create_future()
        enrolled: asyncio.Future[bool] = loop.create_future()
        _have_done(lambda: self._work(loop, enrolled, deadline))
        try:
            await enrolled
        except BaseException:
            self._over.set()
            raise

    async def end(self) -> bool:
        """Return when it was notified, or False when its time is over."""
        try:
            return await self._done
        except BaseException:
            self._over.set()
            told = self._done.done() and not self._done.cancelled() and self._done.exception() is None
            if told and self._done.result():
                _have_done(self._pass_on)
            raise

    def _work(self, loop: Any, enrolled: Any, deadline: float | None) -> None:
        try:
            token = self._enrol()
        except BaseException as error:
            _tell(loop, enrolled, False, error)
            return
        _tell(loop, enrolled, True, None)
        notified = False
        failure: BaseException | None = None
        try:
            while not notified and not self._over.is_set():
                left = left_until(deadline)
                if left is not None and left <= 0:
                    break
                notified = self._wait(token, SLICE if left is None else min(SLICE, left))
        except BaseException as problem:
            failure = problem
        if not notified:
            notified = self._withdraw(token)
        if notified and self._over.is_set():
            self._pass_on()
        else:
            _tell(loop, self._done, notified, failure, self._pass_on if notified else None)


def _tell(
    loop: Any,
    future: Any,
    value: bool,
    error: BaseException | None,
    unheard: Callable[[], None] | None = None,
) -> None:
    """Settle a future of another thread's loop; have ``unheard`` called in a helper if nobody there still waits."""

    def settle() -> None:
        if future.done():
            if unheard is not None:
                _have_done(unheard)
        elif error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the loop is closed
        if unheard is not None:
            unheard()


async def regained(acquire: Callable[[], Awaitable[object]], times: int) -> None:
    """Acquire as often, whatever happens meanwhile; a cancellation is raised when it is done."""
    import asyncio

    cancelled: BaseException | None = None
    while times:
        try:
            await acquire()
            times -= 1
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


class _Helper(threading.Thread):
    """A thread that waits on behalf of coroutines, one at a time, and stays for a while for the next."""

    def __init__(self) -> None:
        super().__init__(name="okazja-waits", daemon=True)
        self.inbox: SimpleQueue[Callable[[], Any]] = SimpleQueue()

    def run(self) -> None:
        while True:
            try:
                job = self.inbox.get(timeout=IDLE)
            except Empty:
                try:
                    _idle.remove(self)
                except ValueError:
                    continue  # taken a moment ago: its job is on its way
                return
            job()
            del job
            _idle.append(self)


_idle: deque[_Helper] = deque()


def _have_done(job: Callable[[], Any]) -> None:
    try:
        helper = _idle.pop()
    except IndexError:
        helper = _Helper()
        helper.start()
    helper.inbox.put(job)


os.register_at_fork(after_in_child=_idle.clear)  # threads don't survive a fork
