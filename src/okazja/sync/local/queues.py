"""Queue and Pipe for threads of one process: items are passed by reference."""

from __future__ import annotations

import _thread
import pickle
from collections import deque
from itertools import islice
from queue import Empty, Full
from typing import Any

from okazja.sync.carriers import Connection, Queue, ShutDown, checked
from okazja.sync.coroutines import deadline_of
from okazja.sync.local.waiting import AsyncWaiter, Home, Local, Waiter, discard, wake, wake_all

__all__ = ["LocalConnection", "LocalQueue", "make_pipe"]


class LocalQueue(Local, Queue):
    """A Queue by reference."""

    __slots__ = (
        "_closed",
        "_getters",
        "_guard",
        "_items",
        "_joiners",
        "_maxsize",
        "_pops",
        "_putters",
        "_unfinished",
    )

    def __init__(self, home: Home, maxsize: int = 0) -> None:
        super().__init__(home)
        self._maxsize = maxsize
        self._items: deque[Any] = deque()
        self._pops = iter(self._items.popleft, self._items)  # pops one; the deque is never its own item
        self._unfinished = 0
        self._closed = False
        self._guard = _thread.allocate_lock()  # around items, unfinished and closed; never while one waits
        self._getters: deque[Any] = deque()
        self._putters: deque[Any] = deque()
        self._joiners: deque[Any] = deque()

    def __repr__(self) -> str:
        return f"<okazja.Queue at {id(self):#x}: {len(self._items)} items, maxsize={self._maxsize}>"

    @property
    def maxsize(self) -> int:
        """How many items it holds at most; 0 or below: any number. May be changed."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, maxsize: int) -> None:
        self._maxsize = maxsize
        wake_all(self._putters)

    def _try_put(self, item: Any) -> bool:
        """Put it if there is room. An exception that breaks in leaves it put and counted, or neither."""
        with self._guard:
            if self._closed:
                raise ShutDown
            size, before = len(self._items), self._unfinished
            if 0 < self._maxsize <= size:
                return False
            try:
                self._unfinished = before + 1
                self._items.append(item)
            except BaseException:
                self._unfinished = before + len(self._items) - size
                raise
        return True

    def _try_get(self, mine: list[Any]) -> bool:
        """Put the first item into the list, in one step, if there is one."""
        with self._guard:
            if self._items:
                mine.extend(islice(self._pops, 1))
                return True
            if self._closed:
                raise ShutDown
        return False

    def _put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if timeout is not None and block:
            checked(timeout)
        try:
            if self._try_put(item):
                return
        finally:
            if self._getters:
                wake(self._getters)
        if not block or timeout == 0:
            raise Full
        deadline = deadline_of(timeout)
        waiter = Waiter()
        self._putters.append(waiter)
        try:
            while not self._try_put(item):
                if not waiter.park(self, deadline):
                    raise Full
                if waiter not in self._putters:
                    self._putters.appendleft(waiter)  # it has waited the longest
        finally:
            self._leave(self._putters, waiter)

    def _get(self, block: bool = True, timeout: float | None = None) -> Any:
        if timeout is not None and block:
            checked(timeout)
        mine: list[Any] = []
        try:
            if not self._try_get(mine):
                if not block or timeout == 0:
                    raise Empty
                self._wait_item(mine, deadline_of(timeout))
            return mine[0]
        except BaseException:
            self._give_back(mine)
            raise
        finally:
            if self._putters:
                wake(self._putters)

    def _wait_item(self, mine: list[Any], deadline: float | None) -> None:
        waiter = Waiter()
        self._getters.append(waiter)
        try:
            while not self._try_get(mine):
                if not waiter.park(self, deadline):
                    raise Empty
                if waiter not in self._getters:
                    self._getters.appendleft(waiter)
        finally:
            self._leave(self._getters, waiter)

    def _leave(self, waiters: deque[Any], waiter: Any) -> None:
        """Wait no more. What it was woken for may be another's; one wake too many does no harm."""
        discard(waiters, waiter)
        if self._getters and self._items:
            wake(self._getters)
        if self._putters and not self.full():
            wake(self._putters)

    def _give_back(self, mine: list[Any]) -> None:
        """An exception broke in: the item was not taken."""
        if mine:
            self._items.appendleft(mine.pop())
            wake(self._getters)

    async def _put_soon(self, item: Any, timeout: float | None) -> None:
        deadline = deadline_of(checked(timeout))
        waiter: AsyncWaiter | None = None
        try:
            while not self._try_put(item):
                if waiter is None:
                    waiter = AsyncWaiter()
                    self._putters.append(waiter)
                    continue  # there may be room since
                if not await waiter.park(deadline):
                    raise Full
                if waiter not in self._putters:
                    self._putters.appendleft(waiter)
        finally:
            self._leave(self._putters, waiter)

    async def _get_soon(self, timeout: float | None) -> Any:
        deadline = deadline_of(checked(timeout))
        mine: list[Any] = []
        waiter: AsyncWaiter | None = None
        try:
            while not self._try_get(mine):
                if waiter is None:
                    waiter = AsyncWaiter()
                    self._getters.append(waiter)
                    continue
                if not await waiter.park(deadline):
                    raise Empty
                if waiter not in self._getters:
                    self._getters.appendleft(waiter)
            return mine[0]
        except BaseException:
            self._give_back(mine)
            raise
        finally:
            self._leave(self._getters, waiter)

    def _await_done(self, timeout: float | None) -> bool:
        deadline = deadline_of(timeout)
        waiter = Waiter()
        self._joiners.append(waiter)
        try:
            while self._unfinished:
                if not waiter.park(self, deadline):
                    return False
                if waiter not in self._joiners:
                    self._joiners.append(waiter)
        finally:
            discard(self._joiners, waiter)
        return True

    def task_done(self) -> None:
        """Say that an item that was taken is done. Raises ValueError if said more often than items were put."""
        try:
            with self._guard:
                if self._unfinished <= 0:
                    raise ValueError("task_done() called too many times")
                self._unfinished -= 1
        finally:
            if not self._unfinished:
                wake_all(self._joiners)

    @property
    def unfinished_tasks(self) -> int:
        """How many items were put and not said to be done."""
        return self._unfinished

    @property
    def is_shutdown(self) -> bool:
        """Whether it was shut down."""
        return self._closed

    def qsize(self) -> int:
        """How many items wait; others may change it at once."""
        return len(self._items)

    def shutdown(self, immediate: bool = False) -> None:
        """Let nobody put any more; ``get`` raises ShutDown once it is empty (immediate: from now on)."""
        with self._guard:
            self._closed = True
            if immediate:
                self._unfinished = max(0, self._unfinished - len(self._items))
                self._items.clear()
        for waiters in (self._getters, self._putters, self._joiners):
            wake_all(waiters)


