"""What a lock, a semaphore, a condition, an event and a barrier are, whatever the backend behind them.

Names, arguments, results and errors are those of ``threading``. On top of that each has an **async face**: a method
that may block returns an awaitable if the calling thread runs an event loop (``await lock.acquire()``,
``async with lock``); everywhere else it is plain. A ``with`` statement is always plain: in a coroutine it blocks the
loop as long as it has to wait.

Who owns what: a thread, as in ``threading``; what a coroutine takes is owned by the thread of its event loop. An RLock
that is taken by a coroutine is owned by its task: another task of the same loop waits.

A backend implements the methods with one underscore. They are plain and may block; ``_await_…`` wait until a further
try is worth it and take nothing (see `okazja.sync.coroutines`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal

from okazja.sync.coroutines import aside, check_seconds, deadline_of, in_loop, left_until
from okazja.sync.tasks import acquire_by_task, current_task, release_by_task, try_by_task

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "Lockable",
    "OnOwnerDeath",
    "RLock",
    "Semaphore",
]

OnOwnerDeath = Literal["warn", "raise"]


class Lockable(ABC):
    """What can be acquired and released, by ``with`` and ``async with`` as well."""

    __slots__ = ()

    @abstractmethod
    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Plain acquire. Raises ValueError for a timeout that makes no sense."""

    @abstractmethod
    def release(self) -> None:
        """Give it back. Raises RuntimeError (a semaphore: ValueError) if there is nothing to give back."""

    def _await_free(self, timeout: float) -> bool:
        """Wait until it was free for a moment."""
        if not self._acquire(True, timeout):
            return False
        self.release()
        return True

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> Any:
        """Take it; True, or False if it was not to be had in time.

        timeout: seconds, -1 (default) or None: for ever. In a thread that runs an event loop the result is an
        awaitable, except with ``blocking=False``. Raises ValueError for a timeout with ``blocking=False`` or below
        zero.
        """
        timeout = -1 if timeout is None else timeout
        if timeout != -1:
            check_seconds(timeout)
        if blocking and in_loop():
            return self._acquire_soon(timeout)
        return self._acquire(blocking, timeout)

    async def _acquire_soon(self, timeout: float = -1) -> bool:
        check_seconds(timeout)
        if timeout != -1 and timeout < 0:
            raise ValueError("timeout value must be a non-negative number")
        deadline = deadline_of(timeout)
        while not self._acquire(False):
            if not await aside(self._await_free, deadline):
                return self._acquire(False)
        return True

    def __enter__(self) -> bool:
        return self._acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def __aenter__(self) -> bool:
        return await self._acquire_soon()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Lock(Lockable):
    """As ``threading.Lock``: whoever wants to may release it, also a thread that did not acquire it."""

    __slots__ = ()

    @abstractmethod
    def locked(self) -> bool:
        """Whether somebody has it."""


class RLock(Lockable):
    """As ``threading.RLock``: its owner may acquire it again, and has to release it as often."""

    __slots__ = ()

    @property
    def _identity(self) -> object:
        """Equal for all objects of this process that stand for the same lock."""
        return id(self)

    @abstractmethod
    def _is_owned(self) -> bool:
        """Whether the calling thread owns it."""

    @abstractmethod
    def _release(self) -> None:
        """Plain release."""

    @abstractmethod
    def locked(self) -> bool:
        """Whether somebody has it."""

    def _await_free(self, timeout: float) -> bool:
        if not self._acquire(True, timeout):
            return False
        self._release()
        return True

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> Any:
        """Take it; True, or False if it was not to be had in time.

        timeout: seconds, -1 (default) or None: for ever. In a thread that runs an event loop the owner is the current
        task, and the result an awaitable, except with ``blocking=False``. Raises ValueError for a timeout with
        ``blocking=False`` or below zero.
        """
        timeout = -1 if timeout is None else timeout
        if timeout != -1:
            check_seconds(timeout)
        if not in_loop():
            return self._acquire(blocking, timeout)
        if blocking:
            return self._acquire_soon(timeout)
        return try_by_task(self._identity, lambda: self._acquire(False, timeout))

    def _acquire_soon(self, timeout: float = -1) -> Coroutine[Any, Any, bool]:
        # For the task that calls this: asyncio.wait_for may await it in a task of its own.
        return acquire_by_task(self._identity, current_task(), self._acquire_plain_soon, deadline_of(timeout))

    async def _acquire_plain_soon(self, timeout: float = -1) -> bool:
        """For the thread of this loop, whichever task it runs."""
        return await super()._acquire_soon(timeout)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def release(self) -> None:
        """Give it back once. Raises RuntimeError if the caller (a thread; in a coroutine, a task) doesn't own it."""
        if in_loop():
            release_by_task(self._identity, self._release)
        else:
            self._release()


class Semaphore(Lockable):
    """As ``threading.Semaphore``: a number of permits, each of which one acquires and anybody releases."""

    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> Any:
        """Take a permit; True, or False if none was to be had in time (seconds; None, the default: for ever).

        In a thread that runs an event loop the result is an awaitable, except with ``blocking=False``.
        Raises ValueError for a timeout with ``blocking=False``.
        """
        if blocking and in_loop():
            return self._acquire_soon(-1 if timeout is None else max(timeout, 0))
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        return self._acquire(blocking, -1 if timeout is None else max(timeout, 0))

    @abstractmethod
    def release(self, n: int = 1) -> None:
        """Give ``n`` permits back, or add them. Raises ValueError if n is below 1."""


