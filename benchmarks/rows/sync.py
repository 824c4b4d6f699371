"""Locks, queues and shared values: what one use costs, alone and when two workers want it at once."""

from __future__ import annotations

from functools import partial
from time import perf_counter, sleep
from typing import Any

from benchmarks.peers import Peer
from benchmarks.rows.payloads import array
from benchmarks.rows.row import Median, Point, Row

__all__ = ["LOCKS", "LOCKS_CONTENDED", "QUEUE", "QUEUE_ARRAYS", "SYNC_THREADS", "VALUE"]

PEERS = ("okazja", "multiprocessing", "Manager")
KINDS = ("Lock", "RLock", "Semaphore")
AHEAD = 0.2  # seconds in which both workers are there
PLACES = 4  # arrays that a queue may hold
WARM_UP = 8  # arrays that touch the memory which is used again


def hold(lock: Any, times: int, start: float) -> tuple[float, float]:
    """When the first acquire began and the last release ended. ``perf_counter`` is one clock for all processes."""
    sleep(max(start - perf_counter(), 0))
    begin = perf_counter()
    for _ in range(times):
        with lock:
            pass
    return begin, perf_counter()


def increment(value: Any, lock: Any, times: int, start: float) -> tuple[float, float]:
    sleep(max(start - perf_counter(), 0))
    begin = perf_counter()
    for _ in range(times):
        with lock:
            value.value += 1
    return begin, perf_counter()


def put(queue: Any, items: int) -> float:
    """When the first put began."""
    begin = perf_counter()
    for number in range(items):
        queue.put(number)
    return begin


def get(queue: Any, items: int) -> float:
    """When the last get had ended."""
    for number in range(items):
        assert queue.get() == number
    return perf_counter()


def put_arrays(queue: Any, count: int, size: int) -> float:
    """When the first put after the warm-up began."""
    values = [array(number, size) for number in range(PLACES)]
    begin = 0.0
    for number in range(WARM_UP + count):
        if number == WARM_UP:
            begin = perf_counter()
        queue.put(values[number % PLACES])
    return begin


def get_arrays(queue: Any, count: int) -> float:
    for number in range(WARM_UP + count):
        received = queue.get()
        assert received[0] == received[-1] == number % PLACES
    return perf_counter()


def alone(peer: Peer, size: int, *, kind: str) -> float:
    """Microseconds to take and release what nobody else wants."""
    with peer.open(2) as pool:
        lock = getattr(pool.primitives, kind)()
        hold(lock, 10, 0)
        begin, end = hold(lock, size, 0)
    return (end - begin) / size * 1e6


def contended(peer: Peer, size: int, *, kind: str) -> float:
    """Microseconds for each, of ``size`` in all, while two workers take and release it without a pause."""
    with peer.open(2) as pool:
        lock = getattr(pool.primitives, kind)()
        start = perf_counter() + AHEAD
        waits = [pool.submit(hold, lock, size // 2, start) for _ in range(2)]
        begins, ends = zip(*(wait() for wait in waits), strict=True)
    return float(max(ends) - min(begins)) / size * 1e6


def counted(peer: Peer, size: int, *, workers: int) -> float:
    """Microseconds an increment under the value's own lock (a Manager's has none, so one beside it)."""
    with peer.open(2) as pool:
        value = pool.primitives.Value("q", 0)
        lock = value.get_lock() if hasattr(value, "get_lock") else pool.primitives.Lock()
        start = perf_counter() + AHEAD
        calls = [(increment, value, lock, size // workers, start) for _ in range(workers)]
        waits = [pool.submit(*call) for call in calls]
        begins, ends = zip(*(wait() for wait in waits), strict=True)
        assert value.value == size // workers * workers
    return float(max(ends) - min(begins)) / size * 1e6


def passed(peer: Peer, size: int) -> float:
    """Microseconds an item, from the first put in one worker to the last get in another."""
    with peer.open(2) as pool:
        queue = pool.primitives.Queue()
        consumer, producer = pool.submit(get, queue, size), pool.submit(put, queue, size)
        begin = producer()
        return float(consumer() - begin) / size * 1e6


def arrays_passed(peer: Peer, size: int, *, count: int) -> float:
    """Gigabytes a second, in and out, of arrays that go from one worker to another."""
    with peer.open(2) as pool:
        queue = pool.primitives.Queue(PLACES)
        consumer, producer = (
            pool.submit(get_arrays, queue, count),
            pool.submit(put_arrays, queue, count, size),
        )
        begin = producer()
        return 2 * count * size / float(consumer() - begin) / 1e9


def below(median: Median, points: tuple[Point, ...], multiprocessing: float) -> bool:
    """Whether okazja takes at most so many times what multiprocessing takes, and a 20th of a Manager."""
    return all(
        median("okazja", point.name) <= multiprocessing * median("multiprocessing", point.name)
        and median("okazja", point.name) <= median("Manager", point.name) / 20
        for point in points
    )


ALONE = tuple(Point(kind, 200_000, partial(alone, kind=kind)) for kind in KINDS)
CONTENDED = tuple(Point(kind, 1_000_000, partial(contended, kind=kind)) for kind in KINDS)
PASSED = (Point("", 100_000, passed),)
BETWEEN_THREADS = (*ALONE, Point("Queue", 100_000, passed))
COUNTED = (
    Point("one worker", 200_000, partial(counted, workers=1)),
    Point("two workers at once", 100_000, partial(counted, workers=2)),
)

LOCKS = Row(
    "locks",
    "a lock that nobody else wants: `with lock: pass`",
    "µs",
    "less",
    ALONE,
    PEERS,
    "at most 4 × multiprocessing's, and 1/20 of a Manager's",
    lambda median: below(median, ALONE, 4),
    smaller={"Manager": 50},
)

LOCKS_CONTENDED = Row(
    "locks-contended",
    "a lock that two processes want all the time",
    "µs",
    "less",
    CONTENDED,
    PEERS,
    "no worse than multiprocessing's, and 1/20 of a Manager's",
    lambda median: below(median, CONTENDED, 1),
    smaller={"Manager": 50},
)

QUEUE = Row(
    "queue",
    "a queue of whole numbers from one process to another",
    "µs an item",
    "less",
    PASSED,
    PEERS,
    "at most 1/3 of multiprocessing's, and 1/20 of a Manager's",
    lambda median: below(median, PASSED, 1 / 3),
    smaller={"Manager": 20},
)

QUEUE_ARRAYS = Row(
    "queue-arrays",
    "a queue of arrays of 8 MB from one process to another",
    "GB/s",
    "more",
    (Point("", 8_000_000, partial(arrays_passed, count=64)),),
    PEERS,
    "at least 4 GB/s, and 20 × a Manager's",
    lambda median: median("okazja") >= max(4, 20 * median("Manager")),
)

VALUE = Row(
    "value",
    "an increment of a shared value under its lock",
    "µs",
    "less",
    COUNTED,
    PEERS,
    "at most 4 × multiprocessing's, and 1/20 of a Manager's",
    lambda median: below(median, COUNTED, 4),
    smaller={"Manager": 50},
)

SYNC_THREADS = Row(
    "sync-threads",
    "threads: locks that nobody else wants, and a queue from one thread to another",
    "µs",
    "less",
    BETWEEN_THREADS,
    ("okazja, threads", "threading"),
    "at most 4 × threading's",
    lambda median: all(
        median("okazja, threads", point.name) <= 4 * median("threading", point.name)
        for point in BETWEEN_THREADS
    ),
)
