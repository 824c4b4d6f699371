"""Executors that do not outlive an interrupt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from okazja.errors import UnsupportedParameter
from okazja.executor import Executor

__all__ = ["opened"]


@contextmanager
def opened(backend: str, max_workers: int | None = None) -> Iterator[Executor]:
    """An executor for a block. Leaving the block by an exception, Ctrl-C included, waits for nothing.

    Worker processes are killed then. Threads can't be: each ends after the item that it runs.
    """
    executor = Executor(backend, max_workers)
    try:
        yield executor
        executor.shutdown()
    except BaseException:
        try:
            executor.kill_workers()
        except UnsupportedParameter:  # its workers are no processes
            pass
        executor.shutdown(wait=False, cancel_futures=True)
        raise
