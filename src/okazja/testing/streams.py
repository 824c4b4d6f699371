"""``stream``: an outcome for every item, whatever happens to it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from functools import partial
from tempfile import TemporaryDirectory

from okazja.errors import TooManyFailures
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
            assert outcome.seconds >= 0
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
def check_seconds_of_each(make: Maker) -> None:
    """The seconds of an item are its own, whatever else it travelled with."""
    with make() as executor:
        outcomes = list(executor.stream(tasks.nap_on_three, [1] * 300 + [3] + [1] * 300))
    assert [outcome.item for outcome in outcomes if outcome.seconds >= tasks.NAP] == [3]


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


@needs(_streams)
def check_retries(make: Maker) -> None:
    """With ``retries`` an item that fails runs again, up to so many times; its attempts are counted."""
    with TemporaryDirectory() as folder, make() as executor:
        items = [(folder, number) for number in range(20)]
        for outcome in executor.stream(tasks.note_and_fail_on_three, items, retries=2):
            assert outcome.attempts == (3 if outcome.index == 3 else 1)
            assert outcome.ok is (outcome.index != 3)
        assert tasks.noted(folder) == sorted([*range(20), 3, 3])


@needs(_streams)
def check_retries_that_succeed(make: Maker) -> None:
    """An item that succeeds at last has its value and no error; it is reported once."""
    with TemporaryDirectory() as folder, make() as executor:
        items = [(folder, number) for number in range(10)]
        outcomes = list(executor.stream(tasks.fail_the_first_time, items, retries=1, ordered=True))
    assert [outcome.value for outcome in outcomes] == [*range(10)]
    assert {outcome.attempts for outcome in outcomes} == {2}
    assert not any(outcome.error for outcome in outcomes)


@needs(_streams)
def check_on_error(make: Maker) -> None:
    """With ``on_error="raise"`` the first item that failed raises its error; the executor stays usable."""
    with make() as executor:
        outcomes = executor.stream(tasks.fail_on_three, Counter(), ordered=True, on_error="raise")
        assert [next(outcomes).value for _ in range(3)] == [0, 1, 2]
        assert type(caught(next, outcomes)) is tasks.CustomError
        assert list(outcomes) == []
        assert executor.submit(tasks.square, 2).result() == 4


@needs(_streams)
def check_max_failures(make: Maker) -> None:
    """One failure more than ``max_failures`` is the last outcome; then TooManyFailures is raised, with its cause."""
    with make() as executor:
        outcomes = executor.stream(tasks.fail_on_three, [3, 1, 3, 1], ordered=True, max_failures=1)
        assert [next(outcomes).ok for _ in range(3)] == [False, True, False]
        error = caught(next, outcomes)
        assert type(error) is TooManyFailures
        assert type(error.__cause__) is tasks.CustomError
        assert list(outcomes) == []


@needs(_streams)
def check_backoff(make: Maker) -> None:
    """With ``backoff`` an item that failed waits before it runs again, and holds up no other."""
    with make() as executor:
        began = time.perf_counter()
        outcomes = list(executor.stream(tasks.fail_on_three, [3, 1, 2], retries=2, backoff=0.05))
        assert time.perf_counter() - began >= 0.15
    assert [outcome.index for outcome in outcomes][-1] == 0
    assert [outcome.attempts for outcome in outcomes if not outcome.ok] == [3]


@needs(_streams)
def check_retry_on(make: Maker) -> None:
    """Only errors that ``retry_on`` names, or says yes to, are tried again."""
    choices = [
        (OSError, 1),
        ((OSError, tasks.CustomError), 2),
        (lambda error: not isinstance(error, OSError), 2),
    ]
    with make() as executor:
        for retry_on, attempts in choices:
            (outcome,) = executor.stream(tasks.fail_on_three, [3], retries=1, retry_on=retry_on)
            assert outcome.attempts == attempts


@needs(_streams_at_once)
def check_deadline(make: Maker) -> None:
    """At the ``deadline`` what runs is ended; all that was drawn has an outcome, and then TimeoutError is raised."""
    with TemporaryDirectory() as folder, make() as executor:
        outcomes = []
        stream = executor.stream(tasks.loop_on_three, ((folder, n) for n in (3, 3, 3, 3)), deadline=1.0)
        error = caught(lambda: outcomes.extend(stream))
        assert type(error) is TimeoutError
        assert all(type(outcome.error) is TimeoutError for outcome in outcomes)
        assert sorted(outcome.index for outcome in outcomes) == [*range(len(outcomes))]
        assert executor.submit(tasks.square, 3).result() == 9


@needs(_streams)
def check_parameters(make: Maker) -> None:
    """Values that make no sense are refused at the call, before any input is drawn."""
    source = Counter()
    with make() as executor:
        for bad in ({"retries": -1}, {"item_timeout": 0}, {"item_timeout": -1.0}, {"on_error": "ignore"}):
            assert isinstance(caught(partial(executor.stream, tasks.identity, source, **bad)), ValueError)
        for bad in ({"retries": 1.5}, {"item_timeout": "1"}):
            assert isinstance(caught(partial(executor.stream, tasks.identity, source, **bad)), TypeError)
    assert source.drawn == 0


@needs(lambda traits: traits.streams and not traits.concurrent)
def check_item_timeout_in_the_calling_thread(make: Maker) -> None:
    """Where items run in the calling thread ``item_timeout`` can't be honoured and is refused: TypeError."""
    with make() as executor:
        assert isinstance(caught(partial(executor.stream, tasks.identity, [1], item_timeout=5)), TypeError)


@needs(_streams_at_once)
def check_item_timeout(make: Maker) -> None:
    """An item that runs for longer than ``item_timeout`` is interrupted, its ``finally`` blocks run: TimeoutError.

    It alone fails: all others have their results, and the executor stays usable.
    """
    with TemporaryDirectory() as folder, make() as executor:
        items = [(folder, number) for number in range(30)]
        outcomes = list(executor.stream(tasks.loop_on_three, items, item_timeout=0.5, ordered=True))
        assert [outcome.index for outcome in outcomes] == [*range(30)]
        assert [outcome.index for outcome in outcomes if not outcome.ok] == [3]
        assert type(outcomes[3].error) is TimeoutError
        assert outcomes[3].seconds >= 0.5
        assert tasks.noted(folder) == [3], "the finally block has run"
        assert executor.submit(tasks.square, 3).result() == 9
