"""CPython's own tests of its pools, those of the interpreter that runs this, held against okazja's executors.

Nothing is copied: the classes of ``test.test_concurrent_futures`` are imported and combined with kinds of executors,
as CPython combines them with its own pools. Older interpreters have it as one module, newer ones as a package with
the same names; some were installed without it.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import sys
import unittest
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from tests.stdlib import pools
from tests.stdlib.skips import SKIPS, Skip

SUITE = "test.test_concurrent_futures"
PARTS = (
    "executor",
    "test_as_completed",
    "test_deadlock",
    "test_init",
    "test_process_pool",
    "test_shutdown",
    "test_thread_pool",
    "test_wait",
    "util",
)

if sys.version_info >= (3, 14):
    pytest.skip(
        "CPython 3.14 arranged its tests anew: they need other classes around them", allow_module_level=True
    )
pytest.importorskip(SUITE, reason="this interpreter came without CPython's own tests of its pools")


def modules_of_the_suite() -> list[ModuleType]:
    suite = importlib.import_module(SUITE)
    return (
        [importlib.import_module(f"{SUITE}.{part}") for part in PARTS]
        if hasattr(suite, "__path__")
        else [suite]
    )


MODULES = modules_of_the_suite()


def of_the_suite(name: str) -> Any:
    """A class of CPython's tests, wherever this version has it."""
    return next(getattr(module, name) for module in MODULES if hasattr(module, name))


# Some tests start an interpreter of their own, whose program looks for its pool in concurrent.futures.
PRELUDE = f"""
import sys
sys.path[:] = {[str(Path(__file__).parent), *sys.path]!r}
import concurrent.futures, multiprocessing, pools
for name in pools.__all__:
    setattr(concurrent.futures, name, getattr(pools, name))
"""


class InPlaceOfThePools:
    """The first base: tests that name the standard library's pools get okazja's as well."""

    executor_type: type[pools.Pool]
    _testMethodName: str  # noqa: N815  (unittest's)
    addCleanup: Callable[..., None]  # noqa: N815  (unittest's)

    def setUp(self) -> None:
        for owner, name, substitute in [*self.pools(), *self.programs()]:
            patch = mock.patch.object(owner, name, substitute)
            patch.start()
            self.addCleanup(patch.stop)
        super().setUp()  # type: ignore[misc]

    def pools(self) -> Iterator[tuple[ModuleType, str, Any]]:
        # This one skips itself where ProcessPoolExecutor is the class under test, as that one hangs; okazja's does not.
        if self._testMethodName == "test_hang_gh83386":
            return
        processes = pools.StartedProcesses
        yield concurrent.futures, "ThreadPoolExecutor", pools.Threads
        yield (
            concurrent.futures,
            "ProcessPoolExecutor",
            self.executor_type if hasattr(self, "ctx") else processes,
        )

    def programs(self) -> Iterator[tuple[ModuleType, str, Any]]:
        for module in MODULES:
            if hasattr(module, "assert_python_ok"):
                yield module, "assert_python_ok", with_prelude(module.assert_python_ok)


def with_prelude(assert_python_ok: Callable[..., Any]) -> Callable[..., Any]:
    def run(option: str, program: str, **environment: str) -> Any:
        assert option == "-c"
        return assert_python_ok(option, f"{PRELUDE}\n{program}", **environment)

    return run


COLLECTED: Counter[str] = Counter()  # how many of CPython's tests each kind of executors has got
FOUND: set[tuple[str, str]] = set()  # tests that are skipped, and the kind that each is skipped for


def skipped(skip: Skip, test: Any) -> Any:
    return unittest.skip(f"{skip.why}: {skip.reason}")(test)


def put_together(kind: str, tests: str, bases: tuple[type, ...], **attributes: Any) -> None:
    """Have pytest find the tests of one class of CPython's, for one kind of executors."""
    name = f"Test{kind}{tests.removeprefix('ThreadPool').removeprefix('ProcessPool').removesuffix('Mixin')}"
    cls = type(name, (InPlaceOfThePools, *bases), {"__module__": __name__, **attributes})
    for skip in SKIPS:
        if hasattr(cls, skip.test) and (not skip.kinds or kind in skip.kinds):
            setattr(cls, skip.test, skipped(skip, getattr(cls, skip.test)))
            FOUND.add((skip.test, kind))
    globals()[name] = cls
    COLLECTED[kind] += len(unittest.defaultTestLoader.getTestCaseNames(cls))


BASES = (of_the_suite("ExecutorMixin"), of_the_suite("BaseTestCase"))
FOR_ALL = ("AsCompletedTests", "InitializerMixin", "FailingInitializerMixin")
FOR_THREADS = ("ThreadPoolExecutorTest", "ThreadPoolWaitTests", "ThreadPoolShutdownTest")
FOR_PROCESSES = ("ProcessPoolExecutorTest", "WaitTests", "ProcessPoolShutdownTest", "ExecutorDeadlockTest")

STARTS: dict[str, dict[str, Any]] = {
    # okazja's own start; the context is where the tests take their queues and semaphores from
    "Processes": {"executor_type": pools.Processes, "ctx": "spawn"},
    "Fork": {"executor_type": pools.StartedProcesses, "ctx": "fork"},
    "Spawn": {"executor_type": pools.StartedProcesses, "ctx": "spawn"},
    "Forkserver": {"executor_type": pools.StartedProcesses, "ctx": "forkserver"},
}

# The classes named after a pool add what concerns its threads and processes alone; serial has neither.
FOR_SERIAL = ("ExecutorTest", "WaitTests", "ExecutorShutdownTest")

for tests in FOR_THREADS:
    put_together("Threads", tests, (of_the_suite(tests),), executor_type=pools.Threads)
for tests in FOR_ALL:
    put_together("Threads", tests, (of_the_suite(tests), *BASES), executor_type=pools.Threads)
for kind, attributes in STARTS.items():
    for tests in (*FOR_ALL, *FOR_PROCESSES):
        put_together(kind, tests, (of_the_suite(tests), *BASES), **attributes)
for tests in (*FOR_ALL, *FOR_SERIAL):
    put_together("Serial", tests, (of_the_suite(tests), *BASES), executor_type=pools.Serial)


RESOURCES = "FailingInitializerResourcesTest"  # in newer versions

if any(hasattr(module, RESOURCES) for module in MODULES):

    class TestFailingInitializerResources(of_the_suite(RESOURCES)):  # type: ignore[misc]
        """After an initializer failed no semaphore is left behind."""

        def _test(self, test_class: type) -> None:
            kind = "Spawn" if "Spawn" in test_class.__name__ else "Forkserver"
            super()._test(globals()[f"Test{kind}FailingInitializer"])


# No supported version has fewer; far fewer are left when a part of the suite is renamed or moved.
AT_LEAST = {"Serial": 28, "Threads": 36, "Processes": 50, "Fork": 50, "Spawn": 50, "Forkserver": 50}


@pytest.mark.parametrize("kind", AT_LEAST)
def test_the_suite_is_not_empty(kind: str) -> None:
    assert COLLECTED[kind] >= AT_LEAST[kind]


@pytest.mark.parametrize("skip", SKIPS, ids=lambda skip: str(skip.test))
def test_each_skip_names_a_test(skip: Skip) -> None:
    """Of each kind it is for: a skip whose test CPython renamed would stay for nothing."""
    if sys.version_info < skip.since:
        pytest.skip(f"CPython has this test since {skip.since}")
    found = {kind for test, kind in FOUND if test == skip.test}
    assert found
    assert found >= set(skip.kinds)
