from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from okazja._core.chunking import (
    CHUNK_SECONDS,
    FEW,
    FLOOR_SECONDS,
    GROWTH,
    LONG_SECONDS,
    MOST_ITEMS,
    PART,
    Pace,
    chunk_size,
)
from okazja._core.messages import Timing

seconds = st.floats(1e-9, 1e4)
workers = st.integers(1, 256)
remaining = st.none() | st.integers(0, 10**12)


def known(seconds: float) -> Pace:
    pace = Pace()
    pace.measured(seconds, 1)
    return pace


@given(seconds, st.integers(1, MOST_ITEMS), workers, remaining)
def test_a_chunk_is_bounded_in_items_and_time_and_grows_step_by_step(
    seconds: float, last: int, workers: int, remaining: int | None
) -> None:
    size = chunk_size(known(seconds), last, workers, remaining)
    assert 1 <= size <= min(MOST_ITEMS, GROWTH * last)
    assert size == 1 or size * seconds <= CHUNK_SECONDS


@given(seconds, workers, st.integers(1, 10**6))
def test_the_last_items_are_shared_among_the_workers(seconds: float, workers: int, remaining: int) -> None:
    size = chunk_size(known(seconds), MOST_ITEMS, workers, remaining)
    assert (size - 1) * workers < remaining or size * seconds <= FLOOR_SECONDS


@given(st.floats(1e-9, FLOOR_SECONDS), workers, st.integers(1, 10**9))
def test_a_chunk_is_not_too_short_for_what_it_costs_to_send(
    seconds: float, workers: int, remaining: int
) -> None:
    size = chunk_size(known(seconds), MOST_ITEMS, workers, remaining)
    assert size in {remaining, MOST_ITEMS} or (size + 1) * seconds >= FLOOR_SECONDS


@given(st.integers(1, MOST_ITEMS), workers, remaining)
def test_chunks_of_one_until_something_was_measured(last: int, workers: int, remaining: int | None) -> None:
    assert chunk_size(Pace(), last, workers, remaining) == 1


@given(seconds, workers, remaining)
def test_the_first_chunks_of_a_known_function_are_small_shares(
    seconds: float, workers: int, remaining: int | None
) -> None:
    size = chunk_size(Pace(seconds), 1, workers, remaining)
    assert 1 <= size <= MOST_ITEMS
    if size > 1:
        assert remaining is not None
        assert remaining >= FEW * workers
        is_short = size * seconds <= FLOOR_SECONDS and (size - 1) * workers < remaining
        assert size * workers * 4 <= remaining or is_short
    assert size == 1 or size * seconds <= CHUNK_SECONDS


@given(seconds, st.floats(0, 1e6), workers, remaining)
def test_chunks_get_longer_in_long_inputs_only(
    seconds: float, spent: float, workers: int, remaining: int | None
) -> None:
    pace = known(seconds)
    pace.spent = spent
    size = chunk_size(pace, MOST_ITEMS, workers, remaining)
    longest = max(CHUNK_SECONDS, min(spent * PART, LONG_SECONDS))
    assert size == 1 or size * seconds <= longest * 1.000001  # as floats are


@given(seconds, workers, st.integers(1, 10**5))
def test_chunks_use_up_the_input(seconds: float, workers: int, length: int) -> None:
    left, last, chunks = length, 1, 0
    while left:
        last = chunk_size(known(seconds), last, workers, left)
        assert last <= left
        left -= last
        chunks += 1
    assert chunks <= length


@given(st.lists(st.tuples(st.floats(0, 1e3), st.integers(1, 10_000)), min_size=1))
def test_a_pace_stays_between_the_quickest_and_the_slowest(measured: list[tuple[float, int]]) -> None:
    pace = Pace()
    for took, items in measured:
        pace.measured(took, items)
    means = [max(took / items, 1e-8) for took, items in measured]
    assert min(means) * 0.999 <= pace.seconds <= max(means) * 1.001


@given(st.lists(st.just(0.0) | st.floats(1e-9, 100), max_size=30))
def test_credit_is_one_for_the_unknown_and_the_long_and_never_over_the_limit(measured: list[float]) -> None:
    timing = Timing()
    assert timing.credit == 1
    for took in measured:
        before = timing.seconds
        timing.measured(took)
        assert 1 <= timing.credit <= Timing.MOST
        assert timing.credit == 1 or timing.seconds <= Timing.LONG
        assert timing.credit <= 2 or (timing.credit - 2) * timing.seconds <= Timing.PATIENCE
        believed = min(took, before * 2) if before else took
        assert timing.seconds >= believed * 0.999, "a longer call at most doubles the average, at once"


@given(st.floats(1e-6, 1e-4))
def test_credit_comes_back_after_one_long_call(short: float) -> None:
    timing = Timing()
    timing.measured(1.0)
    assert timing.credit == 1
    for _ in range(200):
        timing.measured(short)
    assert timing.credit > 2
