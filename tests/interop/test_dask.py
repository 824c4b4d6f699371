"""Dask takes an executor as its scheduler, or as the pool of its threaded and multiprocessing schedulers."""

from __future__ import annotations

import os
from functools import reduce
from operator import add
from typing import Any

import pytest

from okazja import Executor

dask: Any = pytest.importorskip("dask")
pytest.importorskip("dask.multiprocessing")
pytest.importorskip("dask.threaded")


def cube(x: int) -> int:
    return x**3


def worker_pid(_: int) -> int:
    return os.getpid()


def divide(a: int, b: int) -> float:
    return a / b


def sum_of_cubes(count: int) -> Any:
    return reduce(add, [dask.delayed(cube)(x) for x in range(count)])


def test_an_executor_is_a_scheduler(executor: Executor) -> None:
    total = sum_of_cubes(20)
    assert total.compute(scheduler=executor) == total.compute(scheduler="synchronous") == 190**2


@pytest.mark.parametrize("get", [dask.threaded.get, dask.multiprocessing.get])
def test_an_executor_is_the_pool_of_a_scheduler(executor: Executor, get: Any) -> None:
    total = sum_of_cubes(12)
    with dask.config.set(pool=executor):
        assert total.compute(scheduler=get) == 66**2


def test_graphs_with_shared_parts(executor: Executor) -> None:
    base = dask.delayed(cube)(3)
    graph = [base + x for x in range(10)]
    assert dask.compute(*graph, scheduler=executor) == tuple(27 + x for x in range(10))


def test_tasks_run_in_the_workers() -> None:
    with Executor("processes", max_workers=2) as executor:
        pids = dask.compute(*[dask.delayed(worker_pid)(x) for x in range(8)], scheduler=executor)
        assert os.getpid() not in pids


def test_an_error_of_a_task_comes_out(executor: Executor) -> None:
    with pytest.raises(ZeroDivisionError):
        dask.delayed(divide)(1, 0).compute(scheduler=executor)
    assert dask.delayed(divide)(1, 4).compute(scheduler=executor) == 0.25
