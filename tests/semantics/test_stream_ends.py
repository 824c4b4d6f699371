"""What ends a stream before its input does: a deadline, too many failures, a caller who stops."""

from __future__ import annotations

import itertools
import os
import pickle
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from okazja import Executor, Outcome, TooManyFailures

Open = Callable[..., Executor]
CONCURRENT = pytest.mark.parametrize("backend", ["threads", "processes"])
DEADLINE = 1.0  # seconds; enough for a worker to start and to import this


def compute_for_ever_from_three(number: int) -> int:
    while number >= 3:
        pass
    return number


def fail_on_odd(number: int) -> int:
    if number % 2:
        raise ValueError(number)
    return number


def taken_until_timeout(stream: Iterator[Outcome[Any, Any]]) -> tuple[list[Outcome[Any, Any]], str]:
    outcomes: list[Outcome[Any, Any]] = []
    with pytest.raises(TimeoutError) as caught:
        outcomes.extend(stream)
    return outcomes, str(caught.value)


# --- deadline


@CONCURRENT
@pytest.mark.parametrize("ordered", [False, True])
def test_at_the_deadline_every_item_drawn_has_an_outcome(
    open_executor: Open, backend: str, ordered: bool
) -> None:
    executor = open_executor(backend, 2)
    assert (
        len(list(executor.map(compute_for_ever_from_three, [0, 1, 2] * 100))) == 300
    )  # workers have started
    began = time.monotonic()
    stream = executor.stream(
        compute_for_ever_from_three, itertools.count(), deadline=DEADLINE, ordered=ordered
    )
    outcomes, message = taken_until_timeout(stream)
    assert DEADLINE <= time.monotonic() - began < DEADLINE + 5
    assert sorted(outcome.index for outcome in outcomes) == list(range(len(outcomes)))
    # Outcomes of items that share a chunk with one that runs are known when that was interrupted.
    said = re.match(
        rf"deadline={DEADLINE:g} s passed when (\d) of the {len(outcomes)} items drawn so far", message
    )
    assert said
    assert int(said[1]) <= 3
    late = [outcome for outcome in outcomes if not outcome.ok]
    assert {outcome.index for outcome in late} == set(range(3, len(outcomes)))
    assert all(isinstance(outcome.error, TimeoutError) for outcome in late)
    ran = [outcome for outcome in late if outcome.attempts]
    assert len(ran) >= 2  # one that a worker held already may begin, and is interrupted at once
    assert all(
        str(outcome.error).endswith(f"deadline={DEADLINE:g} s passed and was interrupted") for outcome in ran
    )
    assert all("had not begun when" in str(o.error) and o.worker == -1 for o in late if not o.attempts)
    assert executor.submit(abs, -3).result(30) == 3


def test_what_swallows_the_interrupt_is_killed_at_the_deadline(open_executor: Open) -> None:
    def stubborn(_: int) -> None:
        while True:
            try:
                time.sleep(1000)
            except BaseException:
                pass

    executor = open_executor("processes", 2)
    other = executor.submit(abs, -1)
    outcomes, _ = taken_until_timeout(executor.stream(stubborn, [1, 2], deadline=DEADLINE))
    assert ["was killed with its worker" in str(outcome.error) for outcome in outcomes] == [True, True]
    assert (other.result(30), executor.submit(abs, -3).result(30)) == (1, 3)


def stubborn_at_the_end(number: int) -> int:
    while number == 2999:
        try:
            time.sleep(1000)
        except BaseException:
            pass
    time.sleep(0.0001)
    if number == 2990:
        raise TimeoutError("its own")
    return number


def test_only_what_the_deadline_ended_in_a_chunk_is_no_failure(open_executor: Open) -> None:
    stream = open_executor("processes", 2).stream(
        stubborn_at_the_end, range(3000), deadline=2 * DEADLINE, max_failures=1
    )
    outcomes, _ = taken_until_timeout(stream)
    errors = {outcome.index: str(outcome.error) for outcome in outcomes if not outcome.ok}
    assert errors[2990] == "its own"
    assert "was killed with its worker" in errors[2999]


