"""An item that failed runs again, as often as was asked for; what is reported of it is its last attempt, once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.semantics.tasks import Holder, Unpicklable, raise_keyboard_interrupt

from okazja import Executor, NotPicklable

Open = Callable[..., Executor]


def attempt(folder: str, failures: dict[int, int], number: int) -> int:
    """Fail the first times, of which a file keeps count."""
    with (Path(folder) / str(number)).open("a+") as file:
        file.write("x")
        file.seek(0)
        attempts = len(file.read())
    if attempts <= failures.get(number, 0):
        raise ValueError(f"attempt {attempts} of {number}")
    return number * number


def attempts_at(folder: Path) -> dict[int, int]:
    return {int(path.name): len(path.read_text()) for path in folder.iterdir()}


@pytest.mark.parametrize("ordered", [False, True])
def test_until_it_succeeds(open_executor: Open, backend: str, tmp_path: Path, ordered: bool) -> None:
    failures = {3: 1, 77: 2, 199: 3}
    stream = open_executor(backend).stream(
        partial(attempt, str(tmp_path), failures), range(200), ordered=ordered, retries=3
    )
    outcomes = list(stream)
    indexes = [outcome.index for outcome in outcomes]
    assert (indexes if ordered else sorted(indexes)) == list(range(200))
    assert all(outcome.value == outcome.item**2 for outcome in outcomes)
    assert {outcome.index: outcome.attempts for outcome in outcomes} == attempts_at(tmp_path)
    assert {outcome.index: outcome.attempts for outcome in outcomes if outcome.attempts > 1} == {
        3: 2,
        77: 3,
        199: 4,
    }


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_until_there_are_no_more(open_executor: Open, backend: str, tmp_path: Path, retries: int) -> None:
    task = partial(attempt, str(tmp_path), dict.fromkeys(range(20), 100))
    outcomes = list(open_executor(backend).stream(task, range(20), retries=retries, ordered=True))
    assert [str(outcome.error) for outcome in outcomes] == [
        f"attempt {retries + 1} of {n}" for n in range(20)
    ]
    assert {outcome.attempts for outcome in outcomes} == {retries + 1}
    assert attempts_at(tmp_path) == dict.fromkeys(range(20), retries + 1)


def test_very_many(open_executor: Open, backend: str) -> None:
    """As many as one likes: they don't stand on each other's stack."""
    [outcome] = open_executor(backend).stream(int, ["no number"], retries=3000)
    assert (outcome.ok, outcome.attempts) == (False, 3001)


def test_not_what_can_not_succeed(open_executor: Open) -> None:
    items = [1, Holder(Unpicklable()), 3]
    outcomes = list(open_executor("processes").stream(type, items, retries=5, ordered=True))
    assert [outcome.attempts for outcome in outcomes] == [1, 0, 1]
    assert isinstance(outcomes[1].error, NotPicklable)
    assert outcomes[1].item is items[1]
    assert outcomes[1].worker == -1


def test_not_keyboard_interrupt(open_executor: Open, backend: str) -> None:
    [outcome] = open_executor(backend).stream(raise_keyboard_interrupt, [3], retries=5)
    assert isinstance(outcome.error, KeyboardInterrupt)
    assert outcome.attempts == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_the_others_do_not_wait(
    open_executor: Open, workers: int, tmp_path: Path, fifo: Callable[[str], str]
) -> None:
    """Outcomes of the chunk that a failed item came in are there while it still runs again."""
    path = fifo("gate")

    def task(number: int) -> int:
        if number == 1010:
            marker = tmp_path / "tried"
            if not marker.exists():
                marker.touch()
                raise ValueError("once")
            with open(path) as gate:
                gate.read()
        return number

    stream = open_executor("processes", workers).stream(task, range(1011), retries=1)
    outcomes = [next(stream) for _ in range(1010)]
    with open(path, "w"):
        pass
    [last] = stream
    assert sorted(outcome.index for outcome in outcomes) == list(range(1010))
    assert (last.index, last.value, last.attempts) == (1010, 1010, 2)


def test_ahead_of_what_waits(open_executor: Open) -> None:
    """On one worker, an item runs again before what was drawn after it is through."""
    seen: list[int] = []

    def source() -> Iterator[int]:
        yield from range(2000)

    failed: set[int] = set()

    def task(number: int) -> int:
        seen.append(number)
        if number == 0 and not failed:
            failed.add(number)
            raise ValueError("once")
        return number

    outcomes = list(open_executor("threads", 1).stream(task, source(), retries=1))
    assert len(outcomes) == 2000
    second = seen.index(0, 1)
    assert second < 20, "not at the end of the input"


def test_after_shutdown_retries_are_seen_through(open_executor: Open, backend: str, tmp_path: Path) -> None:
    task = partial(attempt, str(tmp_path), dict.fromkeys(range(30), 2))
    with open_executor(backend) as executor:
        stream = executor.stream(task, range(30), retries=2, ordered=True)
    outcomes = list(stream)
    assert [outcome.value for outcome in outcomes] == [n * n for n in range(30)]
    assert {outcome.attempts for outcome in outcomes} == {3}


def test_none_after_cancel(open_executor: Open) -> None:
    begun, go = threading.Event(), threading.Event()
    runs: Counter[int] = Counter()

    def task(number: int) -> None:
        runs[number] += 1
        begun.set()
        go.wait(10)
        raise ValueError(number)

    executor = open_executor("threads", 1)
    stream = executor.stream(task, [1], retries=10)
    assert begun.wait(10)
    executor.shutdown(wait=False, cancel_futures=True)
    go.set()
    executor.shutdown(wait=True)
    assert runs == {1: 1}
    [outcome] = stream
    assert (type(outcome.error), outcome.attempts) == (ValueError, 1)


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_none_after_the_stream_was_closed(open_executor: Open, backend: str) -> None:
    executor = open_executor(backend)
    stream = executor.stream(int, ["1", *["no number"] * 50], retries=10**9, ordered=True)
    assert next(stream).value == 1
    del stream
    executor.shutdown(wait=True)
    assert not executor._broken


def test_none_once_the_workers_were_killed(open_executor: Open) -> None:
    executor = open_executor("processes", 2)
    stream = executor.stream(int, ["1", "no number"], retries=10**9, ordered=True)
    assert next(stream).value == 1
    executor.kill_workers()
    [outcome] = stream
    assert not outcome.ok


def test_contexts_are_fresh(open_executor: Open) -> None:
    from contextvars import ContextVar

    variable = ContextVar("variable", default=0)
    seen = []

    def task(_: int) -> None:
        seen.append(variable.get())
        variable.set(variable.get() + 1)
        raise ValueError("again")

    for backend in ("serial", "threads"):
        list(open_executor(backend).stream(task, [1], retries=2))
    assert seen == [0] * 6


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"retries": -1}, ValueError, "retries must be at least 0, got -1"),
        ({"retries": 1.5}, TypeError, "retries must be a whole number, got 1.5"),
        ({"retries": True}, TypeError, "retries must be a whole number, got True"),
        ({"item_timeout": 0}, ValueError, "greater than 0, got 0"),
        ({"item_timeout": -1.5}, ValueError, "greater than 0, got -1.5"),
        ({"item_timeout": float("nan")}, ValueError, "greater than 0, got nan"),
        ({"item_timeout": float("inf")}, ValueError, "got inf: leave it out for no limit"),
        ({"item_timeout": "5"}, TypeError, "item_timeout must be a number of seconds or None, got '5'"),
        ({"item_timeout": True}, TypeError, "item_timeout must be a number of seconds or None, got True"),
        ({"on_error": "ignore"}, ValueError, "on_error must be 'yield' or 'raise', got 'ignore'"),
    ],
)
def test_bad_values(
    open_executor: Open, backend: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """They are refused at the call, before anything is drawn."""

    drawn: list[int] = []

    def source() -> Iterator[int]:
        drawn.append(1)
        yield 1

    with pytest.raises(error, match=message) as caught:
        open_executor(backend).stream(abs, source(), **options)
    assert type(caught.value).__module__ == "okazja.errors"
    assert not drawn
