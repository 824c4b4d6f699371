"""A worker that is killed while it starts, in its initializer, reading, running or replying; and initializers
that raise, exit, hang or kill themselves.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults import hostile, tasks
from tests.faults.innocent import works
from tests.faults.scripts import eventually, pids_of

from okazja import Executor
from okazja.errors import ExecutorBroken, WorkerDied
from okazja.testing.gate import Gate, wait_at

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

Open = Callable[..., Executor]

PATIENCE = 20.0  # seconds for what should take none
CONTEXTS = [None, "fork", "spawn", "forkserver"]


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended by itself


# --- killed from outside --------------------------------------------------------------------------------


@pytest.mark.parametrize("context", CONTEXTS)
def test_while_it_starts(open_executor: Open, context: str | None) -> None:
    executor = open_executor(mp_context=context)
    futures = [executor.submit(tasks.square, number) for number in range(50)]
    assert eventually(lambda: executor._processes)
    kill(min(executor._processes))
    failed = [future for future in futures if future.exception(PATIENCE)]
    assert len(failed) <= 1
    assert all(isinstance(future.exception(), WorkerDied) for future in failed)
    assert [f.result() for f in futures if f not in failed] == [
        n * n for n, f in enumerate(futures) if f not in failed
    ]
    assert works(executor)


def greet_and_wait(address: tuple[str, int]) -> None:
    wait_at(address, str(os.getpid()))


@pytest.mark.parametrize("context", CONTEXTS)
def test_in_its_initializer(open_executor: Open, context: str | None) -> None:
    with Gate() as gate:
        executor = open_executor(initializer=greet_and_wait, initargs=(gate.address,), mp_context=context)
        futures = [executor.submit(tasks.square, number) for number in range(50)]
        first, _ = gate.arrivals(2)
        kill(int(first))
    assert [future.result(PATIENCE) for future in futures] == [n * n for n in range(50)]
    assert works(executor)


def test_running_with_others_behind_it(open_executor: Open) -> None:
    executor = open_executor(1)
    assert works(executor)
    with Gate() as gate:
        running = executor.submit(tasks.wait_as_pid, gate.address)
        behind = [executor.submit(tasks.square, number) for number in range(100)]
        kill(int(gate.arrivals(1)[0]))
        assert isinstance(running.exception(PATIENCE), WorkerDied)
        assert [future.result(PATIENCE) for future in behind] == [n * n for n in range(100)]


class Large:
    """Says that it is being pickled, half-way through a large result; then is as good as gone."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    def __reduce__(self) -> tuple[object, ...]:
        wait_at(self.address, str(os.getpid()))
        return bytes, (10_000_000,)


def test_pickling_its_result(open_executor: Open) -> None:
    executor = open_executor()
    assert works(executor)
    with Gate() as gate:
        future = executor.submit(Large, gate.address)
        beside = executor.map(tasks.square, range(1_000))
        kill(int(gate.arrivals(1)[0]))
        assert isinstance(future.exception(PATIENCE), WorkerDied)
        assert list(beside) == [n * n for n in range(1_000)]


@pytest.mark.parametrize("milliseconds", range(0, 40, 4))
def test_reading_or_replying_something_large(open_executor: Open, milliseconds: int) -> None:
    executor = open_executor()
    [first, _] = pids_of(executor, 2)
    futures = [executor.submit(tasks.echo, bytes([n]) * 8_000_000) for n in range(4)]
    deadline = time.perf_counter() + milliseconds / 1000
    eventually(lambda: time.perf_counter() > deadline)
    kill(first)
    failed = [n for n, future in enumerate(futures) if future.exception(PATIENCE)]
    assert len(failed) <= 1
    assert all(isinstance(futures[n].exception(), WorkerDied) for n in failed)
    assert all(futures[n].result() == bytes([n]) * 8_000_000 for n in range(4) if n not in failed)
    assert works(executor)


