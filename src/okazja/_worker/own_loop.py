"""A thread's event loop, kept from one coroutine task to the next.

An exception may break in anywhere: `Interrupted`, raised in the thread or by a signal's handler, or a Ctrl-C. It lands
in the coroutine's own code, or in the loop's; then the coroutine is cancelled, so that its ``finally`` blocks run, and
after that the exception goes on its way.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

from okazja._worker.cancellation import group_token
from okazja._worker.coroutines import AnyCoroutine
from okazja._worker.interrupt import Interrupted
from okazja.errors import LoopRunning, TaskCancelled

__all__ = ["OwnLoop", "boxed", "cancelled", "cancelled_with_group", "canceller", "unboxed"]

T = TypeVar("T")


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
        try:
            self._run(loop, task)
            if asyncio.all_tasks(loop):
                self._run(loop, loop.create_task(_cancel_all(loop)))
        finally:
            self._task = self.running = None
        return unboxed(box)

    def _run(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
        try:
            _complete(loop, task)
        except BaseException:
            # It broke into the loop rather than into the task. If another does so now, this loop is used no more.
            self._loop = None
            if not task.done():
                task.cancel()
                _complete(loop, task)
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


def _complete(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    """Run the loop until the task is done, even if it is stopped before.

    Either the coroutine does so, or the end of the last one: an exception that broke in there left it in the queue.
    """
    while True:
        try:
            loop.run_until_complete(task)
        except RuntimeError:
            if task.done() or loop.is_running() or loop.is_closed():
                raise
        else:
            return


async def cancelled_with_group(awaitable: Awaitable[T]) -> T:
    """Await something; the end of the group that the caller belongs to cancels the task that does so."""
    token = group_token.get()
    if token is None:
        return await awaitable
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    cancel = canceller(loop, task)
    token.watch(cancel)
    try:
        return await awaitable
    finally:
        token.unwatch(cancel)


def canceller(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> Callable[[], None]:
    """What cancels a task from any thread; never while its loop is in the middle of another one."""

    def cancel() -> None:
        with suppress(RuntimeError):  # the loop was closed: it has ended
            loop.call_soon_threadsafe(task.cancel)

    return cancel


def _nothing() -> None:
    """Having been called is enough: the loop has turned."""


async def boxed(coroutine: AnyCoroutine, box: list[Any]) -> None:
    """Put what comes of a coroutine into the box: a task that raised SystemExit itself would stop its loop.

    The end of its group cancels it, whatever thread waits for it.
    """
    value: Any = None
    error: BaseException | None = None
    try:
        value = await cancelled_with_group(coroutine)
    except asyncio.CancelledError as problem:
        error = cancelled(coroutine.__qualname__, problem)
    except BaseException as problem:
        error = problem.with_traceback(_without_ours(problem.__traceback__))
    box[:] = value, error
    del error


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of `boxed` and of `cancelled_with_group`."""
    for _ in range(2):
        trace = trace and trace.tb_next
    return trace


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
