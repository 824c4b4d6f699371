"""Lock and RLock for threads of one process.

A hold is a list whose first element is the thread that alone gives it back, or None where anybody may. The lock is a
dictionary with at most one entry, the hold: to take the lock is one ``setdefault``, to give it back one ``pop``. Both
are single steps of the interpreter, after which can be told who has it: so an exception that breaks in anywhere
(Ctrl-C, an item's timeout) leaves no lock taken by nobody. It can still come before the first step of ``__exit__``, as
with every context manager written in Python.
"""

from __future__ import annotations

from collections import deque
from threading import TIMEOUT_MAX, get_ident
from time import monotonic
from types import TracebackType
from typing import Any, TypeAlias

from okazja.sync.faces import Lock, RLock
from okazja.sync.local.waiting import AsyncWaiter, Home, Local, Waiter, discard, wake

__all__ = ["LocalLock", "LocalRLock"]

Hold: TypeAlias = list[Any]


def deadline_for(blocking: bool, timeout: float) -> float | None:
    """When a blocking acquire gives up; checks what threading checks."""
    if not blocking and timeout != -1:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout == -1:
        return None
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return monotonic() + timeout


class _LocalLockable(Local):
    """What both have in common: the hold, and those that wait for it."""

    __slots__ = ("_held", "_waiters")
    one_owner = True

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self._held: dict[int, Hold] = {}
        self._waiters: deque[Any] = deque()

    def _owner(self) -> Hold | None:
        """The hold, if one thread alone gives it back."""
        hold = self._held.get(0)
        return hold if hold is not None and hold[0] is not None else None

    def locked(self) -> bool:
        """Whether somebody has it."""
        return bool(self._held)

    def __repr__(self) -> str:
        state = "locked" if self._held else "unlocked"
        return f"<{state} okazja.{type(self).__name__.removeprefix('Local')} at {id(self):#x}>"

    def _wait_turn(self, mine: Hold, deadline: float | None) -> bool:
        """Wait until this hold is the lock's."""
        waiter = Waiter()
        self._waiters.append(waiter)
        try:
            while self._held.setdefault(0, mine) is not mine:
                if not waiter.park(self, deadline):
                    self._wait_no_more(waiter)
                    return False
                if waiter not in self._waiters:
                    self._waiters.appendleft(waiter)  # it has waited the longest
        except BaseException:
            self._wait_no_more(waiter)
            raise
        discard(self._waiters, waiter)
        return True

    async def _wait_turn_soon(self, mine: Hold, deadline: float | None) -> bool:
        waiter = AsyncWaiter()
        self._waiters.append(waiter)
        try:
            while self._held.setdefault(0, mine) is not mine:
                if not await waiter.park(deadline):
                    self._wait_no_more(waiter)
                    return False
                if waiter not in self._waiters:
                    self._waiters.appendleft(waiter)
        except BaseException:
            self._undo(mine)
            self._wait_no_more(waiter)
            raise
        discard(self._waiters, waiter)
        return True

    def _wait_no_more(self, waiter: Any) -> None:
        if not discard(self._waiters, waiter) and not self._held:
            wake(self._waiters)  # the wake was for whoever is next

    def _undo(self, mine: Hold) -> None:
        """An exception broke in: this hold is no more."""
        if self._held.get(0) is mine:
            self._held.pop(0, None)
            wake(self._waiters)


class LocalLock(_LocalLockable, Lock):
    """A Lock by reference."""

    __slots__ = ()

    def __enter__(self) -> bool:
        mine: Hold = [get_ident()]
        try:
            return self._held.setdefault(0, mine) is mine or self._wait_turn(mine, None)
        except BaseException:
            self._undo(mine)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def __aenter__(self) -> bool:
        mine: Hold = [get_ident()]
        return self._held.setdefault(0, mine) is mine or await self._wait_turn_soon(mine, None)

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        mine: Hold = [None]
        try:
            deadline = None if blocking and timeout == -1 else deadline_for(blocking, timeout)
            if self._held.setdefault(0, mine) is mine:
                return True
            return blocking and self._wait_turn(mine, deadline)
        except BaseException:
            self._undo(mine)
            raise

    async def _acquire_soon(self, timeout: float = -1) -> bool:
        mine: Hold = [None]
        deadline = deadline_for(True, timeout)
        return self._held.setdefault(0, mine) is mine or await self._wait_turn_soon(mine, deadline)

    def _release(self) -> None:
        self.release()

    def release(self) -> None:
        """Give it back; anybody may. Raises RuntimeError if nobody has it."""
        try:
            if self._held.pop(0, None) is None:
                raise RuntimeError("release unlocked lock")
        finally:
            if self._waiters:
                wake(self._waiters)


class LocalRLock(_LocalLockable, RLock):
    """An RLock by reference. A hold has one element for each time that it was acquired, the first of them the owner."""

    __slots__ = ()

    def __enter__(self, blocking: bool = True, deadline: float | None = None) -> bool:
        mine: Hold = [get_ident()]
        hold = None
        try:
            hold = self._held.setdefault(0, mine)
            if hold is mine:
                return True
            if hold[0] == mine[0]:
                hold.append(mine)
                return True
            return blocking and self._wait_turn(mine, deadline)
        except BaseException:
            if hold is not None and hold[-1] is mine:
                hold.pop()
            self._undo(mine)
            raise

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return self.__enter__(
            blocking, None if blocking and timeout == -1 else deadline_for(blocking, timeout)
        )

    async def _acquire_plain_soon(self, timeout: float = -1) -> bool:
        mine: Hold = [get_ident()]
        deadline = deadline_for(True, timeout)
        hold = self._held.setdefault(0, mine)
        if hold is not mine and hold[0] == mine[0]:
            hold.append(mine)
            return True
        return hold is mine or await self._wait_turn_soon(mine, deadline)

    def _release(self) -> None:
        self.__exit__(None, None, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        hold = self._held.get(0)
        if hold is None or hold[0] != get_ident():
            raise RuntimeError("cannot release un-acquired lock")
        if len(hold) > 1:
            hold.pop()
            return
        try:
            self._held.pop(0, None)
        finally:
            if self._waiters:
                wake(self._waiters)

    def _is_owned(self) -> bool:
        hold = self._held.get(0)
        return hold is not None and hold[0] == get_ident()

    def _recursion_count(self) -> int:
        hold = self._held.get(0)
        return len(hold) if hold is not None and hold[0] == get_ident() else 0

    # What threading.Condition asks of a lock that can be held more than once.

    def _release_save(self) -> int:
        depth = self._recursion_count()
        for _ in range(max(depth, 1)):
            self._release()
        return depth

    def _acquire_restore(self, depth: int) -> None:
        for _ in range(depth):
            self._acquire()
