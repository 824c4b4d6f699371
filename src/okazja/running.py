"""``okazja.run``: a coroutine from code that is no coroutine, wherever that code runs."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from okazja._engine.library import library
from okazja._worker.own_loop import cancelled_with_group, canceller
from okazja._worker.task import name_of
from okazja.errors import LoopRunning, TaskTypeError

__all__ = ["run"]

T = TypeVar("T")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(coroutine: Awaitable[T], *, debug: bool | None = None, loop_factory: LoopFactory | None = None) -> T:
    """Run a coroutine (or await another awaitable) in an event loop of its own; returns its result.

    It sees the context variables of the caller. Ctrl-C cancels it, and is raised when it has ended; in a task of a
    group, so does the end of the group. In a notebook, whose own loop is running, a thread of its own runs it while the
    cell waits.

    debug, loop_factory: as for ``asyncio.Runner``. Raises LoopRunning (a RuntimeError) inside any other event loop,
    and TaskTypeError for what can't be awaited.
    """
    if not inspect.isawaitable(coroutine):
        raise TaskTypeError(f"okazja.run() takes a coroutine, got {coroutine!r}{_remedy(coroutine)}")
    if library() is None:
        return _run(coroutine, debug, loop_factory)
    if _in_notebook():
        result: T = _Helper(coroutine, debug, loop_factory).result()
        return result
    name = getattr(coroutine, "__qualname__", "")
    if inspect.iscoroutine(coroutine):
        coroutine.close()  # nobody will await it
    raise LoopRunning(
        f"okazja.run({name}(...)) was called inside of a running event loop: write `await {name}(...)` there"
    )


def _remedy(value: Any) -> str:
    if inspect.iscoroutinefunction(value):
        return f": call the function, okazja.run({name_of(value)}(...))"
    return ""


def _run(
    awaitable: Awaitable[T],
    debug: bool | None,
    loop_factory: LoopFactory | None,
    begun: Callable[[Callable[[], object]], object] | None = None,
) -> T:
    """Run it here. ``begun`` is given what cancels it, from any thread, once it can be."""
    try:
        with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
            return runner.run(_cancellable(awaitable, begun))
    finally:
        if inspect.iscoroutine(awaitable):
            awaitable.close()  # where it has not begun


async def _cancellable(awaitable: Awaitable[T], begun: Callable[[Callable[[], object]], object] | None) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    if begun is not None:
        begun(canceller(loop, task))
    return await cancelled_with_group(awaitable)


def _in_notebook() -> bool:
    """Whether the running loop is that of an IPython kernel, which runs cells in the main thread."""
    ipython = sys.modules.get("IPython")
    if ipython is None or threading.current_thread() is not threading.main_thread():
        return False
    shell = ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class _Helper:
    """A thread that runs a coroutine while the calling thread waits."""

    def __init__(
        self, awaitable: Awaitable[Any], debug: bool | None, loop_factory: LoopFactory | None
    ) -> None:
        self._what = (awaitable, debug, loop_factory)
        self._value: Any = None
        self._error: BaseException | None = None
        self._cancel: Callable[[], object] | None = None
        self._interrupted = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), name="okazja-run", daemon=True
        )

    def _work(self) -> None:
        try:
            self._value = _run(*self._what, begun=self._begun)
        except BaseException as error:
            self._error = error

    def _begun(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel
        if self._interrupted:
            cancel()

    def result(self) -> Any:
        """Wait for it; Ctrl-C, the kernel's interrupt, cancels the coroutine and is raised when it has ended."""
        try:
            self._thread.start()
            self._thread.join()
        except KeyboardInterrupt:
            self._interrupted = True
            if self._cancel is not None:
                self._cancel()
            self._thread.join()
            raise
        try:
            if self._error is not None:
                raise self._error
            return self._value
        finally:
            self._error = None
