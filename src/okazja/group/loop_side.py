"""The event loop and the task that run a group's block, asyncio's or trio's: how they are told, and never blocked."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

__all__ = ["LoopSide", "loop_side"]


class LoopSide(Protocol):
    """Made where the block begins. ``cancel_block`` and ``wake`` are for any thread, the rest is the loop's."""

    requested: bool  # the code of the block was cancelled, because the group was

    def enter(self) -> None:
        """The code of the block begins."""

    def cancel_block(self) -> None:
        """Have what the block awaits raise the library's error."""

    def leave(self, error: BaseException | None) -> BaseException | None:
        """The code of the block is over, with that error. What is left of it, for the group to judge."""

    def wake(self) -> None:
        """Have ``woken`` return."""

    async def woken(self) -> None:
        """Sleep until ``wake`` is called; a call since the last time that the loop went round counts."""

    async def finish(self, wait: Callable[[], object]) -> None:
        """Wait in a thread for what would block the loop; also when the task is cancelled meanwhile."""

    async def cancelled(self, body: BaseException | None) -> BaseException | None:
        """At the end: how to say that somebody else has cancelled the task, if so. ``body``: what was raised there."""


def loop_side() -> LoopSide:
    """For the library that the calling task runs under."""
    trio = sys.modules.get("trio")
    if trio is not None and asyncio._get_running_loop() is None:
        return _TrioSide(trio)
    return _AsyncioSide()


class _AsyncioSide:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("`async with` a group needs an asyncio task around it")
        self._task = task
        self._cancelling = task.cancelling()  # requests that others had made before
        self._future: asyncio.Future[None] | None = None
        self._leaving = False  # nothing is left to cancel in the block
        self.requested = False

    def enter(self) -> None:
        """Nothing is to be done."""

    def leave(self, error: BaseException | None) -> BaseException | None:
        self._leaving = True
        return error

    def cancel_block(self) -> None:
        self._tell(self._cancel_block)

    def _cancel_block(self) -> None:
        if not self._leaving and not self._task.done():
            self.requested = True
            self._task.cancel()

    def wake(self) -> None:
        self._tell(self._wake)

    def _wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def _tell(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(what)

    async def woken(self) -> None:
        self._future = self._loop.create_future()
        await self._future

    async def finish(self, wait: Callable[[], object]) -> None:
        over = threading.Event()

        def work() -> None:
            try:
                wait()
            finally:
                over.set()
                self.wake()

        thread = threading.Thread(target=work, name="okazja-join", daemon=True)
        thread.start()
        while not over.is_set():
            with suppress(asyncio.CancelledError):  # `cancelled` will tell
                await self.woken()
        thread.join()  # it has nothing left to do

    async def cancelled(self, body: BaseException | None) -> BaseException | None:
        if self.requested and self._task.uncancel() <= self._cancelling:  # the group's request is taken back
            with suppress(asyncio.CancelledError):  # it may be still to come
                await asyncio.sleep(0)
        if self._task.cancelling() <= self._cancelling:
            return None
        return body if isinstance(body, asyncio.CancelledError) else asyncio.CancelledError()


class _TrioSide:
    def __init__(self, module: Any) -> None:
        self._trio = module
        self._token = module.lowlevel.current_trio_token()
        self._scope = module.CancelScope()
        self._event = module.Event()
        self._shield = False  # the task is known to be cancelled: what it awaits is not cut short again
        self.requested = False

    def enter(self) -> None:
        self._scope.__enter__()

    def leave(self, error: BaseException | None) -> BaseException | None:
        kind, trace = (None, None) if error is None else (type(error), error.__traceback__)
        try:
            swallowed = self._scope.__exit__(kind, error, trace)
        except BaseException as rest:  # of a group of errors
            return rest
        return None if swallowed else error

    def cancel_block(self) -> None:
        self._tell(self._scope.cancel)

    def wake(self) -> None:
        self._tell(self._wake)

    def _wake(self) -> None:
        self._event.set()

    def _tell(self, what: Callable[[], object]) -> None:
        with suppress(self._trio.RunFinishedError):  # nobody waits any more
            self._token.run_sync_soon(what)

    async def woken(self) -> None:
        self._event = self._trio.Event()
        try:
            with self._trio.CancelScope(shield=self._shield):
                await self._event.wait()
        except self._trio.Cancelled:
            self._shield = True
            raise

    async def finish(self, wait: Callable[[], object]) -> None:
        with self._trio.CancelScope(shield=True):
            await self._trio.to_thread.run_sync(wait)

    async def cancelled(self, body: BaseException | None) -> BaseException | None:
        return body if isinstance(body, self._trio.Cancelled) else None
