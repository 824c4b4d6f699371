"""CPython's own tests of its locks, with okazja's factories in place of ``threading``'s types. Nothing is copied."""

from __future__ import annotations

import unittest
from typing import Any

import pytest

from okazja.executor import Executor

lock_tests: Any = pytest.importorskip(
    "test.lock_tests", reason="this interpreter came without CPython's own tests"
)

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


def lock_classes(executor: Executor, prefix: str, module: str) -> dict[str, type[unittest.TestCase]]:
    """The classes of ``test.lock_tests``, by names that begin with ``prefix``."""
    made_by: dict[str, tuple[str, dict[str, Any]]] = {
        "LockTests": ("Lock", {"locktype": executor.Lock}),
        "RLockTests": ("RLock", {"locktype": executor.RLock}),
        "EventTests": ("Event", {"eventtype": executor.Event}),
        "ConditionTests": ("Condition", {"condtype": executor.Condition}),
        "SemaphoreTests": ("Semaphore", {"semtype": executor.Semaphore}),
        "BoundedSemaphoreTests": ("BoundedSemaphore", {"semtype": executor.BoundedSemaphore}),
        "BarrierTests": ("Barrier", {"barriertype": executor.Barrier}),
    }
    found = [_of(tests, f"{prefix}{name}Tests", module, made) for tests, (name, made) in made_by.items()]
    # A condition is locked as the RLock inside of it.
    found.append(
        _of("RLockTests", f"{prefix}ConditionAsRLockTests", module, {"locktype": executor.Condition})
    )
    return {tests.__name__: tests for tests in found}


def _of(tests: str, name: str, module: str, made_by: dict[str, Any]) -> type[unittest.TestCase]:
    factories = {attribute: staticmethod(factory) for attribute, factory in made_by.items()}
    bases = (getattr(lock_tests, tests), unittest.TestCase)
    found = type(name, bases, {**factories, "__module__": module})
    for method, reason in SKIPS.items():
        if hasattr(found, method) and (method not in ONLY_OF_CONDITIONS or tests == "ConditionTests"):
            setattr(found, method, unittest.skip(reason)(getattr(found, method)))
    return found
