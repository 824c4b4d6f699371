"""What tasks leave behind or change around them costs at most their own item; every other is right, once."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import BuiltinFunctionType

import psutil
import pytest
from tests.faults import tasks
from tests.faults.innocent import COUNT, misbehave_at, works
from tests.faults.scripts import eventually, is_gone, pids_of
from tests.faults.tasks import GUILTY

from okazja import Executor
from okazja.errors import WorkerDied
from okazja.testing.gate import Gate

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

Open = Callable[..., Executor]

PATIENCE = 20.0  # seconds for what should take none
CONTEXTS = [None, "fork", "spawn", "forkserver"]


def results_with(executor: Executor, task: Callable[[], object]) -> object:
    """What ``task`` returns as one item of a large map, of which all others are right."""
    assert works(executor)
    results = list(executor.map(functools.partial(misbehave_at, task, GUILTY), range(COUNT)))
    innocent = [number for number in range(COUNT) if number != GUILTY]
    assert [results[number] for number in innocent] == [number**2 for number in innocent]
    assert works(executor)
    return results[GUILTY]


@pytest.fixture
def strays() -> Iterator[list[int]]:
    """Processes that tasks leave behind on purpose; killed after the test."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_child_of_a_fork_that_lives_on(open_executor: Open, strays: list[int], context: str | None) -> None:
    executor = open_executor(mp_context=context)
    child = results_with(executor, tasks.fork_a_child_that_lives_on)
    assert isinstance(child, int)
    strays.append(child)
    executor.shutdown()  # does not wait for it
    assert not is_gone(psutil.Process(child))


def test_a_child_of_a_fork_that_lives_on_does_not_hide_the_death_of_its_worker(
    open_executor: Open, strays: list[int]
) -> None:
    executor = open_executor(1)
    strays.append(executor.submit(tasks.fork_a_child_that_lives_on).result(PATIENCE))
    error = executor.submit(tasks.die_at, "SIGKILL", 1, 1).exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert error.exitcode == -signal.SIGKILL
    assert works(executor)


def test_a_child_of_a_fork_that_exits(open_executor: Open) -> None:
    executor = open_executor()
    assert results_with(executor, tasks.fork_a_child_that_exits) in executor._processes


def test_a_task_that_makes_itself_a_daemon(open_executor: Open, strays: list[int], tmp_path: Path) -> None:
    executor = open_executor()
    assert works(executor)
    task = functools.partial(become_a_daemon_at, GUILTY, str(tmp_path / "pid"))
    outcomes = list(executor.stream(task, range(COUNT), ordered=True))
    [failed] = [outcome for outcome in outcomes if not outcome.ok]
    assert isinstance(failed.error, WorkerDied)
    assert (failed.index, failed.error.exitcode) == (GUILTY, 0)
    assert all(outcome.value == outcome.index**2 for outcome in outcomes if outcome.ok)
    assert eventually((tmp_path / "pid").exists, PATIENCE)
    strays.append(int((tmp_path / "pid").read_text()))
    executor.shutdown()


def become_a_daemon_at(guilty: int, path: str, number: int) -> int:
    if number == guilty:
        tasks.become_a_daemon(path)
    return number**2


def test_a_thread_that_outlives_its_task_is_waited_for(open_executor: Open, tmp_path: Path) -> None:
    path = tmp_path / "done"
    executor = open_executor(1)
    with Gate() as gate:
        task = functools.partial(tasks.leave_a_thread_that_ends, str(path), gate.address)
        assert executor.submit(task).result(PATIENCE) == "left"
        gate.arrivals(1)
        assert works(executor)
        executor.shutdown(wait=False)
    executor.shutdown()
    assert path.read_text() == "done"


def test_an_endless_thread_is_ended_by_kill_workers(open_executor: Open) -> None:
    executor = open_executor()
    assert results_with(executor, tasks.leave_an_endless_thread) in executor._processes
    executor.kill_workers()
    executor.shutdown()


def test_limits_that_a_task_sets_are_its_workers_alone(open_executor: Open) -> None:
    executor = open_executor()
    for _ in range(4):
        assert results_with(executor, tasks.limit_resources) == "limited"
    large = [bytes([number]) * 300_000 for number in range(20)]  # each travels in a file of its own
    assert list(executor.map(tasks.echo, large)) == large
    assert [executor.submit(tasks.echo, value).result(PATIENCE) for value in large] == large


def test_a_limit_of_cpu_time(open_executor: Open) -> None:
    executor = open_executor(max_tasks_per_child=1_000)
    assert works(executor)
    error = executor.submit(tasks.use_up_cpu_time).exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert error.exitcode == -signal.SIGXCPU
    assert works(executor)


@pytest.mark.parametrize("task", [tasks.forget_modules, tasks.break_builtins])
def test_changing_what_all_code_shares(open_executor: Open, task: Callable[[], object]) -> None:
    assert results_with(open_executor(), task) in {"forgotten", "broken"}


def test_workers_for_one_item_each_share_nothing(open_executor: Open) -> None:
    executor = open_executor(max_tasks_per_child=1)
    broken = executor.submit(tasks.break_builtins)
    futures = [executor.submit(is_whole, number) for number in range(10)]
    assert broken.result(PATIENCE) == "broken"
    assert all(future.result(PATIENCE) for future in futures)


def is_whole(_: int) -> bool:
    return all(isinstance(builtin, BuiltinFunctionType) for builtin in (open, print))


@pytest.mark.parametrize(
    "task", [tasks.pool_of_concurrent_futures, tasks.pool_of_multiprocessing, tasks.forget_an_executor]
)
def test_pools_of_their_own(open_executor: Open, task: Callable[[int], list[int]]) -> None:
    executor = open_executor()
    expected = [n * n for n in range(20)]
    assert results_with(executor, functools.partial(task, 20)) == expected
    assert list(executor.map(task, [20] * 4)) == [expected] * 4


@pytest.mark.slow
def test_a_result_of_one_gib(open_executor: Open) -> None:
    if psutil.virtual_memory().available < 8 << 30:
        pytest.skip("less than 8 GiB of memory are free")
    executor = open_executor()
    beside = executor.map(tasks.square, range(5_000))
    result = executor.submit(tasks.make, 1 << 30).result(90)
    assert len(result) == 1 << 30
    assert not any(result[:: 1 << 20])
    assert list(beside) == [n * n for n in range(5_000)]


@pytest.mark.parametrize("context", CONTEXTS)
def test_closing_all_descriptors_in_workers_of_any_kind(open_executor: Open, context: str | None) -> None:
    executor = open_executor(mp_context=context)
    pids_of(executor, 2)
    task = functools.partial(misbehave_at, tasks.close_all_descriptors, GUILTY)
    outcomes = list(executor.stream(task, range(COUNT), ordered=True))
    assert [outcome.index for outcome in outcomes] == list(range(COUNT))
    assert {outcome.index for outcome in outcomes if not outcome.ok} <= {GUILTY}
    assert all(outcome.value == outcome.index**2 for outcome in outcomes if outcome.index != GUILTY)
    assert works(executor)
