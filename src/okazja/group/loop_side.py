"""The event loop and the asyncio task that run a group's block: how they are told, and never blocked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["LoopSide"]


class LoopSide:
    """Made where the block begins. ``cancel_block`` and ``wake`` are for any thread, the rest is the loop's."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("`async with` a group needs an asyncio task around it")
        self._task = task
        self._cancelling = task.cancelling()  # requests that others had made before
        self._future: asyncio.Future[None] | None = None
        self.leaving = False  # the code of the block is over: nothing is left to cancel there
        self.requested = False  # the code of the block was cancelled, because the group was

    def cancel_block(self) -> None:
        """Have what the block awaits raise CancelledError."""
        self._tell(self._cancel_block)

    def _cancel_block(self) -> None:
        if not self.leaving and not self._task.done():
            self.requested = True
            self._task.cancel()

    def wake(self) -> None:
        """Have ``woken`` return."""
        self._tell(self._wake)

    def _wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def _tell(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(what)

    async def woken(self) -> None:
        """Sleep until ``wake`` is called; a call since the last time that the loop went round counts."""
        self._future = self._loop.create_future()
        await self._future

    async def finish(self, wait: Callable[[], object]) -> None:
        """Wait in a thread for what would block the loop; also when the task is cancelled meanwhile."""
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

    async def cancelled(self) -> bool:
        """At the end: whether somebody else has cancelled the task. The request of the group is taken back."""
        if self.requested and self._task.uncancel() <= self._cancelling:
            with suppress(asyncio.CancelledError):  # it may be still to come
                await asyncio.sleep(0)
        return self._task.cancelling() > self._cancelling
