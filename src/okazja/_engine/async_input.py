"""An asynchronous iterable as an input: a task on the caller's loop reads it ahead, as a thread reads others."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterable, Callable
from types import AsyncGeneratorType
from typing import Any

from okazja._core.weight import weight
from okazja._engine.input import LOOK_AHEAD, MOST_BYTES
from okazja._engine.library import Bell, library
from okazja._engine.source import Batch
from okazja.errors import BadInput, TaskCancelled

__all__ = ["AsyncInput"]


class AsyncInput:
    """Read by a task that starts with the first `take`, and ends with the input or with `close`.

    look_ahead: items that may be read and not yet taken; default and most: LOOK_AHEAD.
    Raises BadInput where no loop runs.
    """

    def __init__(self, iterable: AsyncIterable[Any], look_ahead: int | None = None) -> None:
        found = library()
        if found is None:
            raise BadInput(
                f"{iterable!r} is an asynchronous iterable, which only a running event loop can draw from: call this "
                f"in a coroutine, or pass a list"
            )
        self.library = found
        self._iterable: AsyncIterable[Any] | None = iterable
        self._most = LOOK_AHEAD if look_ahead is None else min(look_ahead, LOOK_AHEAD)
        self._lock = (
            threading.RLock()
        )  # re-entrant, because the stream may be finalized, and so closed, anywhere
        self._items: deque[Any] = deque()
        self._weights: deque[int] = deque()  # bytes, one for each of these
        self._bytes = 0  # of all of them
        self._error: BaseException | None = None
        self._read_all = False
        self._starved = False  # somebody has found nothing
        self._closed = False
        self._cancel: Callable[[], None] | None = None  # the task, once it was started
        self._bell: Bell | None = None  # of the task, while it waits for room
        self.ended = False
        self.on_news: Callable[[], None] = _nobody

    def take(self, most: int) -> Batch:
        """See Source."""
        if self._cancel is None and not self._closed:
            self._start()
        items = self._items
        with self._lock:
            taken = [items.popleft() for _ in range(min(most, len(items)))]
            self._bytes -= sum([self._weights.popleft() for _ in taken])
            bell = self._take_bell() if self._is_low() else None
            if not taken and not self._read_all:
                self._starved = True
            over = self._read_all and not items
            error = self._error if over and not taken else None
            if error is not None:
                self._error = None
            self.ended = self._closed or (over and self._error is None)
        if bell is not None:
            bell.ring()
        if error is not None:
            raise error
        return Batch(taken)

    def close(self) -> None:
        """See Source. The iterable is closed by the task that reads it."""
        with self._lock:
            self._closed = self.ended = True
            self._items.clear()
            self._weights.clear()
            self._bytes = 0
            self._error = None
            self._iterable = None
            cancel = None if self._read_all else self._cancel
        if cancel is not None:
            cancel()

    def _start(self) -> None:
        try:
            self._cancel = self.library.spawn(self._work)
        except RuntimeError as error:
            self._read_all = True
            self._error = error

    def _take_bell(self) -> Bell | None:
        bell, self._bell = self._bell, None
        return bell

    # --- the task

    async def _work(self) -> None:
        error: BaseException | None = None
        iterable, self._iterable = self._iterable, None
        try:
            if iterable is not None:
                await self._read(iterable)
        except self.library.cancelled as problem:
            error = TaskCancelled("the task that read the input was cancelled, with the loop that it ran on")
            error.__cause__ = problem
        except BaseException as problem:
            error = problem.with_traceback(problem.__traceback__ and problem.__traceback__.tb_next)
        with self._lock:
            if not self._closed:
                self._error = error
            self._read_all = True
        error = None  # it leads to this frame
        self.on_news()

    async def _read(self, iterable: AsyncIterable[Any]) -> None:
        iterator = aiter(iterable)
        try:
            async for item in iterator:
                bytes_ = weight(item)
                with self._lock:
                    if self._closed:
                        return
                    self._items.append(item)
                    self._weights.append(bytes_)
                    self._bytes += bytes_
                    starved, self._starved = self._starved, False
                del item
                if starved:
                    self.on_news()
                if len(self._items) >= self._most or self._bytes >= MOST_BYTES:
                    await self._wait_for_room()
        finally:
            if isinstance(iterator, AsyncGeneratorType):
                await iterator.aclose()

    async def _wait_for_room(self) -> None:
        bell = self.library.bell()
        with self._lock:
            if self._is_low() or self._closed:
                return
            self._bell = bell
        await bell

    def _is_low(self) -> bool:
        """Whether so little is left that more is to be read."""
        return len(self._items) <= self._most // 2 and self._bytes <= MOST_BYTES // 2


def _nobody() -> None:
    """Nobody wants to know."""
