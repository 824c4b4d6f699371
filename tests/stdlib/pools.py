"""okazja's executors, constructed as the standard library's pools are.

CPython's tests construct a pool by its class alone, here in the tests' process and in fresh
interpreters that they start; so each kind is a class, in a module that needs nothing but okazja.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.context import BaseContext
from typing import Any

import okazja

__all__ = ["Pool", "Processes", "Serial", "StartedProcesses", "Threads"]

Initializer = Callable[..., object]
Pool = okazja.Executor


class Serial(okazja.Executor):
    """In place of a pool with as many workers as a test asks for: the calling thread does the work of all."""

    def __init__(
        self,
        max_workers: int | None = None,
        initializer: Initializer | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        one = None if max_workers is None else min(max_workers, 1)  # zero and less are refused as they are
        super().__init__("serial", one, initializer=initializer, initargs=initargs)


class Threads(okazja.Executor):
    """In place of ThreadPoolExecutor."""

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Initializer | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(
            "threads",
            max_workers,
            thread_name_prefix=thread_name_prefix,
            initializer=initializer,
            initargs=initargs,
        )


class StartedProcesses(okazja.Executor):
    """In place of ProcessPoolExecutor, with the start method that its context names."""

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Initializer | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        super().__init__(
            "processes",
            max_workers,
            mp_context=mp_context,
            initializer=initializer,
            initargs=initargs,
            max_tasks_per_child=max_tasks_per_child,
        )


class Processes(StartedProcesses):
    """In place of ProcessPoolExecutor, with okazja's own start whatever the context.

    A test takes its queues and semaphores from the context it names.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Initializer | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        super().__init__(max_workers, None, initializer, initargs, max_tasks_per_child=max_tasks_per_child)
