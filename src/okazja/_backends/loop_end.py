"""How the event loop of an executor is made, and how it ends: nothing that ran on it is forgotten."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from okazja._core.timeouts import GRACE

__all__ = ["end_loop", "new_loop"]

log = logging.getLogger("okazja")


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop's where that is installed, else of asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def end_loop(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """Cancel what still runs, close what is open, and close the loop."""
    try:
        _run(loop, _end_tasks(loop, name))
        _run(loop, loop.shutdown_asyncgens())
        _run(loop, loop.shutdown_default_executor())
    finally:
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, work: Any) -> None:
    task = loop.create_task(work)
    while not task.done():
        with suppress(BaseException):  # of a task that was left running; asked for below
            loop.run_until_complete(task)


async def _end_tasks(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """Tasks that calls have left running are cancelled. Those that go on all the same are left behind."""
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    if not tasks:
        return
    for task in tasks:
        task.cancel()
    done, pending = await asyncio.wait(tasks, timeout=GRACE)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler(
                {"message": f"a task left running on {name} failed", "exception": error, "task": task}
            )
    for task in pending:
        log.warning(
            "%s was cancelled at the end of %s and goes on: it is left behind. Let it end when CancelledError is "
            "raised in it",
            task.get_name(),
            name,
        )
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it was said, with the remedy
