"""CPython's own tests of its locks, held against okazja's for processes, which threads may use as well."""

from __future__ import annotations

from tests.stdlib.lock_classes import lock_classes

from okazja.executor import Executor

EXECUTOR = Executor("processes")  # never starts a worker: the tests bring their threads

globals().update(lock_classes(EXECUTOR, "Shared", __name__))
