"""Work in which one item is guilty: all the others must be right, in order, and reported exactly once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tests.faults.tasks import GUILTY, square

from okazja import Executor
from okazja.errors import WorkerDied

__all__ = ["COUNT", "error_of_the_guilty", "misbehave_at", "works"]

COUNT = 2_000  # tiny items: enough for chunks to have grown when the guilty one comes
PATIENCE = 30.0  # seconds for a single call


def misbehave_at(task: Callable[[], object], guilty: int, number: int) -> Any:
    """Square a number; at one of them do something else instead."""
    return task() if number == guilty else square(number)


def works(executor: Executor) -> bool:
    """Whether the executor goes on as if nothing had happened, in chunks and one by one."""
    mapped = list(executor.map(square, range(500)))
    single = [executor.submit(square, number).result(PATIENCE) for number in range(10)]
    return mapped == [n * n for n in range(500)] and single == mapped[:10]


def error_of_the_guilty(executor: Executor, task: Callable[[], object]) -> BaseException:
    """Run ``task`` as one item of a large stream and once by itself; both must fail in the same way."""
    assert works(executor)
    outcomes = list(
        executor.stream(functools.partial(misbehave_at, task, GUILTY), range(COUNT), ordered=True)
    )
    assert [outcome.index for outcome in outcomes] == list(range(COUNT))
    assert [outcome.index for outcome in outcomes if not outcome.ok] == [GUILTY]
    assert all(outcome.value == outcome.index**2 for outcome in outcomes if outcome.ok)
    error = outcomes[GUILTY].error
    assert error is not None
    submitted = executor.submit(task).exception(PATIENCE)
    assert type(submitted).__name__ == type(error).__name__  # a class made in the task is made each time
    if isinstance(error, WorkerDied):
        assert isinstance(submitted, WorkerDied)
        assert submitted.exitcode == error.exitcode
    assert works(executor)
    return error
