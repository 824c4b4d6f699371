"""Coroutines as tasks: a task's call may return one, however its function was written, and it is run to its end.

Where it runs is up to the thread: on an event loop of its own (`okazja._worker.own_loop`, from the first coroutine
until the worker ends), or where its backend says. asyncio is imported only then.
"""

from __future__ import annotations

import inspect
import threading
import traceback
from collections.abc import Callable
from functools import partial
from types import CodeType, CoroutineType, FrameType
from typing import TYPE_CHECKING, Any, Protocol

__all__ = [
    "AnyCoroutine",
    "Home",
    "close_loop",
    "finish",
    "finished",
    "makes_coroutines",
    "runs_coroutine",
    "set_home",
    "standing",
    "standing_in",
    "wake",
]

if TYPE_CHECKING:
    AnyCoroutine = CoroutineType[Any, Any, Any]
else:
    AnyCoroutine = CoroutineType  # which takes no parameters before CPython 3.13


class Home(Protocol):
    """Where a thread's coroutines run."""

    running: AnyCoroutine | None

    def run(self, coroutine: AnyCoroutine) -> Any:
        """Run it to its end: what it returns, or the exception that it raised."""

    def wake(self) -> None:
        """If it waits for something to happen, have it look. Called in any thread."""

    def close(self) -> None:
        """The thread runs no more of them."""


class _Here(threading.local):
    home: Home | None = None


_here = _Here()
_homes: dict[int, Home] = {}  # by thread; read by those that say where an interrupted task stood


def finished(value: Any) -> Any:
    """The result of a task: a coroutine is run to its end first, anything else is the result itself."""
    return finish(value) if type(value) is CoroutineType else value


def finish(coroutine: AnyCoroutine) -> Any:
    """Run a coroutine where this thread's coroutines run. Raises what it raises, and LoopRunning inside a running loop.

    Its context variables are those of the caller.
    """
    home = _here.home
    if home is None:
        from okazja._worker.own_loop import OwnLoop

        home = OwnLoop()
        set_home(home)
    return home.run(coroutine)


def set_home(home: Home) -> None:
    """Have this thread's coroutines run there."""
    _here.home = _homes[threading.get_ident()] = home


def close_loop() -> None:
    """This thread runs no more coroutines; if it does all the same, it gets another loop."""
    home, _here.home = _here.home, None
    if home is not None:
        _homes.pop(threading.get_ident(), None)
        home.close()


def makes_coroutines(fn: Callable[..., Any]) -> bool:
    """Whether a call of ``fn`` certainly gives a coroutine."""
    inner: Any = fn
    while isinstance(inner, partial):
        inner = inner.func
    inner = getattr(inner, "__func__", inner)
    code = getattr(inner, "__code__", None)
    if not isinstance(code, CodeType):
        call = getattr(type(inner), "__call__", None)  # noqa: B004  (its code)
        code = getattr(call, "__code__", None)
    return isinstance(code, CodeType) and bool(code.co_flags & inspect.CO_COROUTINE)


def runs_coroutine(frame: FrameType) -> bool:
    """Whether this is the frame below a coroutine: what lies further down is no part of the task."""
    return frame.f_globals.get("__name__") == "okazja._worker.own_loop"


def wake(thread: int) -> None:
    """An exception was raised in this thread: if an event loop waits there, have it notice."""
    home = _homes.get(thread)
    if home is not None:
        home.wake()


def standing_in(thread: int) -> list[str]:
    """The lines at which the coroutine waits that this thread runs; empty if none runs, or not just waits."""
    home = _homes.get(thread)
    running = home.running if home is not None else None
    return (
        [] if running is None or inspect.getcoroutinestate(running) != "CORO_SUSPENDED" else standing(running)
    )


def standing(coroutine: Any) -> list[str]:
    """The lines at which a suspended coroutine waits, outermost first, as those of a traceback."""
    frames: list[tuple[FrameType, int]] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return traceback.StackSummary.extract(frames).format()
