"""What a worker finds: random generators of its own, the parent's surroundings of now, its share of CPUs."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from okazja import Executor, cpu_count
from okazja.testing.gate import Gate, wait_at

Open = Callable[..., Executor]

PATIENCE = 30.0  # seconds for what should take none
METHODS = [None, "fork", "spawn", "forkserver"]


def draw(address: tuple[str, int]) -> tuple[int, float, int]:
    """Both global generators, in a worker that waits for the others, so that each has one call."""
    wait_at(address)
    return os.getpid(), random.random(), int(np.random.randint(0, 1 << 60))  # noqa: NPY002  (the global one)


@pytest.mark.parametrize("method", METHODS)
def test_random_numbers_differ_between_workers_and_executors(open_executor: Open, method: str | None) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    drawn = []
    for _ in range(2):
        executor = open_executor(2, mp_context=method)
        with Gate() as gate:
            calls = [executor.submit(draw, gate.address) for _ in range(2)]
            gate.arrivals(2)
            gate.open()
            drawn += [call.result(PATIENCE) for call in calls]
    assert [len(set(column)) for column in zip(*drawn, strict=True)] == [4, 4, 4]


def seed() -> None:
    random.seed(5)


def uniform(_: object) -> float:
    return random.random()


@pytest.mark.parametrize("method", METHODS)
def test_an_initializer_may_seed(open_executor: Open, method: str | None) -> None:
    executor = open_executor(1, mp_context=method, initializer=seed)
    assert executor.submit(uniform, 0).result(PATIENCE) == random.Random(5).random()


def surroundings(name: str) -> tuple[str | None, str, bool]:
    return os.environ.get(name), str(Path.cwd()), f"/{name}" in sys.path


@pytest.mark.parametrize("method", [None, "fork", "spawn"])
def test_a_worker_sees_what_the_parent_has_when_it_starts(
    open_executor: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str | None
) -> None:
    name = "OKAZJA_OF_THIS_TEST"
    options = {} if method == "fork" else {"max_tasks_per_child": 1}
    executor = open_executor(1, mp_context=method, **options)
    here = str(Path.cwd())
    assert executor.submit(surroundings, name).result(PATIENCE) == (None, here, False)
    monkeypatch.setenv(name, "set")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(f"/{name}")
    later = executor if options else open_executor(1, mp_context=method)
    assert later.submit(surroundings, name).result(PATIENCE) == ("set", str(tmp_path), True)


def test_a_worker_that_runs_keeps_what_it_has(open_executor: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = open_executor(1)
    executor.submit(surroundings, "OKAZJA_OF_THIS_TEST").result(PATIENCE)
    monkeypatch.setenv("OKAZJA_OF_THIS_TEST", "set")
    assert executor.submit(surroundings, "OKAZJA_OF_THIS_TEST").result(PATIENCE)[0] is None


def sizes(_: object = None) -> tuple[int, int]:
    with Executor("processes") as processes, Executor("threads") as threads:
        return processes.max_workers, threads.max_workers


@pytest.mark.parametrize("method", METHODS)
def test_executors_in_workers_share_the_cpus(open_executor: Open, method: str | None) -> None:
    cpus = cpu_count()
    assert open_executor(1, mp_context=method).submit(sizes).result(PATIENCE) == (cpus, min(32, cpus + 4))
    assert open_executor(cpus, mp_context=method).submit(sizes).result(PATIENCE) == (1, 5)


def nested_sizes(_: object) -> tuple[int, int]:
    with Executor("processes", 1) as executor:
        return executor.submit(sizes).result(PATIENCE)


def test_executors_in_workers_of_workers_too(open_executor: Open) -> None:
    assert open_executor(cpu_count()).submit(nested_sizes, 0).result(PATIENCE) == (1, 5)


def identity(_: object) -> int:
    return os.getpid()


@pytest.mark.parametrize("method", [None, "spawn", "forkserver"])
def test_submitted_calls_count_as_tasks_of_a_child(open_executor: Open, method: str | None) -> None:
    executor = open_executor(1, mp_context=method, max_tasks_per_child=2)
    pids = [executor.submit(identity, 0).result(PATIENCE) for _ in range(6)]
    assert len(set(pids)) == 3
    assert pids[0::2] == pids[1::2]
