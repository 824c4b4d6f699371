"""A group whose tasks are asyncio's, on the loop that runs its block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from okazja._core.messages import Stop
from okazja._worker.task import name_of
from okazja.errors import TaskTypeError
from okazja.group.member import Member

__all__ = ["OwnTasks"]


class OwnTasks:
    """An asyncio task for each call of a coroutine function. Its table belongs to the loop's thread."""

    def __init__(self, name: str) -> None:
        self.name = name or "asyncio"
        self._prefix = name
        self._tasks: dict[asyncio.Task[Any], Member[Any]] = {}

    def enter(self, *, in_loop: bool) -> None:
        """Note the loop."""
        if not in_loop:
            raise TaskTypeError(
                "tasks of a group on 'asyncio' run in the loop that runs its block: write `async with`, not `with`"
            )
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def start(
        self, member: Member[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Create a task; from another thread, as soon as the loop gets to it."""
        if not callable(fn):
            raise TaskTypeError(f"a task must be callable, got {fn!r}: pass the function, then its arguments")
        member.name = name_of(fn)
        self._in_loop(partial(self._begin, member, partial(fn, *args, **kwargs), member._context()))

    def _in_loop(self, action: Callable[[], object]) -> None:
        if threading.get_ident() == self._thread:
            action()
        else:
            self._loop.call_soon_threadsafe(action)

    def _begin(self, member: Member[Any], call: Callable[[], Any], context: Any) -> None:
        if not member._begin():
            member._cancelled()
            return
        try:
            coroutine = context.run(call)
            if not asyncio.iscoroutine(coroutine):
                raise TaskTypeError(
                    f"{member.name} returned {type(coroutine).__name__}, not a coroutine: a group on 'asyncio' takes "
                    f"coroutine functions (async def). Use 'threads' for a plain function"
                )
        except BaseException as error:  # an exit too: the block waits until this member is done
            member.set_exception(error)
            return
        task = self._loop.create_task(coroutine, name=self._prefix or member.name, context=context)
        self._tasks[task] = member
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        member = self._tasks.pop(task)
        if task.cancelled():
            member._cancelled()
        elif (error := task.exception()) is not None:
            member.set_exception(error)
        else:
            member.set_result(task.result())

    def stop(self, group: object, stop: Stop) -> None:
        """Cancel all tasks."""
        self._in_loop(self._cancel_all)

    def _cancel_all(self) -> None:
        for task in list(self._tasks):
            task.cancel(None)

    def close(self) -> None:
        """The loop goes on."""
