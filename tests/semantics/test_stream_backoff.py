"""Items that failed wait before they run again, occupy nobody meanwhile, and only if their error is worth it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okazja import Executor, Outcome, WorkerDied
from okazja._core import backoff

Open = Callable[..., Executor]


def fail_at(bad: set[int], number: int) -> int:
    if number in bad:
        raise ValueError(number)
    return number


def stamp(folder: str, number: int) -> None:
    with (Path(folder) / str(number)).open("a") as file:
        file.write(f"{time.monotonic()} ")
    raise ValueError(number)


@given(st.floats(0.001, 1e6), st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_double_and_end(first: float, failures: int, chance: float) -> None:
    pause = backoff.pause(first, failures, chance)
    plain = min(first * 2.0 ** min(failures - 1, 60), 60.0)
    assert plain <= pause <= min(plain * 1.25, 60.0)


@pytest.mark.parametrize("ordered", [False, True])
def test_attempts_are_that_far_apart(
    open_executor: Open, backend: str, ordered: bool, tmp_path: Path
) -> None:
    task = partial(stamp, str(tmp_path))
    outcomes = list(open_executor(backend).stream(task, range(20), retries=2, backoff=0.1, ordered=ordered))
    assert {outcome.attempts for outcome in outcomes} == {3}
    for number in range(20):
        first, second, third = map(float, (tmp_path / str(number)).read_text().split())
        assert second - first >= 0.1
        assert third - second >= 0.2


def test_nothing_waits_for_what_waits(open_executor: Open, backend: str) -> None:
    """However many items wait, up to the bound of the window."""
    executor = open_executor(backend)
    bad = set(range(0, 3_000, 3))
    stream = executor.stream(partial(fail_at, bad), range(3_000), retries=1, backoff=1000)
    outcomes = [next(stream) for _ in range(2_000)]
    assert not bad & {outcome.index for outcome in outcomes}
    assert len({outcome.index for outcome in outcomes}) == 2_000
    stream.close()


def test_items_that_waited_are_right_and_come_once(open_executor: Open, backend: str) -> None:
    bad = set(range(0, 1_000, 7))
    outcomes = list(
        open_executor(backend).stream(partial(fail_at, bad), range(1_000), retries=1, backoff=0.001)
    )
    assert sorted(outcome.index for outcome in outcomes) == list(range(1_000))
    assert all(outcome.item == outcome.index for outcome in outcomes)
    assert {outcome.index for outcome in outcomes if not outcome.ok} == bad
    assert all(outcome.attempts == (2 if outcome.index in bad else 1) for outcome in outcomes)


def test_items_that_are_pickled_wait_alone(open_executor: Open) -> None:
    def task(pair: list[Any]) -> Any:
        if pair[0] % 5 == 0:
            raise ValueError(pair)
        return pair

    items = [[number, "x" * 10] for number in range(500)]
    outcomes = list(open_executor("processes").stream(task, items, retries=2, backoff=0.001))
    assert all(outcome.item is items[outcome.index] for outcome in outcomes)
    assert {outcome.attempts for outcome in outcomes if not outcome.ok} == {3}
    assert sorted(outcome.index for outcome in outcomes if outcome.ok) == [n for n in range(500) if n % 5]


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_shutdown_sees_them_through(open_executor: Open, backend: str) -> None:
    with open_executor(backend) as executor:
        stream = executor.stream(partial(fail_at, {3}), range(5), retries=2, backoff=0.05, ordered=True)
    assert [outcome.attempts for outcome in stream] == [1, 1, 1, 3, 1]


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_shutdown_that_cancels_does_not_wait_for_them(open_executor: Open, backend: str) -> None:
    executor = open_executor(backend, 1)  # so item 0 has failed before item 1 begins
    stream = executor.stream(partial(fail_at, {0}), range(2), retries=2, backoff=1000)
    assert next(stream).index == 1
    executor.shutdown(wait=True, cancel_futures=True)
    [outcome] = stream
    assert (type(outcome.error), outcome.attempts) == (ValueError, 1)


def test_workers_that_were_killed_bring_back_nothing(open_executor: Open) -> None:
    executor = open_executor("processes", 1)  # as above
    stream = executor.stream(partial(fail_at, {0}), range(2), retries=2, backoff=1000)
    assert next(stream).index == 1
    executor.kill_workers()
    [outcome] = stream
    assert (type(outcome.error), outcome.attempts) == (ValueError, 1)


# --- which errors are worth it


def raise_one_of(kinds: list[type[BaseException]], number: int) -> None:
    raise kinds[number]("no")


@pytest.mark.parametrize(
    "retry_on", [LookupError, (KeyError, IndexError), lambda error: isinstance(error, LookupError)]
)
def test_the_chosen_alone_run_again(open_executor: Open, backend: str, retry_on: Any) -> None:
    task = partial(raise_one_of, [KeyError, ValueError, IndexError, KeyboardInterrupt])
    stream = open_executor(backend).stream(task, range(4), retries=2, retry_on=retry_on, ordered=True)
    assert [outcome.attempts for outcome in stream] == [3, 1, 3, 1]


def test_a_choice_that_raises_is_noted(open_executor: Open, backend: str) -> None:
    def cannot_say(error: BaseException) -> bool:
        raise RuntimeError("cannot say")

    [outcome] = open_executor(backend).stream(fail_at_one, [1], retries=5, retry_on=cannot_say)
    assert outcome.attempts == 1
    assert isinstance(outcome.error, ValueError)
    assert outcome.error.__notes__ == [
        "retry_on could not say whether this is worth a retry: it raised RuntimeError: cannot say"
    ]


def fail_at_one(number: int) -> int:
    return fail_at({1}, number)


def test_a_worker_that_died_is_an_error_like_others(open_executor: Open) -> None:
    import os

    for retry_on, attempts in ((None, 2), (WorkerDied, 2), (ValueError, 1)):
        outcome: Outcome[int, Any]
        [outcome] = open_executor("processes").stream(os._exit, [3], retries=1, retry_on=retry_on)
        assert isinstance(outcome.error, WorkerDied)
        assert outcome.attempts == attempts
