from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from okazja import Executor

PATIENCE = 20.0  # seconds for an executor to end by itself after a test


@pytest.fixture
def open_executor() -> Iterator[Callable[..., Executor]]:
    """Makes process executors that are ended after the test, by force where a failed test left them blocked."""
    opened: list[Executor] = []

    def make(max_workers: int = 2, **options: Any) -> Executor:
        opened.append(Executor("processes", max_workers, **options))
        return opened[-1]

    yield make
    for executor in opened:
        ending = threading.Thread(target=executor.shutdown, daemon=True)
        ending.start()
        ending.join(PATIENCE)
        if ending.is_alive():
            executor.kill_workers()
            ending.join(PATIENCE)
            pytest.fail("shutdown did not end by itself")
