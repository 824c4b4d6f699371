"""A task may print, fork, close and change what it likes: the transport is unharmed."""

from __future__ import annotations

import functools
import gc
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults import tasks
from tests.faults.scripts import descriptors, eventually, pids_of

from okazja import Executor
from okazja.errors import WorkerDied

Open = Callable[..., Executor]

MB = 1 << 20


def assert_works(executor: Executor) -> None:
    assert list(executor.map(tasks.square, range(500))) == [n * n for n in range(500)]
    assert [executor.submit(tasks.square, n).result(30) for n in range(20)] == [n * n for n in range(20)]


def test_closing_all_descriptors_costs_at_most_that_item(open_executor: Open) -> None:
    executor = open_executor()
    for _ in range(10):
        future = executor.submit(tasks.close_all_descriptors)
        assert future.exception(30) is None or isinstance(future.exception(), WorkerDied)
        assert_works(executor)
    outcomes = list(executor.stream(close_at_three, range(500)))
    assert {outcome.index for outcome in outcomes if not outcome.ok} <= {3}
    assert len(outcomes) == 500


def close_at_three(number: int) -> int:
    if number == 3:
        tasks.close_all_descriptors()
    return number


def test_printing_megabytes(open_executor: Open, capfd: pytest.CaptureFixture[str]) -> None:
    executor = open_executor()
    assert list(executor.map(tasks.print_megabytes, range(4))) == [1024] * 4
    assert_works(executor)
    executor.shutdown()
    out, err = capfd.readouterr()
    assert (len(out), len(err)) == (8 * MB, 8 * MB)


def test_a_fork_in_a_task_returns_once(open_executor: Open) -> None:
    executor = open_executor()
    for _ in range(20):
        assert executor.submit(tasks.fork_and_return).result(30) in executor._processes
    assert set(executor.map(tasks.fork_and_return, range(20))) <= set(executor._processes)
    assert_works(executor)


def test_a_fork_in_a_chunk_does_not_run_the_rest_twice(open_executor: Open, tmp_path: Path) -> None:
    path = tmp_path / "log"
    task = functools.partial(tasks.fork_at, 20, str(path))
    assert list(open_executor().map(task, range(200), chunksize=50)) == list(range(200))
    lines = Counter(map(int, path.read_text().split()))
    assert lines == Counter([*range(200), 20])


def test_a_fork_that_raises_in_the_child_or_leaves(open_executor: Open) -> None:
    executor = open_executor()
    assert executor.submit(tasks.fork_and_raise).result(30) in executor._processes
    assert executor.submit(tasks.fork_and_leave_properly).result(30) == 5
    assert_works(executor)


def test_programs_and_multiprocessing_in_a_task(open_executor: Open) -> None:
    executor = open_executor()
    assert executor.submit(tasks.start_programs).result(30) == "hello\n"
    assert list(executor.map(tasks.run_multiprocessing, range(5))) == list(range(5))
    assert_works(executor)


def test_changing_directory(open_executor: Open) -> None:
    executor = open_executor()
    here = Path.cwd()
    assert set(executor.map(tasks.change_directory, range(20))) == {"/"}
    assert Path.cwd() == here
    assert_works(executor)


@pytest.mark.parametrize("task", [tasks.change_signal_handlers, tasks.block_all_signals])
def test_changing_signal_handlers(open_executor: Open, task: Callable[[], int]) -> None:
    executor = open_executor()
    for _ in range(4):
        executor.submit(task).result(30)
    assert_works(executor)
    executor.shutdown()


@pytest.mark.parametrize("task", [tasks.close_standard_streams, tasks.redirect_descriptors])
def test_closing_and_redirecting_standard_streams(open_executor: Open, task: Callable[[], str]) -> None:
    executor = open_executor()
    for _ in range(4):
        executor.submit(task).result(30)
    assert_works(executor)


def test_a_thread_that_a_task_leaves_behind_does_not_keep_the_worker(open_executor: Open) -> None:
    executor = open_executor()
    assert executor.submit(tasks.leave_a_thread).result(30) == "left"
    assert_works(executor)


def test_executors_of_their_own(open_executor: Open) -> None:
    executor = open_executor()
    expected = [n * n for n in range(20)]
    assert list(executor.map(tasks.nest, [20] * 4)) == [expected] * 4
    assert [executor.submit(tasks.nest, 20).result(60) for _ in range(2)] == [expected] * 2


def test_arguments_and_results_of_50_mb(open_executor: Open) -> None:
    executor = open_executor()
    value = os.urandom(MB) * 50
    assert executor.submit(tasks.length, value).result(60) == 50 * MB
    assert executor.submit(tasks.make, 50 * MB).result(60) == bytes(50 * MB)
    assert executor.submit(tasks.echo, value).result(60) == value
    assert list(executor.map(tasks.length, [value, b"", value])) == [50 * MB, 0, 50 * MB]
    assert list(executor.map(tasks.make, [50 * MB, 1])) == [bytes(50 * MB), b"\0"]
    assert_works(executor)


def test_many_large_arguments_at_once_hold_no_descriptor_afterwards(open_executor: Open) -> None:
    executor = open_executor()
    assert_works(executor)
    before = descriptors()
    futures = [executor.submit(tasks.echo, bytes([number % 256]) * MB) for number in range(100)]
    assert all(future.result(60) == bytes([number % 256]) * MB for number, future in enumerate(futures))
    assert descriptors() <= before


def test_descriptors_of_workers_do_not_pile_up(open_executor: Open) -> None:
    executor = open_executor()
    pids_of(executor, 2)

    def used() -> int:
        return sum(descriptors(pid) for pid in executor._processes)

    def large_calls(count: int) -> bool:
        futures = [executor.submit(tasks.length, bytes(MB)) for _ in range(count)]
        return all(future.result(30) == MB for future in futures)

    assert large_calls(20)  # what a worker opens once and keeps is open by now
    before = used()
    assert large_calls(100)
    assert eventually(lambda: used() <= before)  # at rest: a worker may be closing the last one just now
    assert executor.submit(tasks.open_many_files, 500).result(30) == 500


def test_executors_opened_and_ended_leave_no_descriptor() -> None:
    with Executor("processes", 2) as executor:  # starts the zygote, which stays
        assert_works(executor)
    del executor
    gc.collect()
    before = descriptors()
    for _ in range(10):
        with Executor("processes", 2) as executor:
            assert list(executor.map(tasks.square, range(10))) == [n * n for n in range(10)]
    del executor
    gc.collect()  # a mapping keeps a descriptor of its own until its executor is collected
    assert descriptors() <= before
