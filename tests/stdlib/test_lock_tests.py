"""CPython's own tests of its locks and queues, held against okazja's for threads."""

from __future__ import annotations

import queue
import unittest
from typing import Any

import pytest
from tests.stdlib.lock_classes import lock_classes

from okazja.executor import Executor

test_queue: Any = pytest.importorskip(
    "test.test_queue", reason="this interpreter came without CPython's own tests"
)

EXECUTOR = Executor("threads")  # never starts a thread: the tests bring theirs

globals().update(lock_classes(EXECUTOR, "Okazja", __name__))


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
