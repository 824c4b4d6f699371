"""Maps: what an item costs, from a thousand tiny ones to a job of minutes."""

from __future__ import annotations

from functools import partial
from time import perf_counter, process_time

import okazja
from benchmarks.peers import Peer
from benchmarks.rows.row import CLUSTERS, PROCESS_POOLS, Point, Row
from benchmarks.tasks import tiny
from okazja.jobs.sieve import count_primes

__all__ = ["GROWTH_ITEMS", "MAP_SIEVE", "MAP_TINY", "READY_JOB", "STREAM_JOURNAL", "STREAM_TINY"]

ONE_BY_ONE = frozenset(
    {"ProcessPoolExecutor", "Pool.imap"}
)  # some 100 µs an item, and futures for all of them


def map_tiny(peer: Peer, size: int) -> float:
    """Microseconds an item of a map of a function that does nothing, in a pool that has run before."""
    items = range(size)
    with peer.open(2) as pool:
        list(pool.map(tiny, range(200)))
        start = perf_counter()
        results = list(pool.map(tiny, items))
        seconds = perf_counter() - start
    results.sort()  # a stream gives them as they come
    assert results == list(items)
    return seconds / size * 1e6


def map_sieve(peer: Peer, size: int, *, last: int) -> float:
    """Per cent of the ideal, which is the CPU time of the serial loop over the cores, measured just before.

    The items are ``size`` numbers from 1 to ``last``, evenly spread.
    """
    numbers = [1 + n * last // size for n in range(size)]
    cores = okazja.cpu_count()
    count_primes(100_000)  # imports what the kernel needs
    start = process_time()
    expected = [count_primes(n) for n in numbers]
    ideal = (process_time() - start) / cores
    with peer.open(cores) as pool:
        list(pool.map(count_primes, [100_000] * 2 * cores))
        start = perf_counter()
        results = list(pool.map(count_primes, numbers))
        seconds = perf_counter() - start
    assert results == expected
    return ideal / seconds * 100


MAP_TINY = Row(
    "map-tiny",
    "map of a tiny function over 20,000 items",
    "µs an item",
    "less",
    (Point("", 20_000, map_tiny),),
    ("okazja", *PROCESS_POOLS, "ProcessPoolExecutor, chunksize=64", "joblib", *CLUSTERS),
    "at most Pool.map",
    lambda median: median("okazja") <= median("Pool"),
    smaller={"Ray": 5, "Dask": 10},
)

STREAM_TINY = Row(
    "stream-tiny",
    "stream of a tiny function over 20,000 items, beside map",
    "µs an item",
    "less",
    (Point("", 20_000, map_tiny),),
    ("okazja, stream", "okazja", "Pool.imap", "ProcessPoolExecutor"),
    "at most 1/8 of ProcessPoolExecutor.map",
    lambda median: median("okazja, stream") <= median("ProcessPoolExecutor") / 8,
)

MAP_SIEVE = Row(
    "map-sieve",
    "map of the sieve over n = 1…30,000",
    "% of the ideal",
    "more",
    (Point("", 30_000, partial(map_sieve, last=30_000)),),
    ("okazja", "bare processes", *PROCESS_POOLS, "joblib", *CLUSTERS),
    "at least 96 %",
    lambda median: median("okazja") >= 96,
    smaller={"Ray": 5, "Dask": 10},
)

READY_JOB = Row(
    "ready-job",
    "the ready job: map of the sieve over n = 1…1,000,000",
    "% of the ideal",
    "more",
    (Point("", 1_000_000, partial(map_sieve, last=1_000_000)),),
    ("okazja", "bare processes", "Pool"),
    "at least 96 %",
    lambda median: median("okazja") >= 96,
    rounds=1,
    patience=3600,
    on_request=True,
)

STREAM_JOURNAL = Row(
    "stream-journal",
    "stream of a tiny function, with and without a journal",
    "µs an item",
    "less",
    (
        Point("10⁵", 100_000, map_tiny),
        Point("10⁶", 1_000_000, map_tiny),
    ),
    ("okazja, stream, journal", "okazja, stream", "okazja"),
    "the journal adds at most 10 µs",
    lambda median: all(
        median("okazja, stream, journal", point) - median("okazja, stream", point) <= 10
        for point in ("10⁵", "10⁶")
    ),
    rounds=3,
)

GROWTH_ITEMS = Row(
    "growth-items",
    "map of a tiny function over ever more items",
    "µs an item",
    "less",
    (
        Point("10³", 1_000, map_tiny),
        Point("10⁴", 10_000, map_tiny),
        Point("10⁵", 100_000, map_tiny),
        Point("10⁶", 1_000_000, map_tiny, without=ONE_BY_ONE),
        Point("10⁷", 10_000_000, map_tiny, without=ONE_BY_ONE | {"joblib"}),
    ),
    ("okazja", "Pool", "joblib", "ProcessPoolExecutor"),
    "flat: at 10⁷ items at most 1.5 × that at 10⁵",
    lambda median: median("okazja", "10⁷") <= 1.5 * median("okazja", "10⁵"),
    rounds=3,
)