class BoundedSemaphore(Semaphore):
    """As ``threading.BoundedSemaphore``: ``release`` raises ValueError rather than exceed the initial value."""

    __slots__ = ()


class Condition(Lockable):
    """As ``threading.Condition``: wait, with its lock held, until somebody says that something has changed."""

    __slots__ = ()

    @property
    @abstractmethod
    def _face(self) -> Lock | RLock:
        """Its lock."""

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return self._face._acquire(blocking, timeout)

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> Any:
        """Acquire its lock; see there."""
        return self._face.acquire(blocking, timeout)

    async def _acquire_soon(self, timeout: float = -1) -> bool:
        return await self._face._acquire_soon(timeout)

    def release(self) -> None:
        """Release its lock; see there."""
        self._face.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._face.__exit__(kind, error, trace)

    def locked(self) -> bool:
        """Whether somebody has its lock."""
        return self._face.locked()

    @abstractmethod
    def _is_owned(self) -> bool:
        """Whether the calling thread holds the lock (a plain Lock: whether anybody does)."""

    @abstractmethod
    def _wait(self, timeout: float | None = None) -> bool:
        """Plain wait. Raises RuntimeError if the lock is not held."""

    @abstractmethod
    async def _wait_soon(self, timeout: float | None) -> bool:
        """As ``_wait``, in a coroutine; the lock is held by whoever may release it there."""

    @abstractmethod
    def notify(self, n: int = 1) -> None:
        """Wake the first ``n`` that wait. Raises RuntimeError if the lock is not held."""

    @abstractmethod
    def notify_all(self) -> None:
        """Wake all that wait. Raises RuntimeError if the lock is not held."""

    def wait(self, timeout: float | None = None) -> Any:
        """Let go of the lock, wait until notified or for ``timeout`` seconds, take the lock again. Whether notified.

        In a thread that runs an event loop the result is an awaitable. Raises RuntimeError if the lock is not held.
        """
        check_seconds(timeout)
        return self._wait_soon(timeout) if in_loop() else self._wait(timeout)

    def wait_for(self, predicate: Callable[[], object], timeout: float | None = None) -> Any:
        """Wait until ``predicate()`` is true; its last result. In a thread with an event loop: an awaitable."""
        check_seconds(timeout)
        if in_loop():
            return self._wait_for_soon(predicate, timeout)
        deadline = deadline_of(timeout)
        while not (result := predicate()):
            left = left_until(deadline)
            if left is not None and left <= 0:
                break
            self._wait(left)
        return result

    async def _wait_for_soon(self, predicate: Callable[[], object], timeout: float | None) -> object:
        deadline = deadline_of(timeout)
        while not (result := predicate()):
            left = left_until(deadline)
            if left is not None and left <= 0:
                break
            await self._wait_soon(left)
        return result


class Event(ABC):
    """As ``threading.Event``: a flag that one can wait for."""

    __slots__ = ()

    @abstractmethod
    def is_set(self) -> bool:
        """Whether the flag is up."""

    @abstractmethod
    def set(self) -> None:
        """Raise the flag; all that wait go on."""

    @abstractmethod
    def clear(self) -> None:
        """Take the flag down."""

    @abstractmethod
    def _wait(self, timeout: float | None = None) -> bool:
        """Plain wait."""

    def wait(self, timeout: float | None = None) -> Any:
        """Wait until the flag is up, ``timeout`` seconds at most (default: for ever); whether it is.

        In a thread that runs an event loop the result is an awaitable.
        """
        check_seconds(timeout)
        return self._wait_soon(timeout) if in_loop() else self._wait(timeout)

    async def _wait_soon(self, timeout: float | None) -> bool:
        return self.is_set() or await aside(
            self._wait, None if timeout is None else deadline_of(max(timeout, 0))
        )


class Barrier(ABC):
    """As ``threading.Barrier``: ``parties`` wait for each other."""

    __slots__ = ()

    @abstractmethod
    def _wait(self, timeout: float | None = None) -> int:
        """Plain wait."""

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the others; the number of this one, from 0 to parties - 1.

        timeout: seconds; default: that of the barrier. In a thread that runs an event loop the result is an awaitable;
        to cancel it breaks the barrier. Raises threading.BrokenBarrierError.
        """
        check_seconds(timeout)
        return self._wait_soon(timeout) if in_loop() else self._wait(timeout)

    async def _wait_soon(self, timeout: float | None) -> int:
        import asyncio

        found: list[int] = []

        def come(_: float) -> bool:
            found.append(self._wait(timeout))
            return True

        try:
            await aside(come, None)
        except asyncio.CancelledError:
            self.abort()  # else the others would wait for one that has gone
            raise
        return found[0]

    @abstractmethod
    def reset(self) -> None:
        """As new; those that wait get BrokenBarrierError."""

    @abstractmethod
    def abort(self) -> None:
        """Break it: those that wait, or come later, get BrokenBarrierError until `reset`."""

    @property
    @abstractmethod
    def parties(self) -> int:
        """How many wait for each other."""

    @property
    @abstractmethod
    def n_waiting(self) -> int:
        """How many wait now."""

    @property
    @abstractmethod
    def broken(self) -> bool:
        """Whether it is broken."""
