"""Two hundred workers in a row are killed in the middle of using all primitives at once."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from tests.sync import tasks

from okazja import Executor, WorkerDied

pytestmark = pytest.mark.filterwarnings("ignore::okazja.OwnerDiedWarning")

FOR_EVER = 3600.0
WORKERS = 4
HANG = 2.0  # seconds that nobody may wait longer


def kill_one(path: Path, chosen: random.Random) -> None:
    """Of the workers that are in the middle of it; waits until there is one."""
    while not (marks := sorted(path.glob("inside-*"))):
        time.sleep(0.005)
    mark = chosen.choice(marks)
    mark.unlink()
    os.kill(int(mark.name.removeprefix("inside-")), signal.SIGKILL)


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor("processes", max_workers=WORKERS) as executor:
        yield executor
        executor.kill_workers()


@pytest.mark.parametrize("kills", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_nobody_hangs_and_all_comes_back(tmp_path: Path, executor: Executor, kills: int) -> None:
    chosen = random.Random(kills)
    lock, semaphore, barrier = executor.Lock(), executor.BoundedSemaphore(5), executor.Barrier(2)
    shared = (str(tmp_path / "inside"), lock, semaphore, executor.Condition(), barrier)

    def begin(seconds: float) -> Future[float]:
        return executor.submit(tasks.rounds, *shared, seconds)

    futures = [begin(FOR_EVER) for _ in range(WORKERS)]
    for _ in range(kills):
        time.sleep(chosen.uniform(0.005, 0.05))  # the moment is random on purpose
        kill_one(tmp_path, chosen)
        for dead in [future for future in futures if future.done()]:
            assert isinstance(dead.exception(), WorkerDied), dead.exception()
            futures[futures.index(dead)] = begin(FOR_EVER)
    while not all(future.done() for future in futures):
        if any(tmp_path.glob("inside-*")):
            kill_one(tmp_path, chosen)
        time.sleep(0.01)
    assert max(future.result() for future in [begin(0.5) for _ in range(WORKERS)]) < HANG
    for _ in range(5):
        assert semaphore.acquire(timeout=HANG)
    assert not semaphore.acquire(blocking=False)
    assert lock.acquire(timeout=HANG)
