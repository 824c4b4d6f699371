"""A worker that dies inside an item: that item alone fails, all others have their right result, once."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable

import pytest
from tests.faults.scripts import pids_of
from tests.faults.tasks import DEATHS, GUILTY, die_at, echo, square

from okazja import Executor
from okazja.errors import WorkerDied

# CPython 3.12 and newer warn where a process with threads forks; starting with "fork" is the user's choice.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

Open = Callable[..., Executor]

COUNT = 3_000  # tiny items: enough for chunks to grow large
# Each death with the zygote; with the others, which differ in how the end is noticed, two.
WAYS = [
    *((death, None) for death in DEATHS),
    *((death, context) for death in ("SIGKILL", "status 0") for context in ("fork", "spawn", "forkserver")),
]


def assert_died(error: BaseException | None, death: str) -> None:
    assert isinstance(error, WorkerDied)
    assert error.exitcode == DEATHS[death][1]
    assert death in str(error)
    assert error.pid
    assert f"process {error.pid} " in str(error)
    with pytest.raises(ProcessLookupError):
        os.kill(error.pid, 0)


@pytest.mark.parametrize(("death", "context"), WAYS)
def test_in_a_stream(open_executor: Open, death: str, context: str | None) -> None:
    executor = open_executor(mp_context=context)
    outcomes = list(executor.stream(functools.partial(die_at, death, GUILTY), range(COUNT)))
    assert sorted(outcome.index for outcome in outcomes) == list(range(COUNT))
    assert all(outcome.value == outcome.item**2 for outcome in outcomes if outcome.index != GUILTY)
    [failed] = [outcome for outcome in outcomes if not outcome.ok]
    assert failed.index == failed.item == GUILTY
    assert_died(failed.error, death)
    assert list(executor.map(square, range(10))) == [n * n for n in range(10)]


@pytest.mark.parametrize("death", DEATHS)
def test_in_an_ordered_stream(open_executor: Open, death: str) -> None:
    task = functools.partial(die_at, death, GUILTY)
    outcomes = list(open_executor().stream(task, range(COUNT), ordered=True))
    assert [outcome.index for outcome in outcomes] == list(range(COUNT))
    assert [outcome.index for outcome in outcomes if not outcome.ok] == [GUILTY]
    assert_died(outcomes[GUILTY].error, death)


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("chunksize", [None, 1, 100])
def test_in_a_map(open_executor: Open, death: str, chunksize: int | None) -> None:
    executor = open_executor()
    results = executor.map(functools.partial(die_at, death, GUILTY), range(COUNT), chunksize=chunksize)
    for number in range(GUILTY):
        assert next(results) == number * number
    with pytest.raises(WorkerDied) as caught:
        next(results)
    assert_died(caught.value, death)
    assert executor.submit(square, 3).result(30) == 9


@pytest.mark.parametrize(("death", "context"), WAYS)
def test_in_a_submit(open_executor: Open, death: str, context: str | None) -> None:
    executor = open_executor(mp_context=context)
    assert executor.submit(square, 2).result(60) == 4
    futures = [executor.submit(die_at, death, 50, number) for number in range(200)]
    for number, future in enumerate(futures):
        if number == 50:
            assert_died(future.exception(60), death)
        else:
            assert future.result(60) == number * number


def test_the_first_and_the_last_item_and_neighbours(open_executor: Open) -> None:
    executor = open_executor()
    for guilty in ({0}, {COUNT - 1}, {500, 501, 502}, {0, 1, COUNT - 2, COUNT - 1}):

        def task(number: int, guilty: set[int] = guilty) -> int:
            return die_at("SIGKILL", number if number in guilty else -1, number)

        outcomes = list(executor.stream(task, range(COUNT), ordered=True))
        assert {outcome.index for outcome in outcomes if not outcome.ok} == guilty
        assert all(isinstance(outcome.error, WorkerDied) for outcome in outcomes if not outcome.ok)
        assert all(outcome.value == outcome.index**2 for outcome in outcomes if outcome.ok)


def test_fifty_deaths_in_a_row(open_executor: Open) -> None:
    executor = open_executor()
    for _ in range(50):
        assert_died(executor.submit(die_at, "SIGKILL", 1, 1).exception(30), "SIGKILL")
    assert executor.submit(square, 3).result(30) == 9
    assert not executor._broken


def test_fifty_deaths_at_once(open_executor: Open) -> None:
    executor = open_executor()
    futures = [executor.submit(die_at, "status 21", number, number) for number in range(50)]
    for future in futures:
        assert_died(future.exception(60), "status 21")
    assert executor.submit(square, 3).result(30) == 9


def test_every_item_of_a_stream_dies(open_executor: Open) -> None:
    def task(number: int) -> None:
        os._exit(number)

    outcomes = list(open_executor().stream(task, range(1, 60), ordered=True))
    statuses = [outcome.error.exitcode for outcome in outcomes if isinstance(outcome.error, WorkerDied)]
    assert statuses == list(range(1, 60))


def test_an_idle_worker_that_is_killed_harms_nobody(open_executor: Open) -> None:
    executor = open_executor()
    for _ in range(20):
        for worker in pids_of(executor, 2):
            os.kill(worker, signal.SIGKILL)
        assert list(executor.map(square, range(100))) == [n * n for n in range(100)]
        futures = [executor.submit(square, number) for number in range(100)]
        assert [future.result(30) for future in futures] == [n * n for n in range(100)]


def test_workers_killed_from_outside_at_any_moment_lose_no_item(open_executor: Open) -> None:
    executor = open_executor()
    outcomes = []
    for killed, outcome in enumerate(executor.stream(square, range(200_000))):
        outcomes.append(outcome)
        if killed % 20_000 == 10_000:
            for worker in list(executor._processes):
                try:
                    os.kill(worker, signal.SIGKILL)
                except ProcessLookupError:
                    pass
    assert sorted(outcome.index for outcome in outcomes) == list(range(200_000))
    failed = [outcome for outcome in outcomes if not outcome.ok]
    assert len(failed) <= 20, "one item for each worker that was killed, at most"
    assert all(isinstance(outcome.error, WorkerDied) for outcome in failed)
    assert all(outcome.value == outcome.item**2 for outcome in outcomes if outcome.ok)


def test_large_results_are_not_torn_by_a_death(open_executor: Open) -> None:
    executor = open_executor()
    futures = [executor.submit(echo, bytes([n]) * 3_000_000) for n in range(20)]
    for worker in list(executor._processes):
        os.kill(worker, signal.SIGKILL)
    for number, future in enumerate(futures):
        if future.exception(60) is None:
            assert future.result() == bytes([number]) * 3_000_000
        else:
            assert isinstance(future.exception(), WorkerDied)