def test_a_stream_that_is_done_in_time_says_nothing(open_executor: Open, backend: str) -> None:
    outcomes = list(open_executor(backend).stream(abs, range(100), deadline=1000, ordered=True))
    assert [outcome.value for outcome in outcomes] == list(range(100))


@CONCURRENT
def test_an_input_that_blocks_does_not_hold_up_the_deadline(open_executor: Open, backend: str) -> None:
    go = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        go.wait(30)

    outcomes, message = taken_until_timeout(open_executor(backend).stream(abs, numbers(), deadline=DEADLINE))
    go.set()
    assert [outcome.value for outcome in outcomes] == [1]
    assert "1 of the 1 items" in message


def test_on_serial_it_is_looked_at_between_items(open_executor: Open) -> None:
    outcomes, _ = taken_until_timeout(
        open_executor("serial").stream(time.sleep, itertools.repeat(0.05), deadline=0.2)
    )
    assert all(outcome.ok for outcome in outcomes)
    assert 1 <= len(outcomes) <= 6


@CONCURRENT
def test_what_waits_for_a_retry_is_out_of_time(open_executor: Open, backend: str) -> None:
    [outcome], _ = taken_until_timeout(
        open_executor(backend).stream(fail_on_odd, [1], retries=5, backoff=50, deadline=DEADLINE)
    )
    assert "failed and not run again" in str(outcome.error)
    assert isinstance(outcome.error.__cause__ if outcome.error else None, ValueError)
    assert outcome.attempts == 1


@CONCURRENT
def test_other_calls_outlive_the_deadline_of_a_stream(open_executor: Open, backend: str) -> None:
    executor = open_executor(backend, 2)
    slow = executor.submit(time.sleep, 2 * DEADLINE)
    stream = executor.stream(compute_for_ever_from_three, range(3, 6), deadline=DEADLINE)
    queued = executor.submit(abs, -4)
    outcomes, _ = taken_until_timeout(stream)
    assert len(outcomes) == 3
    assert (slow.result(30), queued.result(30)) == (None, 4)


# --- max_failures


@pytest.mark.parametrize("allowed", [0, 1, 5])
def test_one_failure_too_many(open_executor: Open, backend: str, allowed: int) -> None:
    executor = open_executor(backend)
    got: list[int] = []
    with pytest.raises(TooManyFailures, match=f"max_failures={allowed}") as caught:
        got.extend(
            outcome.index
            for outcome in executor.stream(fail_on_odd, itertools.count(), max_failures=allowed, ordered=True)
        )
    assert got == list(range(2 * allowed + 2)), "up to and including the one too many"
    assert caught.value.failures == allowed + 1
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.__cause__.args == (2 * allowed + 1,)
    assert executor.submit(abs, -3).result(30) == 3


def test_as_many_as_are_allowed(open_executor: Open, backend: str) -> None:
    outcomes = list(open_executor(backend).stream(fail_on_odd, range(20), max_failures=10))
    assert sum(not outcome.ok for outcome in outcomes) == 10


def test_retries_that_succeed_are_no_failures(open_executor: Open, backend: str, tmp_path: Path) -> None:
    outcomes = list(
        open_executor(backend).stream(partial(once, str(tmp_path)), range(10), max_failures=0, retries=1)
    )
    assert all(outcome.ok for outcome in outcomes)


def once(folder: str, number: int) -> int:
    marker = Path(folder) / str(number)
    if not marker.exists():
        marker.touch()
        raise ValueError("once")
    return number


def test_the_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(TooManyFailures("4 items have failed", 4)))
    assert (str(error), error.failures) == ("4 items have failed", 4)


# --- the caller stops


