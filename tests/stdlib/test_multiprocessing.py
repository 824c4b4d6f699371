"""CPython's own tests of multiprocessing's primitives, held against okazja's for processes.

Nothing is copied: the classes of ``test._test_multiprocessing`` are given an executor's factories in place of those of
``multiprocessing``. Their children are forked, and so have what the parent had.
"""

from __future__ import annotations

import multiprocessing
import unittest
from collections.abc import Iterator
from typing import Any

import pytest

from okazja.executor import Executor

suite: Any = pytest.importorskip(
    "test._test_multiprocessing", reason="this interpreter came without CPython's own tests"
)

EXECUTOR = Executor("processes")  # never starts a worker: the tests bring their processes

NO_DESCRIPTOR = (
    "sends descriptors over the pipe, or asks for its own; okazja's is shared memory, and has none"
)
FEEDER = "is about multiprocessing's feeder thread, which puts after `put` has returned; okazja has none"
ITS_OWN = "makes its queue by multiprocessing.Queue, whatever it is given"
WITHOUT = "wants RawValue and RawArray, which are plain ctypes objects; okazja's are made with lock=False"

# Tests that are not held against okazja, each with its reason.
SKIPS = {
    "test_connection": NO_DESCRIPTOR,
    "test_fd_transfer": NO_DESCRIPTOR,
    "test_large_fd_transfer": NO_DESCRIPTOR,
    "test_missing_fd_transfer": NO_DESCRIPTOR,
    "test_empty_exceptions": "reads the pipe inside of the queue",
    "test_closed_queue_empty_exceptions": "reads the pipe inside of the queue",
    "test_closed_queue_put_get_exceptions": "closes the queue by `close`, for this process; okazja has `shutdown`",
    "test_queue_feeder_donot_stop_onexc": FEEDER,
    "test_queue_feeder_on_queue_feeder_error": FEEDER,
    "test_no_import_lock_contention": ITS_OWN,
    "test_timeout": "gives a timeout to a semaphore that is not to wait, which threading's refuse",
    "test_notify": "counts the waiters by private attributes",
    "test_notify_all": "counts the waiters by private attributes",
    "test_notify_n": "counts the waiters by private attributes",
    "test_repr": "wants the words of multiprocessing's repr",
    "test_repr_lock": "wants the words of multiprocessing's repr",
    "test_repr_rlock": "wants the words of multiprocessing's repr",
    "test_getobj_getlock": WITHOUT,
    "test_getobj_getlock_obj": WITHOUT,
    "test_rawvalue": WITHOUT,
    "test_rawarray": WITHOUT,
}

FACTORIES = {
    name: staticmethod(getattr(EXECUTOR, name))
    for name in (
        "Pipe",
        "Queue",
        "Lock",
        "RLock",
        "Semaphore",
        "BoundedSemaphore",
        "Condition",
        "Event",
        "Barrier",
        "Value",
        "Array",
    )
} | {"JoinableQueue": staticmethod(EXECUTOR.Queue)}


def of_processes(name: str) -> type[Any]:
    """A class of CPython's tests with okazja's factories."""
    tests = getattr(suite, name)
    found = type(
        f"Okazja{name}",
        (tests, suite.ProcessesMixin, unittest.TestCase),
        {**FACTORIES, "__module__": __name__},
    )
    for method, reason in SKIPS.items():
        if hasattr(found, method) and not (method == "test_timeout" and name != "_TestSemaphore"):
            setattr(found, method, unittest.skip(reason)(getattr(found, method)))
    return found


TestQueue = of_processes("_TestQueue")
TestLock = of_processes("_TestLock")
TestSemaphore = of_processes("_TestSemaphore")
TestCondition = of_processes("_TestCondition")
TestEvent = of_processes("_TestEvent")
TestBarrier = of_processes("_TestBarrier")
TestValue = of_processes("_TestValue")
TestArray = of_processes("_TestArray")
TestConnection = of_processes("_TestConnection")


@pytest.fixture(scope="module", autouse=True)
def forked() -> Iterator[None]:
    """The start method of the tests' processes."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("fork", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)
