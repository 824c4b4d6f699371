"""A submitted call that began never begins twice; items of a chunk may, but are reported once."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

from tests.semantics.tasks import record

from okazja import Executor
from okazja.errors import WorkerDied


def record_then_die(path: str, number: int) -> int:
    record(path, number)
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def times_run(path: Path) -> Counter[int]:
    return Counter(map(int, path.read_text().split()))


def test_submitted_calls_run_once_although_workers_die(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Executor("processes", 2) as executor:
        warm = [executor.submit(record, str(path), number) for number in range(100, 400)]
        assert [future.result(30) for future in warm] == list(range(100, 400))
        futures = [executor.submit(record_then_die, str(path), number) for number in range(50)]
        errors = [future.exception(30) for future in futures]
    assert [n for n, error in enumerate(errors) if error] == [7]
    assert isinstance(errors[7], WorkerDied)
    assert times_run(path) == Counter([*range(50), *range(100, 400)])


def test_items_of_a_map_are_reported_once_although_they_may_run_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    paths = [str(path)] * 500
    with Executor("processes", 2) as executor:
        outcomes = list(executor.stream(record_of_pair, list(zip(paths, range(500), strict=True))))
    assert sorted(outcome.index for outcome in outcomes) == list(range(500))
    assert [outcome.index for outcome in outcomes if not outcome.ok] == [7]
    assert set(times_run(path)) == set(range(500))
    assert times_run(path)[7] == 1


def record_of_pair(pair: tuple[str, int]) -> int:
    return record_then_die(*pair)


def test_chunksize_1_forbids_even_that(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Executor("processes", 2) as executor:
        results = executor.map(record_then_die, [str(path)] * 300, range(300), chunksize=1)
        assert [next(results) for _ in range(7)] == list(range(7))
        try:
            next(results)
        except WorkerDied:
            pass
    with Executor("processes", 2) as executor:
        assert max(times_run(path).values()) == 1


def test_max_tasks_per_child_counts_items(tmp_path: Path) -> None:
    with Executor("processes", 2, max_tasks_per_child=10) as executor:
        pids = Counter(executor.map(pid_of, range(2_000)))
        assert max(pids.values()) <= 10
        assert len(pids) >= 200
        assert [executor.submit(pid_of, 0).result(30) > 0 for _ in range(25)] == [True] * 25


def pid_of(_: int) -> int:
    return os.getpid()
