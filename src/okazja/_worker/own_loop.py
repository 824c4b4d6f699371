"""A thread's event loop, kept from one coroutine task to the next.

An exception may break in anywhere: `Interrupted`, raised in the thread or by a signal's handler, or a Ctrl-C. It lands
in the coroutine's own code, or in the loop's; then the coroutine is cancelled, so that its ``finally`` blocks run, and
after that the exception goes on its way.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from contextlib import suppress
from functools import partial
from typing import Any

from okazja._worker.cancellation import group_token
from okazja._worker.coroutines import AnyCoroutine
from okazja._worker.interrupt import Interrupted
from okazja.errors import LoopRunning, TaskCancelled

__all__ = ["OwnLoop", "boxed", "cancelled", "unboxed"]


class OwnLoop:
    """One thread's. Not thread-safe: everything is called in that thread, but for a look at ``running``."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None  # that runs now
        self.running: AnyCoroutine | None = None

    def run(self, coroutine: AnyCoroutine) -> Any:
        """See Home. What the coroutine has left running is cancelled, as `asyncio.run` does."""
        if events._get_running_loop() is not None:
            name = coroutine.__qualname__
            coroutine.close()
            raise LoopRunning(
                f"the coroutine {name} can't run here: an event loop runs in this thread already, and would stand "
                f"still meanwhile. Give it to Executor('asyncio') or Executor('threads'), or await {name}(...) itself"
            )
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = self._loop = asyncio.new_event_loop()
            loop.set_exception_handler(self._on_problem)
        box: list[Any] = []
        self.running = coroutine
        self._task = task = loop.create_task(boxed(coroutine, box))
        del coroutine
        token = group_token.get()
        cancel = partial(_cancel_soon, loop, task)
        try:
            if token is not None:  # the end of the group ends the coroutine, also on a thread
                token.watch(cancel)
            self._run(loop, self._task)
            if asyncio.all_tasks(loop):
                self._run(loop, loop.create_task(_cancel_all(loop)))
        finally:
            self._task = self.running = None
            if token is not None:
                token.unwatch(cancel)
        return unboxed(box)

    def _run(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
        try:
            loop.run_until_complete(task)
        except BaseException:
            # It broke into the loop rather than into the task. If another does so now, this loop is used no more.
            self._loop = None
            if not task.done():
                task.cancel()
                loop.run_until_complete(task)
            self._loop = loop
            raise

    def _on_problem(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the loop itself would only log. An interrupt between two steps of the task is meant for it."""
        if not isinstance(context.get("exception"), Interrupted):
            loop.default_exception_handler(context)
        elif self._task is not None:
            self._task.cancel()

    def wake(self) -> None:
        """See Home."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(_nothing)

    def close(self) -> None:
        """Close the loop; asynchronous generators that were not read to their end are closed first."""
        loop, self._loop = self._loop, None
        if loop is None or loop.is_closed():
            return
        try:
            if events._get_running_loop() is None:
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    def __del__(self) -> None:
        """The thread has ended, or the interpreter does."""
        try:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.close()
        except Exception:  # noqa: S110  (at the end of the interpreter anything may be gone already)
            pass


def _cancel_soon(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    with suppress(RuntimeError):  # the loop was closed
        loop.call_soon_threadsafe(task.cancel)


def _nothing() -> None:
    """Having been called is enough: the loop has turned."""


async def boxed(coroutine: AnyCoroutine, box: list[Any]) -> None:
    """Put what comes of a coroutine into the box: a task that raised SystemExit itself would stop its loop."""
    value: Any = None
    error: BaseException | None = None
    try:
        value = await coroutine
    except asyncio.CancelledError as problem:
        error = cancelled(coroutine.__qualname__, problem)
    except BaseException as problem:
        error = problem.with_traceback(problem.__traceback__ and problem.__traceback__.tb_next)
    box[:] = value, error
    del error


def unboxed(box: list[Any]) -> Any:
    """What is in the box; it is empty afterwards."""
    value, error = box
    box.clear()
    if error is not None:
        try:
            raise error
        finally:
            del error  # break the cycle error → traceback → this frame → error
    return value


def cancelled(name: str, error: BaseException) -> TaskCancelled:
    """The error of a coroutine that ended because it was cancelled."""
    result = TaskCancelled(
        f"{name} was cancelled: from inside, by what it waited for, or with the task that awaited its result"
    )
    result.__cause__ = error
    return result


async def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            message = "a task that was left running failed when it was cancelled"
            loop.call_exception_handler({"message": message, "exception": error, "task": task})
