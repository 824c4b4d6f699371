"""CPython's own tests of its locks, held against okazja's for processes, which threads may use as well."""

from __future__ import annotations

import unittest
from typing import Any

import pytest

from okazja.executor import Executor

lock_tests: Any = pytest.importorskip(
    "test.lock_tests", reason="this interpreter came without CPython's own tests"
)

EXECUTOR = Executor("processes")  # never starts a worker: the tests bring their threads

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
    found = type(f"Shared{tests.__name__}", (tests, unittest.TestCase), {**factories, "__module__": __name__})
    for name, reason in SKIPS.items():
        if hasattr(found, name) and (name not in ONLY_OF_CONDITIONS or tests is lock_tests.ConditionTests):
            setattr(found, name, unittest.skip(reason)(getattr(found, name)))
    return found


SharedLockTests = of_threads(lock_tests.LockTests, locktype=EXECUTOR.Lock)
SharedRLockTests = of_threads(lock_tests.RLockTests, locktype=EXECUTOR.RLock)
SharedEventTests = of_threads(lock_tests.EventTests, eventtype=EXECUTOR.Event)
SharedConditionTests = of_threads(lock_tests.ConditionTests, condtype=EXECUTOR.Condition)
SharedConditionAsRLockTests = of_threads(lock_tests.RLockTests, locktype=EXECUTOR.Condition)
SharedSemaphoreTests = of_threads(lock_tests.SemaphoreTests, semtype=EXECUTOR.Semaphore)
SharedBoundedSemaphoreTests = of_threads(lock_tests.BoundedSemaphoreTests, semtype=EXECUTOR.BoundedSemaphore)
SharedBarrierTests = of_threads(lock_tests.BarrierTests, barriertype=EXECUTOR.Barrier)
