"""Arity, coroutines and generators are checked where the mistake is made; defaults and attributes are true."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from concurrent.futures import Executor as StandardExecutor
from concurrent.futures import Future as StandardFuture
from typing import Any

import pytest
from tests.faults.scripts import eventually, pids_of
from tests.semantics.tasks import (
    add,
    async_generator,
    calls_coroutine,
    coroutine,
    double,
    exit_now,
    generator,
    identity,
    sometimes_a_coroutine,
    takes_two,
)

import okazja
from okazja import Executor
from okazja.errors import LoopRunning


class Service:
    async def method(self) -> int:
        return 1

    async def __call__(self) -> int:
        return 1


# --- arity


def test_too_many_or_too_few_iterables_are_an_error_of_the_call(backend: str) -> None:
    with Executor(backend) as executor:
        with pytest.raises(TypeError, match=r"double\(number: 'int'\) -> 'int' can't be called with 2"):
            executor.map(double, range(3), range(3))
        with pytest.raises(TypeError, match="missing a required argument"):
            executor.map(lambda left, right: left, range(3))
        with pytest.raises(TypeError, match=r"takes no|too many positional|1 positional"):
            executor.stream(lambda: 1, range(3))  # type: ignore[misc, arg-type]


def test_defaults_and_partials_count(backend: str) -> None:
    with Executor(backend) as executor:
        assert list(executor.map(add, range(2))) == [10, 11]
        assert list(executor.map(add, range(2), range(2))) == [0, 2]
        assert list(executor.map(functools.partial(add, 1), range(2))) == [1, 2]
        with pytest.raises(TypeError):
            executor.map(functools.partial(add, 1, 2), range(2))


def test_where_in_doubt_nothing_is_checked(backend: str) -> None:
    with Executor(backend) as executor:
        assert list(executor.map(takes_two, range(3))) == [1, 2, 3]
        assert list(executor.map(max, [[1, 2], [3, 4]])) == [2, 4]
        assert list(executor.map(int, ["1", "2"])) == [1, 2]


def test_no_iterable_at_all_is_an_empty_map_as_in_the_standard_library(backend: str) -> None:
    with Executor(backend) as executor:
        assert list(executor.map(double)) == []


# --- coroutines and generators


@pytest.mark.parametrize(
    "task",
    [coroutine, functools.partial(coroutine, 1), Service().method, Service(), calls_coroutine],
    ids=["function", "partial", "method", "callable", "returned"],
)
def test_a_coroutine_is_run_to_its_end(backend: str, task: Any) -> None:
    with Executor(backend) as executor:
        arguments = () if task.__class__ is functools.partial or isinstance(task, Service) else (1,)
        arguments = () if getattr(task, "__self__", None) is not None else arguments
        assert executor.submit(task, *arguments).result(30) == 1


def test_a_coroutine_that_only_some_calls_return(backend: str) -> None:
    """Long chunks of quick items, among which a few give coroutines."""
    with Executor(backend) as executor:
        items = [*range(5000)]
        assert list(executor.map(sometimes_a_coroutine, items)) == items
        assert [o.value for o in executor.stream(sometimes_a_coroutine, items, ordered=True)] == items


def test_where_a_loop_runs_serial_says_what_to_use() -> None:
    async def main() -> None:
        with Executor("serial") as executor:
            error = executor.submit(coroutine, 1).exception()
            assert isinstance(error, LoopRunning)
            assert "Executor('asyncio')" in str(error)

    asyncio.run(main())


def test_an_asynchronous_generator_function_says_what_to_do(backend: str) -> None:
    with Executor(backend) as executor, pytest.raises(TypeError, match="asynchronous generator function"):
        executor.submit(async_generator)


def test_a_generator_function_says_to_return_a_list_or_use_stream(backend: str) -> None:
    with Executor(backend) as executor:
        with pytest.raises(TypeError, match=r"generator function.*Return a list.*stream"):
            executor.submit(generator)
        with pytest.raises(TypeError, match=r"generator function.*Return a list.*stream"):
            executor.map(generator, [1])


def test_what_is_not_callable(backend: str) -> None:
    with Executor(backend) as executor, pytest.raises(TypeError, match="a task must be callable, got 3"):
        executor.submit(3)  # type: ignore[call-overload]


# --- default workers, compatibility attributes


def test_default_workers_are_the_standard_librarys_with_the_cpus_that_may_be_used() -> None:
    cpus = okazja.cpu_count()
    assert 1 <= cpus <= len(os.sched_getaffinity(0))
    for backend, workers in (
        ("serial", 1),
        ("threads", min(32, cpus + 4)),
        ("asyncio", 100),
        ("processes", cpus),
    ):
        with Executor(backend) as executor:
            assert executor._max_workers == workers


def test_it_is_a_standard_executor_with_standard_futures(backend: str) -> None:
    with Executor(backend) as executor:
        assert isinstance(executor, StandardExecutor)
        assert isinstance(executor.submit(identity, 1), StandardFuture)


def test_threads_shows_its_threads() -> None:
    with Executor("threads", 3, thread_name_prefix="mine") as executor:
        barrier = threading.Barrier(3)
        for future in [executor.submit(barrier.wait) for _ in range(3)]:
            future.result(30)
        assert {thread.name for thread in executor._threads} == {"mine_0", "mine_1", "mine_2"}
        assert all(thread.is_alive() for thread in executor._threads)


def test_processes_shows_its_processes() -> None:
    with Executor("processes", 2) as executor:
        pids = pids_of(executor, 2)
        assert set(executor._processes) == pids
        assert all(process.is_alive() for process in executor._processes.values())
        assert all(process.pid == pid for pid, process in executor._processes.items())


def test_broken_is_false_until_it_is(backend: str) -> None:
    with Executor(backend) as executor:
        assert executor._broken is False
    if backend == "processes":
        with Executor(backend, 1, initializer=exit_now) as executor:
            executor.submit(identity, 1).exception(30)
            assert eventually(lambda: executor._broken)