class LocalConnection(Local, Connection):
    """An end of a pipe by reference: a queue to read from, and one to write to; None: not this way."""

    __slots__ = ("_closed", "_inward", "_outward")

    _inward: LocalQueue | None
    _outward: LocalQueue | None

    def __init__(self, home: Home, inward: LocalQueue | None, outward: LocalQueue | None) -> None:
        super().__init__(home)
        self._inward, self._outward = inward, outward
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<okazja.Connection at {id(self):#x}: {state}>"

    def _send(self, kind: int, item: Any) -> None:
        try:
            self._open(self._outward, "read")._put((kind, item))
        except ShutDown:
            raise BrokenPipeError("the other end of the pipe is closed") from None

    def _recv(self, kind: int) -> Any:
        return self._received(kind, block=True)

    def _recv_nowait(self, kind: int) -> Any:
        return self._received(kind, block=False)

    def _received(self, kind: int, block: bool) -> Any:
        try:
            sent, item = self._open(self._inward, "write")._get(block)
        except ShutDown:
            if self._closed:
                raise OSError("handle is closed") from None
            raise EOFError("the other end of the pipe is closed") from None
        if sent == kind:
            return item
        return pickle.dumps(item) if kind else pickle.loads(item)

    async def _recv_soon(self, kind: int, maxlength: int | None) -> Any:
        inward = self._open(self._inward, "write")
        while not inward._items:
            waiter = AsyncWaiter()
            inward._getters.append(waiter)
            try:
                if not inward._items and not inward._closed:
                    await waiter.park(None)
            finally:
                inward._leave(inward._getters, waiter)
            if inward._closed:
                break
        try:
            return await super()._recv_soon(kind, maxlength)
        except Empty:
            return await self._recv_soon(kind, maxlength)

    def _poll(self, timeout: float | None) -> bool:
        inward = self._open(self._inward, "write")
        if inward._items or inward._closed:
            return True
        if timeout == 0:
            return False
        deadline = deadline_of(timeout)
        waiter = Waiter()
        inward._getters.append(waiter)
        try:
            while not inward._items and not inward._closed:
                if not waiter.park(self, deadline):
                    return False
                if waiter not in inward._getters:
                    inward._getters.append(waiter)
        finally:
            inward._leave(inward._getters, waiter)  # it takes nothing: the wake is for another, too
        return True

    def close(self) -> None:
        """Close this end for all its users. The other end receives what was sent, then EOFError."""
        self._closed = True
        if self._outward is not None:
            self._outward.shutdown()
        if self._inward is not None:
            self._inward.shutdown(immediate=True)


def make_pipe(home: Home, duplex: bool) -> tuple[LocalConnection, LocalConnection]:
    """The two ends; with ``duplex=False`` the first only receives, the second only sends."""
    there, back = LocalQueue(home), LocalQueue(home) if duplex else None
    return LocalConnection(home, there, back), LocalConnection(home, back, there)
