"""Condition for threads of one process.

Who waits has put its bell into the deque before it lets go of the lock; whoever notifies pops bells. A bell that is no
longer in the deque was notified.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from okazja.errors import BadInput
from okazja.sync.coroutines import deadline_of, regained
from okazja.sync.faces import Condition
from okazja.sync.local.locks import LocalLock, LocalRLock
from okazja.sync.local.waiting import AsyncWaiter, Home, Local, Waiter, discard
from okazja.sync.tasks import depth_in_task

__all__ = ["LocalCondition"]

AnyLocalLock: TypeAlias = LocalLock | LocalRLock


class LocalCondition(Local, Condition):
    """A Condition by reference."""

    __slots__ = ("_lock", "_waiters")

    def __init__(self, home: Home, lock: Any = None) -> None:
        super().__init__(home)
        if lock is None:
            lock = LocalRLock(home)
        if not isinstance(lock, LocalLock | LocalRLock):
            raise BadInput(
                f"a condition needs a Lock or an RLock made by an executor with the same backend, got {lock!r}"
            )
        self._lock: AnyLocalLock = lock
        self._waiters: deque[Any] = deque()

    @property
    def _face(self) -> AnyLocalLock:
        return self._lock

    def __repr__(self) -> str:
        return f"<okazja.Condition({self._lock!r}, {len(self._waiters)})>"

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    async def __aenter__(self) -> bool:
        return await self._lock.__aenter__()

    def _is_owned(self) -> bool:
        return self._lock._is_owned() if isinstance(self._lock, LocalRLock) else self._lock.locked()

    def _recursion_count(self) -> int:
        return (
            self._lock._recursion_count() if isinstance(self._lock, LocalRLock) else int(self._lock.locked())
        )

    def _release_save(self) -> int:
        """Let go of the lock, however often it is held. Raises RuntimeError if it isn't."""
        self._check("release")
        depth = self._recursion_count()
        for _ in range(depth):
            self._lock._release()
        return depth

    def _check(self, what: str) -> None:
        if not self._is_owned():
            raise RuntimeError(f"cannot {what} on un-acquired lock")

    def _wait(self, timeout: float | None = None) -> bool:
        self._check("wait")
        deadline = None if timeout is None else deadline_of(max(timeout, 0))
        waiter = Waiter()
        depth = self._recursion_count()
        notified = False
        self._waiters.append(waiter)
        try:
            for _ in range(depth):
                self._lock._release()
            while waiter in self._waiters and waiter.park(self, deadline):
                pass  # rung for by `rouse`, perhaps
        finally:
            _regain(self._lock._acquire, depth)
            notified = not discard(self._waiters, waiter)
        return notified

    async def _wait_soon(self, timeout: float | None) -> bool:
        self._check("wait")
        deadline = None if timeout is None else deadline_of(max(timeout, 0))
        waiter = AsyncWaiter()
        lock = self._lock
        depth = (depth_in_task(lock._identity) if isinstance(lock, LocalRLock) else 0) or 1
        self._waiters.append(waiter)
        notified = whole = False
        try:
            for _ in range(depth):
                lock.release()
            while waiter in self._waiters and await waiter.park(deadline):
                pass
            whole = True
        finally:
            try:
                await regained(lock._acquire_soon, depth)
            finally:
                notified = not discard(self._waiters, waiter)
                if notified and not whole:
                    self.notify()  # it was for one that waits no more
        return notified

    def notify(self, n: int = 1) -> None:
        """Wake the first ``n`` that wait. Raises RuntimeError if the lock is not held."""
        self._check("notify")
        for _ in range(min(n, len(self._waiters))):
            try:
                self._waiters.popleft().ring()
            except IndexError:
                return

    def notify_all(self) -> None:
        """Wake all that wait. Raises RuntimeError if the lock is not held."""
        self.notify(len(self._waiters))


def _regain(acquire: Callable[[], object], times: int) -> None:
    """Acquire as often. One exception that breaks in waits until it is done; a second one is let through."""
    pending: BaseException | None = None
    while times:
        try:
            acquire()
            times -= 1
        except BaseException as error:
            if pending is not None:
                raise
            pending = error
    if pending is not None:
        raise pending
