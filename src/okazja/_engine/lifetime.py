"""What becomes of engines when the interpreter ends, and in children that the process forks."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING

from okazja._engine.future import forget_lost, report_all_lost

if TYPE_CHECKING:
    from okazja._engine.engine import Engine

__all__ = ["interpreter_exits", "live_engines", "register"]

_live: weakref.WeakSet[Engine] = weakref.WeakSet()
_interpreter_exits = False


def register(engine: Engine) -> None:
    """An engine was opened."""
    _live.add(engine)


def live_engines() -> list[Engine]:
    """The engines of this process that were not closed, oldest first."""
    return sorted((engine for engine in _live if not engine.closed), key=lambda engine: engine.number)


def interpreter_exits() -> bool:
    """Whether it is too late for new work."""
    return _interpreter_exits


def _at_exit() -> None:
    """Let pending work finish before the interpreter ends, as the standard library's executors do."""
    global _interpreter_exits
    engines = [engine for engine in _live if engine.owner == os.getpid()]
    ctrl_c = getattr(sys, "last_type", None) is KeyboardInterrupt
    for engine in engines:
        if ctrl_c:
            engine.interrupt()
        else:
            engine.shutdown(wait=False, cancel_futures=False)
    _interpreter_exits = True
    for engine in engines:
        engine.join()
    report_all_lost()


def _after_fork_in_child() -> None:
    forget_lost()
    for engine in list(_live):
        engine.after_fork()
    _live.clear()


# Before threads are joined, which atexit would be too late for; concurrent.futures does the same.
threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
