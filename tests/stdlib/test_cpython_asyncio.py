"""CPython's own tests of what an event loop does with its executor, held against okazja's.

The loop of each test gets an executor of okazja's where asyncio would make one of its own for ``run_in_executor(None)``
and ``to_thread``. Only backends that run in this process: the tests hand over what belongs to it.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import unittest
from typing import Any

import pytest

from okazja import Executor

if sys.version_info >= (3, 14):
    pytest.skip("CPython 3.14 arranged its tests anew", allow_module_level=True)
pytest.importorskip(
    "test.test_asyncio", reason="this interpreter came without CPython's own tests of asyncio"
)

# Modules, their classes, and of these the tests that use the loop's executor; all where none are named.
SUITES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("test_events", "SelectEventLoopTests", ("test_run_in_executor", "test_run_in_executor_cancel")),
    ("test_events", "EPollEventLoopTests", ("test_run_in_executor", "test_run_in_executor_cancel")),
    ("test_tasks", "RunCoroutineThreadsafeTests", ()),
    ("test_threads", "ToThreadTests", ()),
)


def give(loop: Any, backend: str) -> None:
    """Have a loop use an executor of okazja's; the end of the loop ends it."""
    loop._default_executor = Executor(backend)


def with_executor(case: type[unittest.TestCase], backend: str) -> Any:
    """The class of tests, each of whose loops has such an executor."""
    if issubclass(case, unittest.IsolatedAsyncioTestCase):

        class Isolated(case):  # type: ignore[misc, valid-type]
            async def asyncSetUp(self) -> None:
                await super().asyncSetUp()
                give(asyncio.get_running_loop(), backend)

        return Isolated

    class Plain(case):  # type: ignore[misc, valid-type]
        def setUp(self) -> None:
            super().setUp()
            give(self.loop, backend)

        def tearDown(self) -> None:
            executor = self.loop._default_executor
            if executor is not None:
                executor.shutdown()
            super().tearDown()

    return Plain


def cases() -> list[Any]:
    found = []
    for module, name, tests in SUITES:
        case = getattr(importlib.import_module(f"test.test_asyncio.{module}"), name, None)
        if case is None:  # of another platform
            continue
        for test in tests or unittest.defaultTestLoader.getTestCaseNames(case):
            found += [
                pytest.param(case, test, backend, id=f"{name}.{test}: {backend}")
                for backend in ("threads", "asyncio")
            ]
    return found


@pytest.mark.filterwarnings("default")  # CPython runs these with its own filters
@pytest.mark.parametrize(("case", "test", "backend"), cases())
def test_cpython(case: type[unittest.TestCase], test: str, backend: str) -> None:
    result = unittest.TestResult()
    with_executor(case, backend)(test).run(result)
    problems = [text for _, text in [*result.failures, *result.errors]]
    assert not problems, "\n".join(problems)
    if result.skipped:
        pytest.skip(result.skipped[0][1])
    assert result.testsRun == 1
