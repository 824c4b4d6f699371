"""The asynchronous library that the calling task runs under: asyncio, or trio. anyio's tasks run under one of them.

What the engine needs of it is little: to wake up a task from another thread, to let others have a turn, and to have a
coroutine run beside the task. A library is imported only where it already is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["Bell", "Library", "library"]

Work = Callable[[], Coroutine[Any, Any, None]]


class Bell(Protocol):
    """Wakes up the one task that awaits it; for one time."""

    def ring(self) -> None:
        """Wake it up, or have it not wait at all. In any thread; does nothing once the loop is gone."""

    def __await__(self) -> Generator[Any, Any, None]: ...


class Library(Protocol):
    """One loop of a library."""

    cancelled: type[BaseException]  # raised in a task that is cancelled
    raises_cancelled: bool  # also by those who await what was cancelled

    def bell(self) -> Bell:
        """A bell for the calling task."""

    def is_here(self) -> bool:
        """Whether the calling thread is the one that the loop runs in."""

    async def breathe(self) -> None:
        """Let others have a turn."""

    def spawn(self, work: Work) -> Callable[[], None]:
        """Have a coroutine run that raises nothing. Returns what cancels it. In any thread, as what is returned.

        Raises RuntimeError if the loop is gone.
        """


def library() -> Library | None:
    """The one that the caller is a task of; None in plain code."""
    trio = sys.modules.get("trio")
    if trio is not None:
        try:
            trio.lowlevel.current_task()
        except (RuntimeError, AttributeError):
            pass
        else:
            return _Trio(trio)
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    loop = asyncio._get_running_loop()
    return None if loop is None else _Asyncio(asyncio, loop)


class _Asyncio:
    raises_cancelled = True

    def __init__(self, module: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio = module
        self._loop = loop
        self.cancelled = module.CancelledError

    def bell(self) -> Bell:
        return _AsyncioBell(self._loop)

    def is_here(self) -> bool:
        return self._asyncio._get_running_loop() is self._loop

    async def breathe(self) -> None:
        await self._asyncio.sleep(0)

    def spawn(self, work: Work) -> Callable[[], None]:
        tasks: list[asyncio.Task[None]] = []  # keeps it alive
        self._loop.call_soon_threadsafe(lambda: tasks.append(self._loop.create_task(work())))

        def cancel() -> None:
            with suppress(RuntimeError):  # the loop was closed
                self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])

        return cancel


class _AsyncioBell:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._rung: asyncio.Future[None] = loop.create_future()

    def ring(self) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self._rung.done():
            self._rung.set_result(None)

    def __await__(self) -> Generator[Any, Any, None]:
        return self._rung.__await__()


class _Trio:
    raises_cancelled = False  # trio alone makes such exceptions

    def __init__(self, module: Any) -> None:
        self._trio = module
        self._token = module.lowlevel.current_trio_token()
        self.cancelled = module.Cancelled

    def bell(self) -> Bell:
        return _TrioBell(self._trio, self._token)

    def is_here(self) -> bool:
        try:
            return self._trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:
            return False

    async def breathe(self) -> None:
        await self._trio.lowlevel.checkpoint()

    def spawn(self, work: Work) -> Callable[[], None]:
        scope = self._trio.CancelScope()

        async def work_in_scope() -> None:
            with scope:
                await work()

        def start() -> None:
            with suppress(RuntimeError):  # trio's run is about to end, and takes no more tasks
                self._trio.lowlevel.spawn_system_task(work_in_scope)

        self._token.run_sync_soon(start)

        def cancel() -> None:
            with suppress(self._trio.RunFinishedError):
                self._token.run_sync_soon(scope.cancel)

        return cancel


class _TrioBell:
    def __init__(self, module: Any, token: Any) -> None:
        self._finished = module.RunFinishedError
        self._token = token
        self._rung = module.Event()

    def ring(self) -> None:
        with suppress(self._finished):  # nobody waits any more
            self._token.run_sync_soon(self._rung.set)

    def __await__(self) -> Generator[Any, Any, None]:
        waiting: Generator[Any, Any, None] = self._rung.wait().__await__()
        return waiting
