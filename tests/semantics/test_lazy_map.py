"""A lazy map is still the standard library's map."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.scripts import eventually
from tests.semantics.tasks import add, double, fail_on_odd, record, wait_for, write_to

from okazja import Executor
from okazja.errors import ExecutorShutdown

Open = Callable[..., Executor]


def test_results_can_be_taken_after_the_with_block(backend: str) -> None:
    with Executor(backend) as executor:
        results = executor.map(double, range(5))
    assert list(results) == [0, 2, 4, 6, 8]


def test_a_map_that_nobody_starts_still_runs(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Executor(backend) as executor:
        results = executor.map(record, [str(path)] * 300, range(300))
    assert sorted(map(int, path.read_text().split())) == list(range(300))
    assert list(results) == list(range(300))


def test_a_map_whose_iterator_is_thrown_away_unstarted_still_runs(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Executor(backend) as executor:
        executor.map(record, [str(path)] * 300, range(300))
        gc.collect()
    assert sorted(map(int, path.read_text().split())) == list(range(300))


def test_more_than_the_window_is_seen_through_at_shutdown(backend: str) -> None:
    with Executor(backend) as executor:
        results = executor.map(double, range(50_000 if backend == "processes" else 2_000))
    assert sum(1 for _ in results) == (50_000 if backend == "processes" else 2_000)


def test_input_advances_only_in_the_calling_thread_and_within_the_window(backend: str) -> None:
    drawn_in = set()
    drawn = 0

    def numbers() -> Iterator[int]:
        nonlocal drawn
        for number in itertools.count():
            drawn_in.add(threading.get_ident())
            drawn += 1
            yield number

    with Executor(backend) as executor:
        results = executor.map(double, numbers(), buffersize=8)
        assert drawn <= 8
        for position, result in enumerate(itertools.islice(results, 100)):
            assert result == 2 * position
            assert drawn <= position + 1 + 8
        results.close()
    assert drawn_in == {threading.get_ident()}


def test_an_endless_input_is_drawn_no_further_than_the_default_window(backend: str) -> None:
    drawn = itertools.count()
    with Executor(backend) as executor:
        results = executor.map(double, drawn)
        assert list(itertools.islice(results, 10)) == [2 * n for n in range(10)]
        results.close()
    assert next(drawn) <= 1 << 17


def test_a_started_iterator_that_is_closed_cancels_the_rest(open_executor: Open, tmp_path: Path) -> None:
    path = tmp_path / "log"
    executor = open_executor("processes", 2)
    results = executor.map(record, [str(path)] * 100_000, range(100_000))
    assert next(results) == 0
    results.close()
    executor.shutdown()
    assert len(path.read_text().split()) < 100_000


def test_a_started_iterator_that_is_dropped_cancels_the_rest(open_executor: Open, tmp_path: Path) -> None:
    path = tmp_path / "log"
    executor = open_executor("processes", 2)
    results = executor.map(record, [str(path)] * 100_000, range(100_000))
    assert next(results) == 0
    del results
    gc.collect()
    executor.shutdown()
    assert len(path.read_text().split()) < 100_000


def test_after_shutdown_an_unsized_input_says_what_happened(backend: str) -> None:
    drawn = iter(itertools.count())
    with Executor(backend) as executor:
        results = executor.map(double, drawn, buffersize=4)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(ExecutorShutdown, match="length is unknown"):
        list(results)


def test_an_input_that_raises_does_so_after_what_came_before(backend: str) -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)
        raise LookupError("the input broke")

    with Executor(backend) as executor:
        results = executor.map(double, numbers())
        assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
        with pytest.raises(LookupError, match="the input broke"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)


def test_an_error_is_raised_in_its_place_and_ends_the_map(backend: str) -> None:
    with Executor(backend) as executor:
        results = executor.map(fail_on_odd, range(5))
        assert next(results) == 0
        with pytest.raises(ValueError, match="no 1"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)


def test_several_iterables_end_with_the_shortest(backend: str) -> None:
    with Executor(backend) as executor:
        assert list(executor.map(add, range(5), [10, 20, 30])) == [10, 21, 32]


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_the_timeout_counts_from_the_call(
    backend: str, open_executor: Open, fifo: Callable[[str], str]
) -> None:
    executor = open_executor(backend, 1)
    path = fifo("never")
    results = executor.map(wait_for, [path], timeout=0.2)
    with pytest.raises(TimeoutError):
        next(results)
    write_to(path)


def test_a_stream_over_an_endless_input_can_be_left(backend: str) -> None:
    with Executor(backend) as executor:
        outcomes = executor.stream(double, itertools.count())
        first = list(itertools.islice(outcomes, 20))
        outcomes.close()
    assert all(outcome.value == 2 * outcome.item for outcome in first)


def test_a_dropped_map_releases_its_input(backend: str) -> None:
    class Input:
        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

        def __len__(self) -> int:
            return 3

    import weakref

    source = Input()
    gone = weakref.ref(source)
    with Executor(backend) as executor:
        assert list(executor.map(double, source)) == [0, 2, 4]
        del source
        assert eventually(lambda: gc.collect() is not None and gone() is None, 5)
