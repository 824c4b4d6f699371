"""``map``: order, laziness, and what becomes of errors and of iterators that nobody finishes."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from okazja.testing import tasks
from okazja.testing.check import Maker, caught, needs
from okazja.testing.gate import PATIENCE, Gate

MOST_DRAWN = 1 << 17  # items of an endless input that may be drawn ahead of the one result asked for


class Counter:
    """An endless input that knows how much of it was drawn, and by which threads."""

    def __init__(self) -> None:
        self.drawn = 0
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.threads.add(threading.get_ident())
        self.drawn += 1
        return self.drawn - 1


def check_order(make: Maker) -> None:
    """Results come in the order of the input, from several iterables up to the end of the shortest."""
    with make() as executor:
        assert list(executor.map(tasks.square, range(500))) == [number * number for number in range(500)]
        assert list(executor.map(tasks.add, range(5), [10, 20, 30])) == [10, 21, 32]
        assert list(executor.map(tasks.square, [])) == []
        assert list(executor.map(tasks.square, iter(range(3)))) == [0, 1, 4]


def check_begins_without_being_asked(make: Maker) -> None:
    """All items run, also when nobody ever starts the iterator, once the executor was shut down."""
    with TemporaryDirectory() as folder:
        with make() as executor:
            executor.map(tasks.note, itertools.repeat(folder, 300), range(300))
        assert tasks.noted(folder) == [*range(300)] or not make.traits.extended


def check_runs_sized_inputs_to_the_end(make: Maker) -> None:
    """Items of a list run, each once, although their iterator is kept and never started."""
    with TemporaryDirectory() as folder:
        with make() as executor:
            results = executor.map(tasks.note, [folder] * 300, range(300))
        assert tasks.noted(folder) == [*range(300)]
        values = list(results)
        wrong = [(index, value) for index, value in enumerate(values) if value != index]
        assert len(values) == 300, f"{len(values)} results of 300 items"
        assert not wrong, f"{len(wrong)} wrong results, the first at {wrong[0]}"


def check_results_after_the_block(make: Maker) -> None:
    """``list(results)`` works after the with block of the executor."""
    with make() as executor:
        results = executor.map(tasks.square, range(300))
    assert list(results) == [number * number for number in range(300)]


@needs(lambda traits: traits.extended)
def check_endless_input(make: Maker) -> None:
    """Input is drawn as results are taken, in a bounded window, and in no thread but the caller's."""
    source = Counter()
    with make() as executor:
        results = executor.map(tasks.identity, source)
        assert list(itertools.islice(results, 100)) == [*range(100)]
        assert source.drawn < MOST_DRAWN, f"{source.drawn} items were drawn for 100 results"
        assert source.threads == {threading.get_ident()}
        results.close()


@needs(lambda traits: traits.extended)
def check_buffersize(make: Maker) -> None:
    """``buffersize`` bounds the items that were drawn and whose results were not taken."""
    source = Counter()
    with make() as executor:
        results = executor.map(tasks.identity, source, buffersize=3)
        assert source.drawn <= 3
        for taken in range(1, 40):
            assert next(results) == taken - 1
            assert source.drawn <= taken + 3
        results.close()
        assert isinstance(caught(lambda: executor.map(tasks.identity, [], buffersize=0)), ValueError)


def check_error_in_its_place(make: Maker) -> None:
    """Results before a failed item come first; then its error is raised, and the iterator is at its end."""
    with make() as executor:
        results = executor.map(tasks.fail_on_three, range(10))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        assert type(caught(next, results)) is tasks.CustomError
        assert list(results) == []


@needs(lambda traits: traits.extended)
def check_input_that_raises(make: Maker) -> None:
    """An error of the input is raised after the results of what came before it."""

    def source() -> Iterator[int]:
        yield from range(20)
        raise LookupError("the input is broken")

    with make() as executor:
        results = executor.map(tasks.square, source())
        assert [next(results) for _ in range(20)] == [number * number for number in range(20)]
        assert type(caught(next, results)) is LookupError


@needs(lambda traits: traits.concurrent)
def check_timeout(make: Maker) -> None:
    """``timeout`` counts from the call of ``map``; a result that isn't there by then is a TimeoutError."""
    with make(max_workers=1) as executor, Gate() as gate:
        results = executor.map(tasks.wait_and_return, [gate.address], [1], timeout=0.05)
        assert type(caught(next, results)) is TimeoutError


def check_chunksize(make: Maker) -> None:
    """Any ``chunksize`` gives the same results."""
    expected = [number * number for number in range(50)]
    with make() as executor:
        for size in (1, 7, 1000):
            assert list(executor.map(tasks.square, range(50), chunksize=size)) == expected


@needs(lambda traits: traits.chunks)
def check_bad_chunksize(make: Maker) -> None:
    """A ``chunksize`` under one is a ValueError."""
    with make() as executor:
        for size in (0, -1):
            assert isinstance(caught(lambda size=size: executor.map(abs, [1], chunksize=size)), ValueError)


@needs(lambda traits: traits.concurrent)
def check_closed_iterator_cancels_the_rest(make: Maker) -> None:
    """Of a map whose iterator was started and is closed or dropped, what has not begun never runs."""
    for closed in (True, False):
        with TemporaryDirectory() as folder, make(max_workers=2) as executor, Gate() as gate:
            results = executor.map(
                tasks.wait_unless_first, itertools.repeat(gate.address, 200), [folder] * 200, range(200)
            )
            assert next(results) == 0
            gate.arrivals(2)
            if closed:
                results.close()
            del results
            gate.open()
            executor.shutdown()
            ran = tasks.noted(folder)
            assert len(ran) < 20, f"{len(ran)} of 200 items ran"


@needs(lambda traits: traits.extended)
def check_arity(make: Maker) -> None:
    """A function that can't take so many arguments is a TypeError at the call of ``map``, before any work."""
    with make() as executor:
        for iterables in (([1],), ([1], [2], [3])):
            assert isinstance(caught(executor.map, tasks.add, *iterables), TypeError)
        assert list(executor.map(divmod, [7], [2])) == [(3, 1)]
        assert list(executor.map(max, [7], [2], [9])) == [9]


def check_keeps_no_results(make: Maker) -> None:
    """The iterator lets go of each result when it has handed it out."""
    with make() as executor:
        for thing in executor.map(tasks.make_thing, range(20)):
            watch = weakref.ref(thing)
            del thing
            deadline = monotonic() + PATIENCE
            while watch() is not None and monotonic() < deadline:
                gc.collect()  # or it is held for a moment by the thread that brought it
            assert watch() is None


def check_base_exceptions(make: Maker) -> None:
    """SystemExit and KeyboardInterrupt from an item are raised in its place; the executor goes on."""
    with make() as executor:
        for kind in (SystemExit, KeyboardInterrupt):
            assert type(caught(list, executor.map(tasks.raise_kind, [kind]))) is kind
        assert list(executor.map(tasks.square, [3])) == [9]


def check_maps_side_by_side(make: Maker) -> None:
    """Two maps over one executor that are read in turns, and calls between them, don't disturb each other."""
    with make() as executor:
        pairs: list[Any] = []
        for left, right in zip(
            executor.map(tasks.square, range(100)),
            executor.map(tasks.add, range(100), range(100)),
            strict=True,
        ):
            pairs.append((left, right))
            if left % 10 == 0:
                assert executor.submit(tasks.square, 3).result() == 9
        assert pairs == [(number * number, 2 * number) for number in range(100)]
