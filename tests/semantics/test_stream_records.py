"""A recorder has each final outcome once, before the caller sees it; observers count; what is known does not run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from okazja import Executor
from okazja._core.known import Known
from okazja._engine import StreamOptions, StreamRun
from okazja._engine.source import Batch
from okazja.stream import outcomes

Open = Callable[..., Executor]


class Book:
    """A recorder and an observer in one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.records: dict[int, tuple[Any, Any]] = {}
        self.counts = dict.fromkeys(("done", "failed", "retried", "known"), 0)
        self.closed: list[bool] = []
        self.ends = 0
        self.problem: Exception | None = None

    def record(
        self,
        base: int,
        positions: Sequence[int],
        items: Sequence[Any],
        keys: Sequence[Any] | None,
        values: Sequence[Any],
        errors: Mapping[int, BaseException],
        attempts: Mapping[int, int],
        times: Sequence[int],
    ) -> dict[int, BaseException]:
        refused: dict[int, BaseException] = {}
        with self.lock:
            assert not self.closed
            for position in positions:
                assert base + position not in self.records, "twice"
                assert items[position] == base + position
                self.records[base + position] = values[position], errors.get(position)
                if values[position] == 4:
                    refused[position] = LookupError("this can't be kept")
        return refused

    def check(self) -> None:
        if self.problem is not None:
            raise self.problem

    def close(self, whole: bool) -> None:
        self.closed.append(whole)

    def began(self, total: int | None) -> None:
        pass

    def settled(self, done: int, failed: int) -> None:
        with self.lock:
            self.counts["done"] += done
            self.counts["failed"] += failed

    def retried(self, items: int) -> None:
        with self.lock:
            self.counts["retried"] += items

    def known(self, done: int, failed: int) -> None:
        self.counts["known"] += done + failed

    def ended(self) -> None:
        self.ends += 1


class Numbers:
    """A source of the numbers up to 1000, of which every hundred but the first is known from 50 on."""

    def __init__(self) -> None:
        self.next = 0
        self.ended = False
        self.on_news: Callable[[], None] = lambda: None

    def take(self, most: int) -> Batch:
        within = self.next % 100
        known = within >= 50
        count = 50 if known else min(most, 50 - within)
        items = list(range(self.next, self.next + count))
        self.next += count
        self.ended = self.next == 1000
        return Batch(items, items, [Known(-n, None, 2, 0.5) for n in items] if known else None)

    def close(self) -> None:
        self.ended = True


def fail_at_seven(number: int) -> int:
    if number % 10 == 7:
        raise ValueError(number)
    return number


def begin(executor: Executor, book: Book, **options: Any) -> StreamRun:
    run = StreamRun(
        executor._engine,
        fail_at_seven,
        Numbers(),
        star=False,
        length=1000,
        ordered=options.pop("ordered", False),
        options=StreamOptions(**options),
        observers=(book,),
        recorder=book,
    )
    run.begin()
    return run


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("backoff", [0.0, 0.001])
def test_each_once_and_before_it_is_seen(
    open_executor: Open, backend: str, ordered: bool, backoff: float
) -> None:
    book = Book()
    run = begin(open_executor(backend), book, ordered=ordered, retries=1, backoff=backoff)
    seen = []
    for outcome in outcomes(run, raising=False, max_failures=None):
        seen.append(outcome.index)
        if outcome.index % 100 >= 50:
            assert (outcome.value, outcome.attempts, outcome.worker) == (-outcome.index, 2, -1)
        else:
            assert outcome.index in book.records
            assert outcome.ok is (outcome.index % 10 != 7 and outcome.index != 4)
    assert sorted(seen) == list(range(1000))
    assert not ordered or seen == list(range(1000))
    assert sorted(book.records) == [n for n in range(1000) if n % 100 < 50]
    assert book.counts == {"done": 449, "failed": 51, "retried": 50, "known": 500}
    assert (book.closed, book.ends) == ([True], 1)


def test_after_a_break_it_is_closed_and_not_whole(open_executor: Open, backend: str) -> None:
    book = Book()
    stream = outcomes(begin(open_executor(backend), book), raising=False, max_failures=None)
    next(stream)
    stream.close()
    assert (book.closed, book.ends) == ([False], 1)


def test_a_problem_of_the_recorder_ends_the_stream(open_executor: Open, backend: str) -> None:
    book = Book()
    stream = outcomes(begin(open_executor(backend), book), raising=False, max_failures=None)
    next(stream)
    book.problem = OSError("the disk is full")
    with pytest.raises(OSError, match="disk is full"):
        list(stream)
    assert (book.closed, book.ends) == ([False], 1)


def test_shutdown_closes_it(open_executor: Open, backend: str) -> None:
    book = Book()
    with Executor(backend) as executor:
        run = begin(executor, book)
    assert len(book.records) == 500
    assert book.closed == [True]
    assert len(list(outcomes(run, raising=False, max_failures=None))) == 1000
    assert (book.closed, book.ends) == ([True], 1)
