"""Two hundred workers in a row are killed in the middle of using all primitives at once."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from okazja import Executor, WorkerDied
from tests.sync import tasks

pytestmark = pytest.mark.filterwarnings("ignore::okazja.OwnerDiedWarning")

HANG = 2.0  # seconds that nobody may wait longer


def at_work(path: Path, executor: Executor) -> list[int]:
    """Workers in the middle of it; waits for the first."""
    while True:
        found = [pid for pid in list(executor._processes or ()) if (path / f"inside-{pid}").exists()]
        if found:
            return found
        time.sleep(0.005)


@pytest.mark.parametrize("kills", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_nobody_hangs_and_all_comes_back(tmp_path: Path, kills: int) -> None:
    chosen, workers = random.Random(kills), 4
    with Executor("processes", max_workers=workers) as executor:
        lock, semaphore, barrier = executor.Lock(), executor.BoundedSemaphore(5), executor.Barrier(2)
        shared = (str(tmp_path / "inside"), lock, semaphore, executor.Condition(), barrier)
        futures = [executor.submit(tasks.rounds, *shared, 3600.0) for _ in range(workers)]
        for _ in range(kills):
            time.sleep(chosen.uniform(0.005, 0.05))  # the moment is random on purpose
            victim = chosen.choice(at_work(tmp_path, executor))
            os.kill(victim, signal.SIGKILL)
            for dead in [future for future in futures if future.done()]:
                assert isinstance(dead.exception(), WorkerDied), dead.exception()
                futures.remove(dead)
                futures.append(executor.submit(tasks.rounds, *shared, 3600.0))
        while not all(future.done() for future in futures):
            os.kill(at_work(tmp_path, executor)[0], signal.SIGKILL)
            time.sleep(0.02)
        assert all(isinstance(future.exception(), WorkerDied) for future in futures)
        last = [executor.submit(tasks.rounds, *shared, 0.5) for _ in range(workers)]
        assert max(future.result() for future in last) < HANG
        for _ in range(5):
            assert semaphore.acquire(timeout=HANG)
        assert not semaphore.acquire(blocking=False)
        assert lock.acquire(timeout=HANG)