def test_fifty_workers_in_a_row_while_two_run(open_executor: Open) -> None:
    executor = open_executor()
    killed: set[int] = set()

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            if len(killed) == 50 and number % 5_000 == 0:
                return
            yield number

    outcomes = []
    for outcome in executor.stream(tasks.square_and_pid, numbers()):
        outcomes.append(outcome)
        # Only workers that have run something: three in a row that die while starting end the executor.
        if outcome.value is not None and outcome.value[1] not in killed and len(killed) < 50:
            killed.add(outcome.value[1])
            kill(outcome.value[1])
    assert len(killed) == 50
    assert sorted(outcome.index for outcome in outcomes) == list(range(len(outcomes)))
    failed = [outcome for outcome in outcomes if not outcome.ok]
    assert len(failed) <= 50
    assert all(isinstance(outcome.error, WorkerDied) for outcome in failed)
    assert all(outcome.value[0] == outcome.item**2 for outcome in outcomes if outcome.value is not None)
    assert not executor._broken


# --- initializers ---------------------------------------------------------------------------------------


def exit_in_initializer() -> None:
    sys.exit(5)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


FAILING: dict[str, tuple[Callable[[], object], str]] = {
    "raises what can't be shown": (functools.partial(hostile.raise_error, "str exits"), "StrExits"),
    "raises what can't be pickled": (
        functools.partial(hostile.raise_error, "reduces with SystemExit"),
        "ReducesWithSystemExit",
    ),
    "exits": (exit_in_initializer, "SystemExit: 5"),
}


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
@pytest.mark.parametrize("how", FAILING)
def test_an_initializer_that_fails(backend: str, how: str) -> None:
    initializer, name = FAILING[how]
    with Executor(backend, 1, initializer=initializer) as executor:
        for _ in range(3):
            try:
                error: BaseException | None = executor.submit(tasks.square, 3).exception(PATIENCE)
            except ExecutorBroken as refused:  # it was noticed before
                error = refused
            assert isinstance(error, ExecutorBroken)
            assert "the initializer failed" in str(error)
            assert name in str(error)


@pytest.mark.parametrize("context", CONTEXTS)
def test_an_initializer_that_kills_its_worker(open_executor: Open, context: str | None) -> None:
    executor = open_executor(initializer=kill_itself, mp_context=context)
    try:
        error: BaseException | None = executor.submit(tasks.square, 3).exception(PATIENCE)
    except ExecutorBroken as refused:
        error = refused
    assert isinstance(error, ExecutorBroken)
    assert "SIGKILL" in str(error)
    assert "initializer" in str(error)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("ending", ["cancel", "terminate_workers", "kill_workers"])
def test_an_initializer_that_hangs(open_executor: Open, context: str | None, ending: str) -> None:
    with Gate() as gate:
        executor = open_executor(initializer=wait_at, initargs=(gate.address,), mp_context=context)
        futures = [executor.submit(tasks.square, number) for number in range(5)]
        gate.arrivals(2)
        if ending == "cancel":
            executor.shutdown(cancel_futures=True)
            assert all(future.cancelled() for future in futures)
        else:
            getattr(executor, ending)()
            executor.shutdown()
            assert all(isinstance(future.exception(0), ExecutorBroken) for future in futures)


# --- tasks that never end -------------------------------------------------------------------------------


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("task", [tasks.loop_in_python, tasks.loop_in_c, tasks.swallow_everything])
def test_an_endless_task_is_ended_by_kill_workers(
    open_executor: Open, tmp_path: Path, task: Callable[[str], None], context: str | None
) -> None:
    executor = open_executor(mp_context=context)
    assert works(executor)
    marker = tmp_path / "begun"
    endless = executor.submit(task, str(marker))
    assert eventually(marker.exists, PATIENCE)
    assert works(executor), "the others go on"
    executor.kill_workers()
    executor.shutdown()
    assert isinstance(endless.exception(0), ExecutorBroken)
