"""Calls one by one: what a submit costs, and how soon its result is there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import perf_counter

from benchmarks.peers import Peer, Pool
from benchmarks.rows.row import CLUSTERS, PROCESS_POOLS, Point, Row
from benchmarks.tasks import tiny

__all__ = ["FAN_OUT", "FIRST_RESULT", "ROUND_TRIP", "SUBMIT", "THREADS", "burst"]

THREADS_AT_ONCE = 8


def burst(pool: Pool, size: int) -> float:
    """Microseconds a task, from the first submit to the last result, with all of them in flight."""
    start = perf_counter()
    for wait in [pool.submit(tiny, n) for n in range(size)]:
        wait()
    return (perf_counter() - start) / size * 1e6


def submit_burst(peer: Peer, size: int) -> float:
    """As burst, in a pool of two workers that has run before."""
    with peer.open(2) as pool:
        burst(pool, 200)
        return burst(pool, size)


def submit_from_threads(peer: Peer, size: int) -> float:
    """As submit_burst, the tasks shared by 8 threads that submit at once; wall time over all tasks."""
    each = max(size // THREADS_AT_ONCE, 1)
    ready = Barrier(THREADS_AT_ONCE + 1)

    def submit_and_wait(pool: Pool) -> None:
        ready.wait()
        burst(pool, each)

    with peer.open(2) as pool, ThreadPoolExecutor(THREADS_AT_ONCE) as threads:
        burst(pool, 200)
        waits = [threads.submit(submit_and_wait, pool) for _ in range(THREADS_AT_ONCE)]
        ready.wait()
        start = perf_counter()
        for wait in waits:
            wait.result()
        return (perf_counter() - start) / (each * THREADS_AT_ONCE) * 1e6


def round_trip(peer: Peer, size: int) -> float:
    """Microseconds for a call and its result, one at a time."""
    with peer.open(2) as pool:
        for n in range(50):
            pool.submit(tiny, n)()
        start = perf_counter()
        for n in range(size):
            pool.submit(tiny, n)()
        return (perf_counter() - start) / size * 1e6


def first_result(peer: Peer, size: int) -> float:
    """Milliseconds from nothing to the first result of two workers; okazja and its peer are imported."""
    start = perf_counter()
    with peer.open(2) as pool:
        pool.submit(tiny, size)()
        return (perf_counter() - start) * 1e3


SUBMIT = Row(
    "submit",
    "submit of a tiny function, 3,000 in flight",
    "µs a task",
    "less",
    (Point("", 3_000, submit_burst),),
    ("okazja", *PROCESS_POOLS, *CLUSTERS),
    "at most 1/8 of ProcessPoolExecutor",
    lambda median: median("okazja") <= median("ProcessPoolExecutor") / 8,
    smaller={"Dask": 3},
)

ROUND_TRIP = Row(
    "round-trip",
    "submit().result(), one at a time",
    "µs",
    "less",
    (Point("", 2_000, round_trip),),
    ("okazja", "bare pipe", *PROCESS_POOLS, *CLUSTERS),
    "at most 1.2 × the bare pipe",
    lambda median: median("okazja") <= 1.2 * median("bare pipe"),
    smaller={"Ray": 4, "Dask": 4},
)

FAN_OUT = Row(
    "fan-out",
    f"{THREADS_AT_ONCE} threads submit a tiny function at once, 3,000 calls in all",
    "µs a task",
    "less",
    (Point("", 3_000, submit_from_threads),),
    ("okazja", *PROCESS_POOLS, *CLUSTERS),
    "at most 1/8 of ProcessPoolExecutor",
    lambda median: median("okazja") <= median("ProcessPoolExecutor") / 8,
    smaller={"Dask": 3},
)

THREADS = Row(
    "threads",
    "threads: submit of a tiny function, 3,000 in flight",
    "µs a task",
    "less",
    (Point("", 3_000, submit_burst),),
    ("okazja, threads", "ThreadPoolExecutor"),
    "at most ThreadPoolExecutor",
    lambda median: median("okazja, threads") <= median("ThreadPoolExecutor"),
)

FIRST_RESULT = Row(
    "first-result",
    "first result of a new executor with 2 workers",
    "ms",
    "less",
    (Point("", 1, first_result, scaled=False),),
    ("okazja", "okazja, fork", *PROCESS_POOLS, *CLUSTERS),
    "at most 150 ms, and 60 ms with fork",
    lambda median: median("okazja") <= 150 and median("okazja, fork") <= 60,
)