@CONCURRENT
@pytest.mark.parametrize("way", ["close", "drop", "raise", "max_failures"])
def test_what_runs_is_ended_with_its_stream(
    open_executor: Open, backend: str, way: str, tmp_path: Path
) -> None:
    def task(number: int) -> None:
        if number == 0:
            raise ValueError("the first")
        try:
            (tmp_path / f"{number}-begun").touch()
            while True:
                pass
        finally:
            (tmp_path / f"{number}-ended").touch()

    def items() -> Iterator[int]:
        yield 1
        while not (tmp_path / "1-begun").exists():
            time.sleep(0.001)
        yield 0

    executor = open_executor(backend, 2)
    ways: dict[str, dict[str, Any]] = {"raise": {"on_error": "raise"}, "max_failures": {"max_failures": 0}}
    options = ways.get(way, {})
    stream = executor.stream(task, items(), **options)
    if way == "raise":
        with pytest.raises(ValueError, match="the first"):
            next(stream)
    else:
        assert next(stream).index == 1  # the second item, which fails
        if way == "close":
            stream.close()
        elif way == "max_failures":
            with pytest.raises(TooManyFailures):
                next(stream)
    del stream
    executor.shutdown(wait=True)
    assert {path.name for path in tmp_path.iterdir()} == {"1-begun", "1-ended"}


def test_on_threads_what_blocks_in_c_is_waited_for_by_shutdown(open_executor: Open) -> None:
    """It was not asked to be over by any time, so no thread is left behind."""
    read, write = os.pipe()
    begun = threading.Event()

    def task(number: int) -> None:
        if number:
            begun.set()
            os.read(read, 1)

    executor = open_executor("threads", 2)
    stream = executor.stream(task, range(2), ordered=True)
    next(stream)
    assert begun.wait(30)
    threads = set(executor._threads)
    del stream
    os.write(write, b"x")
    executor.shutdown(wait=True)
    assert not any(thread.is_alive() for thread in threads)
    os.close(read)
    os.close(write)


def test_what_others_run_is_unharmed(open_executor: Open) -> None:
    """Workers that hang on a stream which was left are killed; that counts against nobody."""

    def stubborn(number: int) -> int:
        while number:
            try:
                time.sleep(1000)
            except BaseException:
                pass
        return number

    executor = open_executor("processes", 2)
    for _ in range(3):
        stream = executor.stream(stubborn, range(3), ordered=True)
        assert next(stream).value == 0
        others = [executor.submit(abs, -number) for number in range(30)]
        del stream
        assert [other.result(30) for other in others] == list(range(30))
    assert not executor._broken


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"deadline": 0}, ValueError, "deadline must be a finite number of seconds greater than 0, got 0"),
        ({"deadline": "1"}, TypeError, "deadline must be a number of seconds or None, got '1'"),
        ({"backoff": -1}, ValueError, "backoff must be a finite number of seconds, 0 or more, got -1"),
        ({"backoff": None}, TypeError, "backoff must be a number of seconds, got None"),
        (
            {"retry_on": "OSError"},
            TypeError,
            "retry_on must be an exception class, a tuple of them, or a function",
        ),
        ({"retry_on": (OSError, 3)}, TypeError, "retry_on must be an exception class"),
        ({"retry_on": int}, TypeError, "retry_on must be an exception class"),
        ({"max_failures": -1}, ValueError, "max_failures must be at least 0, got -1"),
        ({"max_failures": 0.5}, TypeError, "max_failures must be a whole number, got 0.5"),
        ({"buffersize": 0}, ValueError, "buffersize must be None or > 0, got 0"),
    ],
)
def test_bad_values(
    open_executor: Open, backend: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    drawn: list[int] = []

    def source() -> Iterator[int]:
        drawn.append(1)
        yield 1

    with pytest.raises(error, match=message):
        open_executor(backend).stream(abs, source(), **options)
    assert not drawn


def test_nothing_is_lost_where_an_interrupt_meets_a_hand_back(open_executor: Open) -> None:
    """A worker is asked for the rest of its chunk and interrupted within some microseconds, in every way there is."""
    executor = open_executor("processes", 2)
    for _ in range(60):
        list(executor.stream(compute_for_ever_from_three, [0, 1, 2] * 1000))  # quick items: chunks have grown
        stream = executor.stream(
            compute_for_ever_from_three, [0, 1, 2] * 300 + [3] * 3000, deadline=0.05, ordered=True
        )
        outcomes, _ = taken_until_timeout(stream)
        assert [outcome.index for outcome in outcomes] == list(range(len(outcomes)))
