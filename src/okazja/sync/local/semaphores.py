"""Semaphore and BoundedSemaphore for threads of one process.

The permits that were given back are in a deque, those that nobody has had yet in an iterator with a known length. One
step takes a permit and notes that it was taken, so an exception that breaks in loses none.
"""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Iterator
from itertools import islice, repeat
from typing import Any

from okazja.sync.faces import BoundedSemaphore, Semaphore
from okazja.sync.local.locks import deadline_for
from okazja.sync.local.waiting import AsyncWaiter, Home, Local, Waiter, discard, wake

__all__ = ["LocalBoundedSemaphore", "LocalSemaphore"]


class LocalSemaphore(Local, Semaphore):
    """A Semaphore by reference."""

    __slots__ = ("_fresh", "_pops", "_returned", "_waiters")

    def __init__(self, home: Home, value: int = 1) -> None:
        super().__init__(home)
        self._fresh: Iterator[None] = repeat(None, value)
        self._returned: deque[None] = deque()
        self._pops = iter(self._returned.pop, self)  # what it pops is never the semaphore, so it never ends
        self._waiters: deque[Any] = deque()

    @property
    def _value(self) -> int:
        """The permits that are left."""
        return len(self._returned) + self._fresh.__length_hint__()  # type: ignore[attr-defined, no-any-return]

    def __repr__(self) -> str:
        return f"<okazja.{type(self).__name__.removeprefix('Local')} at {id(self):#x}: value={self._value}>"

    def _take(self, mine: list[None]) -> bool:
        """Put a permit into the list, in one step, if there is one."""
        if self._returned:
            try:
                mine.extend(islice(self._pops, 1))
                return True
            except IndexError:  # another thread was quicker
                pass
        mine.extend(islice(self._fresh, 1))
        return bool(mine)

    def __enter__(self) -> bool:
        return self._acquire()

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        mine: list[None] = []
        try:
            if self._take(mine):
                return True
            if not blocking:
                return False
            return self._wait_turn(mine, deadline_for(blocking, timeout))
        except BaseException:
            self._give(mine)
            raise

    def _wait_turn(self, mine: list[None], deadline: float | None) -> bool:
        waiter = Waiter()
        self._waiters.append(waiter)
        try:
            while not self._take(mine):
                if not waiter.park(self, deadline):
                    break
                if waiter not in self._waiters:
                    self._waiters.appendleft(waiter)  # it has waited the longest
        finally:
            self._wait_no_more(waiter)
        return bool(mine)

    async def _acquire_soon(self, timeout: float = -1) -> bool:
        mine: list[None] = []
        if self._take(mine):
            return True
        deadline = deadline_for(True, timeout)
        waiter = AsyncWaiter()
        self._waiters.append(waiter)
        try:
            while not self._take(mine):
                if not await waiter.park(deadline):
                    break
                if waiter not in self._waiters:
                    self._waiters.appendleft(waiter)
        except BaseException:
            self._give(mine)
            raise
        finally:
            self._wait_no_more(waiter)
        return bool(mine)

    def _wait_no_more(self, waiter: Any) -> None:
        discard(self._waiters, waiter)
        if self._waiters and self._value:
            wake(self._waiters)  # its wake, or a second permit, is for whoever is next

    def _give(self, permits: list[None]) -> None:
        self._returned.extend(permits)
        for _ in permits:
            wake(self._waiters)

    def release(self, n: int = 1) -> None:
        """Give ``n`` permits back, or add them. Raises ValueError if n is below 1."""
        if n < 1:
            raise ValueError("n must be one or more")
        try:
            if n == 1:
                self._returned.append(None)
            else:
                self._returned.extend(repeat(None, n))
        finally:
            for _ in range(min(n, len(self._waiters))):
                wake(self._waiters)

    def __exit__(self, *exc: object) -> None:
        self.release()


class LocalBoundedSemaphore(LocalSemaphore, BoundedSemaphore):
    """A BoundedSemaphore by reference."""

    __slots__ = ("_guard", "_initial")

    def __init__(self, home: Home, value: int = 1) -> None:
        super().__init__(home, value)
        self._initial = value
        self._guard = _thread.allocate_lock()  # between two that release: never more than the initial value

    def release(self, n: int = 1) -> None:
        """Give ``n`` permits back. Raises ValueError if n is below 1, or that would be more than there were."""
        with self._guard:
            if self._value + n > self._initial:
                raise ValueError("Semaphore released too many times")
            super().release(n)
