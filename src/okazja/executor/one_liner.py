"""The one-liner, and the executors that it keeps warm."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from okazja.executor.executor import BackendName, Executor
from okazja.progress import Progress

__all__ = ["map"]

T = TypeVar("T")

_warm_lock = threading.Lock()
_warm: dict[tuple[Any, ...], Executor] = {}
MOST_WARM = 2  # executors kept for the next call


def map(  # noqa: A001  (the field's name for it)
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    backend: BackendName | str = "processes",
    max_workers: int | None = None,
    progress: bool | Callable[[Progress], object] = False,
) -> list[T]:
    """The list of ``fn``'s results for the items, computed with the given backend.

    The executor is kept warm for the next call with the same backend and number of workers, as long as
    environment, current directory and import path stay as they were; it ends with the interpreter.
    progress: as for ``Executor.stream``.
    Raises what ``Executor`` and ``Executor.map`` raise, and the first error of an item.
    """
    executor = _take_warm(backend, max_workers)
    try:
        results = list(executor.map(fn, *iterables, progress=progress))
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    _keep_warm(backend, max_workers, executor)
    return results


def _surroundings(backend: str, max_workers: int | None) -> tuple[Any, ...]:
    """What a warm executor must have in common with the call that would reuse it."""
    try:
        directory = os.getcwd()
    except OSError:
        directory = ""
    return (backend, max_workers, os.getpid(), directory, tuple(sys.path), tuple(sorted(os.environ.items())))


def _take_warm(backend: str, max_workers: int | None) -> Executor:
    key = _surroundings(backend, max_workers)
    with _warm_lock:
        executor = _warm.pop(key, None)
    if executor is not None and not executor._broken:
        return executor
    return Executor(backend, max_workers)


def _keep_warm(backend: str, max_workers: int | None, executor: Executor) -> None:
    """Keep an executor that nobody uses, and let go of one that was kept for longer."""
    key = _surroundings(backend, max_workers)
    with _warm_lock:
        replaced = [_warm.pop(old) for old in list(_warm)[: max(0, len(_warm) + 1 - MOST_WARM)]]
        previous = _warm.pop(key, None)
        _warm[key] = executor
    for old in [*replaced, previous]:
        if old is not None:
            old.shutdown(wait=False)


def _after_fork_in_child() -> None:
    """The executors are the parent's, and some thread may have held the lock."""
    global _warm_lock
    _warm_lock = threading.Lock()
    _warm.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
