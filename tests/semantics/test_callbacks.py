"""A future's callback may raise anything and shut the executor down: nobody else's result depends on it."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.semantics.tasks import identity

from okazja import Executor
from okazja.testing.gate import Gate, wait_at

Open = Callable[..., Executor]

PATIENCE = 20.0  # seconds for what should take none

CONCURRENT = pytest.mark.parametrize("name", ["threads", "processes"])


@pytest.mark.parametrize(
    ("name", "exit_type"),
    [
        ("threads", ValueError),
        ("threads", SystemExit),
        ("threads", KeyboardInterrupt),
        ("processes", ValueError),
        ("processes", SystemExit),
        ("processes", KeyboardInterrupt),
    ],
)
def test_one_that_raises_keeps_nobody_waiting(
    open_executor: Open, name: str, exit_type: type[BaseException]
) -> None:
    called = []

    def leave(future: concurrent.futures.Future[Any]) -> None:
        called.append(future)
        raise exit_type

    executor = open_executor(name, 1)
    with Gate() as gate:
        first = executor.submit(wait_at, gate.address)
        gate.arrivals(1)
        futures = [executor.submit(identity, n) for n in range(20)]
        for future in [first, *futures]:
            future.add_done_callback(leave)
    assert [future.result(PATIENCE) for future in futures] == list(range(20))
    assert executor.submit(identity, 3).result(PATIENCE) == 3
    assert called == [first, *futures]


@CONCURRENT
@pytest.mark.parametrize("wait", [False, True])
def test_one_that_shuts_down_while_a_map_is_unfinished(open_executor: Open, name: str, wait: bool) -> None:
    executor = open_executor(name, 1)
    returned = threading.Event()

    def shut_down(_: object) -> None:
        executor.shutdown(wait=wait)
        returned.set()

    with Gate() as gate:
        future = executor.submit(wait_at, gate.address)
        gate.arrivals(1)
        future.add_done_callback(shut_down)
        results = executor.map(identity, range(60), chunksize=1, timeout=PATIENCE)
    assert returned.wait(PATIENCE)
    assert list(results) == list(range(60))
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(identity, 1)


@CONCURRENT
def test_one_that_shuts_down_while_nobody_can_look_at_a_map(open_executor: Open, name: str) -> None:
    executor = open_executor(name, 1)
    returned = threading.Event()

    def shut_down(_: object) -> None:
        executor.shutdown(wait=True)
        returned.set()

    with Gate() as gate:
        future = executor.submit(wait_at, gate.address)
        gate.arrivals(1)
        future.add_done_callback(shut_down)
        executor.map(identity, range(60), chunksize=1)
    assert returned.wait(PATIENCE)
