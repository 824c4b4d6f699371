from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from okazja import Executor

PATIENCE = 10.0  # seconds for an executor to end by itself after a test

ALL = ("serial", "threads", "asyncio", "processes")


@pytest.fixture(params=ALL)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_executor() -> Iterator[Callable[..., Executor]]:
    """Makes executors that are ended after the test, by force where a failed test left them blocked."""
    opened: list[Executor] = []

    def make(*args: Any, **options: Any) -> Executor:
        opened.append(Executor(*args, **options))
        return opened[-1]

    yield make
    for executor in opened:
        ending = threading.Thread(target=executor.shutdown, daemon=True)
        ending.start()
        ending.join(PATIENCE)
        if ending.is_alive() and executor.backend == "processes":
            executor.kill_workers()
            ending.join(PATIENCE)
        assert not ending.is_alive(), "shutdown hangs"


@pytest.fixture
def fifo(tmp_path: Path) -> Callable[[str], str]:
    """Makes a fifo: opening it waits for the other side, so that two tasks can wait for each other."""

    def make(name: str) -> str:
        path = tmp_path / name
        os.mkfifo(path)
        return str(path)

    return make
