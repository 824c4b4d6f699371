"""Event and Barrier for threads of one process."""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Callable
from threading import BrokenBarrierError
from typing import Any

from okazja.sync.coroutines import deadline_of
from okazja.sync.faces import Barrier, Event
from okazja.sync.local.waiting import AsyncWaiter, Home, Local, Waiter, discard, wake_all

__all__ = ["LocalBarrier", "LocalEvent"]


class LocalEvent(Local, Event):
    """An Event by reference."""

    __slots__ = ("_flag", "_waiters")

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self._flag = False
        self._waiters: deque[Any] = deque()

    def __repr__(self) -> str:
        return f"<okazja.Event at {id(self):#x}: {'set' if self._flag else 'unset'}>"

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._flag

    def set(self) -> None:
        """Raise the flag; all that wait go on."""
        try:
            self._flag = True
        finally:
            wake_all(self._waiters)

    def clear(self) -> None:
        """Take the flag down."""
        self._flag = False

    def _wait(self, timeout: float | None = None) -> bool:
        if self._flag:
            return True
        deadline = None if timeout is None else deadline_of(max(timeout, 0))
        waiter = Waiter()
        self._waiters.append(waiter)
        try:
            # Woken by `set` is enough, even if the flag is down again.
            while waiter in self._waiters and not self.is_set():
                if not waiter.park(self, deadline):
                    break
        finally:
            woken = not discard(self._waiters, waiter)
        return woken or self._flag

    async def _wait_soon(self, timeout: float | None) -> bool:
        if self._flag:
            return True
        deadline = None if timeout is None else deadline_of(max(timeout, 0))
        waiter = AsyncWaiter()
        self._waiters.append(waiter)
        try:
            while waiter in self._waiters and not self.is_set():
                if not await waiter.park(deadline):
                    break
        finally:
            woken = not discard(self._waiters, waiter)
        return woken or self._flag


class _Round:
    """One meeting: who has come, who sleeps, and what came of it."""

    __slots__ = ("broken", "count", "over", "waiters")

    def __init__(self) -> None:
        self.count = 0
        self.over = self.broken = False
        self.waiters: deque[Any] = deque()

    def end(self, broken: bool) -> None:
        self.broken = broken
        self.over = True
        wake_all(self.waiters)


class LocalBarrier(Local, Barrier):
    """A Barrier by reference. The action runs in the last thread that comes, with no lock held."""

    __slots__ = ("_action", "_broken", "_guard", "_parties", "_round", "_timeout")

    def __init__(
        self, home: Home, parties: int, action: Callable[[], object] | None, timeout: float | None
    ) -> None:
        super().__init__(home)
        self._parties, self._action, self._timeout = parties, action, timeout
        self._guard = (
            _thread.allocate_lock()
        )  # around the round and whether it is broken; never while one waits
        self._round = _Round()
        self._broken = False

    def __repr__(self) -> str:
        state = "broken" if self._broken else f"waiters={self.n_waiting}/{self._parties}"
        return f"<okazja.Barrier at {id(self):#x}: {state}>"

    def _come(self) -> tuple[_Round, int]:
        with self._guard:
            if self._broken:
                raise BrokenBarrierError
            come = self._round
            index = come.count
            come.count += 1
            if come.count == self._parties:
                self._round = _Round()
            return come, index

    def _finish(self, come: _Round) -> None:
        """All have come."""
        if self._action is not None:
            self._action()
        come.end(broken=False)

    def _break(self, come: _Round, full: bool = False) -> None:
        """One of this round is lost to it, unless all have come."""
        with self._guard:
            if come.over or (come.count == self._parties and not full):
                return
            self._broken = True
            current, self._round = self._round, _Round()
        come.end(broken=True)
        current.end(broken=True)

    def _wait(self, timeout: float | None = None) -> int:
        deadline = self._deadline(timeout)
        come, index = self._come()
        last = index == self._parties - 1
        try:
            if last:
                self._finish(come)
            waiter = Waiter()
            come.waiters.append(waiter)
            while not come.over:
                if not waiter.park(self, deadline):
                    self._break(come)
                    deadline = None  # or all have come, and the action still runs
        except BaseException:
            self._break(come, full=last)
            raise
        if come.broken:
            raise BrokenBarrierError
        return index

    async def _wait_soon(self, timeout: float | None) -> int:
        deadline = self._deadline(timeout)
        come, index = self._come()
        last = index == self._parties - 1
        try:
            if last:
                self._finish(come)
            waiter = AsyncWaiter()
            come.waiters.append(waiter)
            while not come.over:
                if not await waiter.park(deadline):
                    self._break(come)
                    deadline = None
        except BaseException:
            self._break(come, full=last)
            raise
        if come.broken:
            raise BrokenBarrierError
        return index

    def _deadline(self, timeout: float | None) -> float | None:
        timeout = self._timeout if timeout is None else timeout
        return None if timeout is None else deadline_of(max(timeout, 0))

    def reset(self) -> None:
        """As new; those that wait get BrokenBarrierError."""
        with self._guard:
            old, self._round = self._round, _Round()
            self._broken = False
        old.end(broken=True)

    def abort(self) -> None:
        """Break it: those that wait, or come later, get BrokenBarrierError until `reset`."""
        with self._guard:
            self._broken = True
            old, self._round = self._round, _Round()
        old.end(broken=True)

    @property
    def parties(self) -> int:
        """How many wait for each other."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many wait now."""
        return self._round.count

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return self._broken
