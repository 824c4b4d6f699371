"""``stream``: an outcome for every item, whatever happens to it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from tempfile import TemporaryDirectory

from okazja.testing import tasks
from okazja.testing.check import Maker, Traits, caught, needs
from okazja.testing.gate import Gate
from okazja.testing.maps import MOST_DRAWN, Counter


def _streams(traits: Traits) -> bool:
    return traits.streams


def _streams_at_once(traits: Traits) -> bool:
    return traits.streams and traits.concurrent


@needs(_streams)
def check_outcome_for_every_item(make: Maker) -> None:
    """Each item has one outcome: its index, itself, and a value or an error, which is never raised."""
    with make() as executor:
        outcomes = {outcome.index: outcome for outcome in executor.stream(tasks.fail_on_three, [5, 3, 4, 3])}
        assert sorted(outcomes) == [0, 1, 2, 3]
        for index, item in enumerate([5, 3, 4, 3]):
            outcome = outcomes[index]
            assert outcome.item == item
            assert outcome.attempts == 1
            assert outcome.ok is (item != 3)
            assert outcome.value == (None if item == 3 else item)
            assert type(outcome.error) is (tasks.CustomError if item == 3 else type(None))


@needs(_streams)
def check_seconds(make: Maker) -> None:
    """An outcome says how many seconds its item took in the worker."""
    with make() as executor:
        began = time.perf_counter()
        (outcome,) = executor.stream(time.sleep, [0.05])
        assert 0.05 <= outcome.seconds <= time.perf_counter() - began


@needs(_streams)
def check_ordered(make: Maker) -> None:
    """With ``ordered`` outcomes come in the order of the input."""
    with make() as executor:
        outcomes = list(executor.stream(tasks.square, range(300), ordered=True))
    assert [outcome.index for outcome in outcomes] == [*range(300)]
    assert [outcome.value for outcome in outcomes] == [number * number for number in range(300)]


@needs(_streams_at_once)
def check_as_they_come(make: Maker) -> None:
    """Without ``ordered`` an item that takes long does not hold back the outcomes of others."""
    with TemporaryDirectory() as folder, make(max_workers=2) as executor, Gate() as gate:
        arguments = [(gate.address, folder, number) for number in (1, 0)]
        outcomes = executor.stream(tasks.call_wait_unless_first, arguments)
        assert next(outcomes).index == 1
        gate.open()
        assert [outcome.index for outcome in outcomes] == [0]


@needs(_streams)
def check_base_exceptions(make: Maker) -> None:
    """SystemExit and KeyboardInterrupt from an item are the error of its outcome; the others have theirs."""
    kinds = [SystemExit, ValueError, KeyboardInterrupt, GeneratorExit]
    with make() as executor:
        outcomes = list(executor.stream(tasks.raise_kind, kinds, ordered=True))
    assert [type(outcome.error) for outcome in outcomes] == kinds


@needs(_streams)
def check_endless_input(make: Maker) -> None:
    """Input is drawn lazily, in a bounded window; a stream that is closed leaves the executor usable."""
    source = Counter()
    with make() as executor:
        outcomes = executor.stream(tasks.identity, source)
        assert len(list(itertools.islice(outcomes, 100))) == 100
        assert source.drawn < MOST_DRAWN
        outcomes.close()
        assert executor.submit(tasks.square, 2).result() == 4


@needs(_streams)
def check_input_that_raises(make: Maker) -> None:
    """An error of the input is raised after the outcomes of all that came before it."""

    def source() -> Iterator[int]:
        yield from range(20)
        raise LookupError("the input is broken")

    with make() as executor:
        outcomes = executor.stream(tasks.square, source())
        assert sorted(next(outcomes).index for _ in range(20)) == [*range(20)]
        assert type(caught(next, outcomes)) is LookupError


@needs(lambda traits: traits.streams and not traits.shares_memory)
def check_item_that_can_not_travel(make: Maker) -> None:
    """An item, or a result, that can't be pickled fails alone, also among others that travel with it."""
    items = [1, 2, tasks.Unpicklable(), 4, 5] * 20
    with make() as executor:
        outcomes = list(executor.stream(tasks.identity, items, ordered=True))
    assert [outcome.ok for outcome in outcomes] == [True, True, False, True, True] * 20
    assert [outcome.value for outcome in outcomes if outcome.ok] == [1, 2, 4, 5] * 20


@needs(lambda traits: traits.streams and not traits.shares_memory)
def check_item_that_ends_its_worker(make: Maker) -> None:
    """Where an item ends its worker process, it alone fails, with BrokenExecutor; the others have their results."""
    with make() as executor:
        outcomes = list(executor.stream(tasks.die_on_three, [1, 2, 3, 4, 5] * 3, ordered=True))
        assert [outcome.ok for outcome in outcomes] == [True, True, False, True, True] * 3
        assert all(isinstance(outcome.error, BrokenExecutor) for outcome in outcomes if not outcome.ok)
        assert executor.submit(tasks.square, 3).result() == 9
