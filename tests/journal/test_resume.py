"""A second run skips what is done: in another order, over a longer input, with items that repeat."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.journal.passes import entries, one_pass, square

from okazja import Journal, RecordedFailure
from okazja.errors import (
    JournalInUse,
    JournalMismatch,
    RemoteTraceback,
    TaskTypeError,
)
from okazja.journal import Recorder, visits


def test_what_is_done_is_not_run_again(path: Path) -> None:
    assert one_pass(path, range(1000)).ran == list(range(1000))
    again = one_pass(path, range(1000))
    assert again.ran == []
    assert [(item, known.value) for item, known in again.known] == [(n, n * n) for n in range(1000)]
    assert {(known.error, known.attempts, known.seconds) for _, known in again.known} == {(None, 1, 0.001)}


def test_a_longer_input(path: Path) -> None:
    one_pass(path, range(100))
    assert one_pass(path, range(-50, 150)).ran == [*range(-50, 0), *range(100, 150)]
    assert [entry.position for entry in entries(path)] == list(range(200))
    assert [entry.item for entry in entries(path)] == list(range(-50, 150))


def test_another_order(path: Path) -> None:
    one_pass(path, range(100))
    shuffled = random.Random(7).sample(range(120), 120)
    assert sorted(one_pass(path, shuffled).ran) == list(range(100, 120))
    assert [entry.item for entry in entries(path)] == shuffled


def test_a_run_that_was_given_up_goes_on(path: Path) -> None:
    first = one_pass(path, range(1000), most=300)
    again = one_pass(path, range(1000))
    assert Counter(first.ran + again.ran) == Counter(range(1000))


def words(count: int) -> list[Any]:
    return [f"w{number % 5}" for number in range(count)]


@pytest.mark.parametrize("items", [[5, 5, 5], words(37), [1, 1.0, 1, True, 1.0], [None] * 300], ids=repr)
@pytest.mark.parametrize("block", [1, 2, 512])
def test_items_that_repeat_are_items_of_their_own(path: Path, items: list[Any], block: int) -> None:
    assert one_pass(path, items, repr, block=block).ran == items
    assert [entry.item for entry in entries(path)] == items
    assert one_pass(path, items, repr, block=block).ran == []
    assert one_pass(path, [*items, *items], repr, block=block).ran == items


PARTS = st.lists(st.sampled_from([1, 2, "a", "b", None]), max_size=25)


@settings(max_examples=30)
@given(st.lists(PARTS, min_size=1, max_size=4), st.integers(1, 9), st.booleans())
def test_every_run_runs_what_no_run_has_run(runs: list[list[Any]], block: int, remember: bool) -> None:
    """Also where the journal remembers nothing of repeated keys, and has to ask the database."""
    cached = visits.CACHED
    visits.CACHED = cached if remember else 0
    have: Counter[Any] = Counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "journal.db")
            for items in runs:
                wanted = Counter(items) - have
                assert Counter(one_pass(path, items, repr, block=block).ran) == wanted
                have |= Counter(items)
            read = entries(path)
    finally:
        visits.CACHED = cached
    assert Counter(entry.item for entry in read) == have
    assert len({(entry.key, entry.occurrence) for entry in read}) == len(read)


def test_repeats_are_told_apart_while_nothing_is_on_disk_and_after(path: Path) -> None:
    recorder = Recorder(path, function="tests:square")
    for start in range(0, 40, 4):
        items = [7, start, 7, 8]
        keys, known = recorder.look_up(start, items)
        assert known == [None] * 4
        if start % 8:
            recorder.flush()
        recorder.record(start, [3, 1, 2, 0], items, keys, items, {}, {}, [0] * 4)
    recorder.close()
    assert [entry.item for entry in entries(path)] == [
        x for start in range(0, 40, 4) for x in (7, start, 7, 8)
    ]


def fails_on_odd(number: int) -> int:
    if number % 2:
        raise ValueError(f"odd: {number}")
    return number


def test_what_failed_is_run_again(path: Path) -> None:
    one_pass(path, range(10), fails_on_odd)
    with Journal(path) as journal:
        assert (journal.status().done, journal.status().failed) == (5, 5)
    assert one_pass(path, range(10), fails_on_odd).ran == [1, 3, 5, 7, 9]
    assert one_pass(path, range(10), square).ran == [1, 3, 5, 7, 9]
    read = entries(path)
    assert [entry.value for entry in read] == [0, 1, 2, 9, 4, 25, 6, 49, 8, 81]
    assert {(entry.error_type, entry.error, entry.traceback) for entry in read} == {(None, None, None)}
    with Journal(path) as journal:
        assert (journal.status().done, journal.status().failed) == (10, 0)


def test_what_failed_comes_back_as_it_failed_if_asked(path: Path) -> None:
    one_pass(path, range(4), fails_on_odd)
    again = one_pass(path, range(4), fails_on_odd, retry_failed=False)
    assert again.ran == []
    errors = [known.error for _, known in again.known]
    assert errors[0] is errors[2] is None
    error = errors[1]
    assert isinstance(error, RecordedFailure)
    assert (error.error_type, error.message) == ("ValueError", "odd: 1")
    assert "ValueError: odd: 1" in str(error)
    assert 'raise ValueError(f"odd: {number}")' in error.traceback
    assert isinstance(error.__cause__, RemoteTraceback)


def test_the_traceback_of_a_worker_is_kept(path: Path) -> None:
    def fail(number: int) -> None:
        raise LookupError(number) from RemoteTraceback("Traceback: in the worker")

    one_pass(path, [1], fail)
    (entry,) = entries(path)
    assert (entry.ok, entry.value, entry.error_type, entry.error) == (False, None, "LookupError", "1")
    assert entry.traceback == "Traceback: in the worker"


class Hostile(Exception):
    def __str__(self) -> str:
        raise SystemExit("from __str__")


@pytest.mark.parametrize("error", [Hostile(), ValueError("\ud800 \0"), ValueError("x" * 100_000)], ids=type)
def test_errors_that_misbehave_are_kept(path: Path, error: Exception) -> None:
    def fail(number: int) -> None:
        raise error

    one_pass(path, [1], fail)
    (entry,) = entries(path)
    assert entry.error_type is not None
    assert entry.error_type.endswith(type(error).__name__)
    assert 0 < len(entry.error or "") < 30_000


def test_attempts_and_times_are_kept(path: Path) -> None:
    recorder = Recorder(path, function="tests:square")
    keys, _ = recorder.look_up(0, ["a", "b", "c"])
    values = ["A", None, "C"]
    recorder.record(
        0, [0, 1, 2], ["a", "b", "c"], keys, values, {1: OSError()}, {1: 2, 2: -1}, [0, 500, 10**9]
    )
    recorder.close()
    assert [entry.attempts for entry in entries(path)] == [1, 3, 0]
    assert [entry.seconds for entry in entries(path)] == [0, 5e-7, 1]


# --- a journal of something else


def test_a_journal_of_another_function_or_version(path: Path) -> None:
    one_pass(path, range(3))
    with pytest.raises(
        JournalMismatch, match="of the function tests:square, not of tests:cube: name another path"
    ):
        Recorder(path, function="tests:cube")
    with pytest.raises(JournalMismatch, match="version=None of tests:square, not of version='2'"):
        Recorder(path, function="tests:square", version="2")
    with pytest.raises(JournalMismatch, match="without key=, and this run is with"):
        Recorder(path, function="tests:square", key=str)
    assert one_pass(path, range(3)).ran == []


def test_a_version_is_part_of_the_name(path: Path) -> None:
    one_pass(path, range(3), version="1")
    assert one_pass(path, range(3), version="1").ran == []
    with pytest.raises(JournalMismatch, match="version='1'"):
        Recorder(path, function="tests:square")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": 2}, "version must be a text or None, got 2"),
        ({"key": "name"}, "key must be a function of one item"),
    ],
)
def test_options_that_make_no_sense(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskTypeError, match=message):
        Recorder(path, function="tests:square", **options)
    assert not path.exists()


def test_two_recorders_of_one_process_exclude_each_other(path: Path) -> None:
    recorder = Recorder(path, function="tests:square")
    with pytest.raises(JournalInUse, match="is written by another stream of this process"):
        Recorder(path, function="tests:square")
    recorder.close()
    Recorder(path, function="tests:square").close()


def test_a_closed_journal_is_one_file(path: Path) -> None:
    one_pass(path, range(10))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert entries(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_recorder_that_is_dropped_loses_nothing(path: Path) -> None:
    recorder = Recorder(path, function="tests:square")
    record_half(recorder)
    del recorder
    assert len(entries(path)) == 50


def record_half(recorder: Recorder) -> None:
    keys, _ = recorder.look_up(0, list(range(100)))
    recorder.record(0, range(50), range(100), keys, range(100), {}, {}, [0] * 100)
