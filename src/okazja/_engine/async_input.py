"""An asynchronous iterable as an input: a task on the caller's loop reads it ahead, as a thread reads others."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from types import AsyncGeneratorType
from typing import Any

from okazja._engine.library import Bell, library
from okazja._engine.read_ahead import ReadAhead
from okazja.errors import BadInput, TaskCancelled

__all__ = ["AsyncInput"]


class AsyncInput(ReadAhead):
    """Read by a task that starts with the first `take`, and ends with the input or with `close`.

    Raises BadInput where no loop runs.
    """

    def __init__(self, iterable: AsyncIterable[Any], look_ahead: int | None = None) -> None:
        found = library()
        if found is None:
            raise BadInput(
                f"{iterable!r} is an asynchronous iterable, which only a running event loop can draw from: call this "
                f"in a coroutine, or pass a list"
            )
        super().__init__(look_ahead)
        self.library = found
        self._iterable: AsyncIterable[Any] | None = iterable
        self._cancel: Callable[[], None] | None = None  # the task, once it was started
        self._bell: Bell | None = None  # of the task, while it waits for room

    def close(self) -> None:
        """See Source. The iterable is closed by the task that reads it."""
        super().close()
        with self._lock:
            self._iterable = None
            cancel = None if self._read_all else self._cancel
        if cancel is not None:
            cancel()

    def _start(self) -> None:
        if self._cancel is not None or self._closed or self._read_all:
            return
        try:
            self._cancel = self.library.spawn(self._work)
        except RuntimeError as error:
            self._read_all = True
            self._error = error

    def _go_on(self) -> None:
        with self._lock:
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.ring()

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
        try:
            self._read_to_the_end(error)
        finally:
            del error  # it leads to this frame

    async def _read(self, iterable: AsyncIterable[Any]) -> None:
        iterator = aiter(iterable)
        try:
            async for item in iterator:
                if not self._keep(item):
                    return
                del item
                if self._is_full():
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
