"""A fair sample of items: short and long ones alike, in the order in which they come.

Items are often sorted by how long they take (``range(1, 1_000_001)`` of a function whose cost grows), so the
first ones say nothing about the rest. The sample is stratified over the positions: the items are cut into as
many stretches as the sample has places, and each gives the item in its middle. No chance is involved, so two
runs measure the same items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TypeVar

from okazja.errors import BadInput

__all__ = ["mean_seconds", "positions", "sample_size", "stratified"]

T = TypeVar("T")

PILOT_SHARE = 0.05  # of the budget, at most, apart from the last doubling
FEWEST_EACH = 8  # items a worker, so that an uneven last item does not decide the result
REST_SHARE = 0.8  # of the budget for the measurement itself; start-up and warm-up take the rest


def positions(total: int, size: int) -> list[int]:
    """The middle of each of ``size`` equal stretches of ``total`` positions; all of them if there are fewer.

    Raises BadInput unless both are at least 1.
    """
    if total < 1 or size < 1:
        raise BadInput(f"a sample needs at least one item, got {size} of {total}")
    size = min(size, total)
    return [(2 * stretch + 1) * total // (2 * size) for stretch in range(size)]


def stratified(items: Sequence[T], size: int) -> list[T]:
    """``size`` of the items, spread evenly over their positions."""
    return [items[position] for position in positions(len(items), size)]


def mean_seconds(
    fn: Callable[[T], object],
    items: Sequence[T],
    budget: float,
    clock: Callable[[], float] = perf_counter,
) -> float:
    """Seconds that ``fn`` takes for an item on average, from fair samples that double until they last.

    ``budget`` is in seconds; about a twentieth of it is used, or more if a single item takes longer.
    """
    size = 4
    fn(stratified(items, 1)[0])  # imports and caches that only a first call pays for
    while True:
        sample = stratified(items, size)
        start = clock()
        for item in sample:
            fn(item)
        seconds = clock() - start
        # The next, twice as large, would take about two times as long.
        if seconds >= budget * PILOT_SHARE / 4 or len(sample) == len(items):
            return seconds / len(sample)
        size *= 2


def sample_size(total: int, item_seconds: float, runs: float, workers: int, budget: float) -> int:
    """How many items to take so that ``runs`` serial passes over them fit into ``budget`` seconds.

    Never so few that ``workers`` workers could not be kept busy, nor more than the ``total`` there are.
    """
    affordable = int(budget * REST_SHARE / (runs * max(item_seconds, 1e-9)))
    return min(total, max(affordable, FEWEST_EACH * workers))
