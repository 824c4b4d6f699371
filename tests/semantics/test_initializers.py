"""A task runs only in a worker whose initializer is done, and sees the globals that it has set."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.scripts import eventually, run

from okazja import Executor

Open = Callable[..., Executor]

PATIENCE = 20.0  # seconds for what should take none


def test_threads_that_share_a_serial_executor_wait_for_it(open_executor: Open) -> None:
    begun, let_go = threading.Event(), threading.Event()
    ready: list[bool] = []

    def initialise() -> None:
        begun.set()
        assert let_go.wait(PATIENCE)
        ready.append(True)

    executor = open_executor("serial", initializer=initialise)
    with ThreadPoolExecutor(3) as threads:
        try:
            first = threads.submit(lambda: executor.submit(lambda: bool(ready)).result(PATIENCE))
            assert begun.wait(PATIENCE)
            others = [
                threads.submit(lambda: executor.submit(lambda: bool(ready)).result(PATIENCE))
                for _ in range(2)
            ]
            assert not eventually(lambda: any(other.done() for other in others), 0.1)
        finally:
            let_go.set()
        assert [future.result(PATIENCE) for future in (first, *others)] == [True] * 3


def test_an_initializer_may_submit_to_its_own_serial_executor(open_executor: Open) -> None:
    results: list[int] = []

    def initialise() -> None:
        results.append(executor.submit(abs, -3).result(PATIENCE))

    executor = open_executor("serial", initializer=initialise)
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(lambda: executor.submit(abs, -4).result(PATIENCE)).result(PATIENCE) == 4
    assert results == [3]


CALLABLE_OBJECT = """
    from okazja import Executor

    model = None

    class Load:
        def __init__(self, name):
            self.name = name
        def __call__(self):
            global model
            model = self.name

    def use(_):
        return model

    with Executor("processes", 1, initializer=Load("large")) as executor:
        print(executor.submit(use, 0).result(20), *executor.map(use, range(2), timeout=20))
"""


def test_globals_set_by_a_callable_object_are_seen(tmp_path: Path) -> None:
    done = run(tmp_path, CALLABLE_OBJECT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "large large large\n", "")
