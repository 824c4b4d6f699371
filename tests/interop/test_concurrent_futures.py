"""Futures of okazja among those of the standard library's executors."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import (
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    Future,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from concurrent.futures import Executor as StandardExecutor

from okazja import Executor


def square(x: int) -> int:
    return x * x


def invert(x: int) -> float:
    return 1 / x


def sum_of_squares(executor: StandardExecutor, numbers: Iterable[int]) -> int:
    """A library function that was written for any executor."""
    return sum(future.result() for future in as_completed([executor.submit(square, n) for n in numbers]))


def test_a_function_that_takes_any_executor(executor: Executor) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert sum_of_squares(executor, range(30)) == sum_of_squares(pool, range(30)) == 8555


def test_mixed_as_completed(executor: Executor) -> None:
    with ThreadPoolExecutor(2) as pool:
        futures: dict[Future[int], int] = {executor.submit(square, n): n for n in range(0, 20, 2)}
        futures |= {pool.submit(square, n): n for n in range(1, 20, 2)}
        assert sorted(futures[future] for future in as_completed(futures)) == list(range(20))
        assert all(future.result() == n * n for future, n in futures.items())


def test_mixed_wait(executor: Executor) -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        slow: Future[object] = pool.submit(gate.wait)
        quick: Future[object] = executor.submit(square, 3)
        done, not_done = wait([slow, quick], return_when=FIRST_COMPLETED)
        assert (done, not_done) == ({quick}, {slow})
        gate.set()
        assert wait([slow, quick]).not_done == set()


def test_wait_for_the_first_exception(executor: Executor) -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        slow: Future[object] = pool.submit(gate.wait)
        bad: Future[object] = executor.submit(invert, 0)
        done, _ = wait([slow, bad], return_when=FIRST_EXCEPTION)
        gate.set()
        assert done == {bad}
        assert isinstance(bad.exception(), ZeroDivisionError)


def test_a_callback_of_one_feeds_the_other(executor: Executor) -> None:
    answers: Future[int] = Future()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(square, 3)
        first.add_done_callback(
            lambda done: executor.submit(square, done.result()).add_done_callback(
                lambda second: answers.set_result(second.result())
            )
        )
        assert answers.result() == 81
