"""What many workers cost, and what idle ones do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.peers import Peer, Pool
from benchmarks.processes import clocks, cpu_seconds, memory_below
from benchmarks.rows.calls import burst
from benchmarks.rows.row import Median, Point, Row
from benchmarks.tasks import tiny
from okazja.testing.gate import Gate
from okazja.testing.tasks import wait_and_return

__all__ = ["GROWTH_WORKERS", "IDLE", "WORKER_MEMORY"]

TASKS = 3_000
NUMBERS = (2, 8, 32, 128)  # workers


@contextmanager
def occupied(pool: Pool, workers: int) -> Iterator[None]:
    """That many workers sleep inside a task, until the block ends."""
    with Gate() as gate:
        waits = [pool.submit(wait_and_return, gate.address, n) for n in range(workers)]
        gate.arrivals(workers)
        yield
    for wait in waits:
        wait()


def submit_beside_idle(peer: Peer, workers: int) -> float:
    """Microseconds a task, 3,000 in flight, where all workers have started and are free."""
    with peer.open(workers) as pool:
        with occupied(pool, workers):
            pass
        burst(pool, 200)
        return burst(pool, TASKS)


def submit_beside_busy(peer: Peer, workers: int) -> float:
    """The same, where all but two of the workers sleep inside a task."""
    with peer.open(workers) as pool:
        with occupied(pool, workers):
            pass
        with occupied(pool, workers - 2):
            burst(pool, 200)
            return burst(pool, TASKS)


def memory_of_worker(peer: Peer, workers: int, *, busy: bool) -> float:
    """Megabytes: the proportional set size of every process that the pool started, over its workers.

    Busy workers sleep inside a task, idle ones have run one.
    """
    with peer.open(workers) as pool:
        with occupied(pool, workers):
            if busy:
                return memory_below() / workers
        return memory_below() / workers


def idle_cpu(peer: Peer, size: int) -> float:
    """Milliseconds of CPU time, of the parent and all workers, in ``size`` seconds in which nothing is asked."""
    with peer.open(2) as pool:
        list(pool.map(tiny, range(1000)))
        time.sleep(0.5)  # what follows the last result is not idling
        # This process's own clocks are read last before and first after, so that reading hardly counts.
        watched = clocks()
        before = [cpu_seconds(clock) for clock in watched]
        time.sleep(size)
        after = [cpu_seconds(clock) for clock in reversed(watched)]
        return (sum(after) - sum(before)) * 1e3


def points(idle: Callable[[Peer, int], float], busy: Callable[[Peer, int], float]) -> tuple[Point, ...]:
    return tuple(
        Point(f"{workers} {state}", workers, measure, scaled=False)
        for state, measure in (("idle", idle), ("busy", busy))
        for workers in NUMBERS
    )


def within_twice(median: Median) -> bool:
    """Of the figure at the fewest workers."""
    return all(
        median("okazja", f"{workers} {state}") <= 2 * median("okazja", f"{NUMBERS[0]} {state}")
        for state in ("idle", "busy")
        for workers in NUMBERS
    )


GROWTH_WORKERS = Row(
    "growth-workers",
    "submit of a tiny function, 3,000 in flight, with ever more workers: all free, or all but two asleep in a task",
    "µs a task",
    "less",
    points(submit_beside_idle, submit_beside_busy),
    ("okazja", "ProcessPoolExecutor"),
    "with 128 workers at most twice that with 2",
    within_twice,
    rounds=3,
)

WORKER_MEMORY = Row(
    "worker-memory",
    "memory a worker (proportional set size of all processes that were started, over the workers)",
    "MB",
    "less",
    points(partial(memory_of_worker, busy=False), partial(memory_of_worker, busy=True)),
    ("okazja", "ProcessPoolExecutor"),
    "with 128 workers at most twice that with 2",
    within_twice,
    rounds=1,
)

IDLE = Row(
    "idle",
    "CPU time of an idle executor over 5 s, parent and workers",
    "ms",
    "less",
    (Point("", 5, idle_cpu),),
    ("okazja", "okazja, threads", "ProcessPoolExecutor", "Pool", "loky", "pebble", "mpire", "Ray", "Dask"),
    "none: at most 2 ms, of which reading the clocks takes a part",
    lambda median: median("okazja") <= 2 and median("okazja, threads") <= 2,
    rounds=1,
)
