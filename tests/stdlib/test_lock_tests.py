"""CPython's own tests of its locks and queues, held against okazja's for threads.

Nothing is copied: the classes of ``test.lock_tests`` and ``test.test_queue`` are given okazja's factories in place of
the types of ``threading`` and ``queue``.
"""

from __future__ import annotations

import queue
import unittest
from typing import Any

import pytest

from okazja.executor import Executor

lock_tests: Any = pytest.importorskip(
    "test.lock_tests", reason="this interpreter came without CPython's own tests"
)
test_queue: Any = pytest.importorskip(
    "test.test_queue", reason="this interpreter came without CPython's own tests"
)

EXECUTOR = Executor("threads")  # never starts a thread: the tests bring theirs

# Tests that are not held against okazja, each with its reason.
SKIPS = {
    "test_at_fork_reinit": "calls a private method by which threading mends its own locks in a forked child",
    "test_acquire": "gives a condition a lock of threading's, which a coroutine can't wait for",
    "test_locked_repr": "wants the words of threading's repr",
    "test_repr": "wants the words of threading's repr",
    "test_repr_count": "wants the words of threading's repr",
    "test_nan_timeout": "counts the waiters of a condition by a private attribute; events are held to it",
}
ONLY_OF_CONDITIONS = {"test_acquire", "test_nan_timeout"}


def of_threads(tests: type[Any], **made_by: Any) -> type[Any]:
    """A class of CPython's tests with other types."""
    factories = {name: staticmethod(factory) for name, factory in made_by.items()}
    found = type(f"Okazja{tests.__name__}", (tests, unittest.TestCase), {**factories, "__module__": __name__})
    for name, reason in SKIPS.items():
        if hasattr(found, name) and (name not in ONLY_OF_CONDITIONS or tests is lock_tests.ConditionTests):
            setattr(found, name, unittest.skip(reason)(getattr(found, name)))
    return found


OkazjaLockTests = of_threads(lock_tests.LockTests, locktype=EXECUTOR.Lock)
OkazjaRLockTests = of_threads(lock_tests.RLockTests, locktype=EXECUTOR.RLock)
OkazjaEventTests = of_threads(lock_tests.EventTests, eventtype=EXECUTOR.Event)
OkazjaConditionTests = of_threads(lock_tests.ConditionTests, condtype=EXECUTOR.Condition)
OkazjaConditionAsRLockTests = of_threads(lock_tests.RLockTests, locktype=EXECUTOR.Condition)
OkazjaSemaphoreTests = of_threads(lock_tests.SemaphoreTests, semtype=EXECUTOR.Semaphore)
OkazjaBoundedSemaphoreTests = of_threads(lock_tests.BoundedSemaphoreTests, semtype=EXECUTOR.BoundedSemaphore)
OkazjaBarrierTests = of_threads(lock_tests.BarrierTests, barriertype=EXECUTOR.Barrier)


class Queue(type(EXECUTOR.Queue())):  # type: ignore[misc]
    """Its class is called as that of the standard library, which the tests look at."""

    __slots__ = ()

    def __init__(self, maxsize: int = 0) -> None:
        home: Any = EXECUTOR.Queue()
        super().__init__(home._home, maxsize)


class OkazjaQueueTest(test_queue.BaseQueueTestMixin, unittest.TestCase):  # type: ignore[misc]
    """Those of ``queue.Queue``."""

    queue = queue
    type2test = Queue
