"""What is measured. A row is a function that takes an open-able peer and a size, and returns one figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Literal

import okazja
from benchmarks.peers import Peer
from benchmarks.tasks import echo, tiny
from okazja.jobs.sieve import count_primes

__all__ = ["ROWS", "Row"]

Medians = Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One line of the table of goals.

    size: how many tasks, items or rounds; ``--scale`` multiplies it. peers: names; the first is okazja's, which
    the others are compared with. goal: in words, and whether medians reach it (given all peers that it names).
    """

    name: str
    title: str
    unit: str
    better: Literal["less", "more"]
    size: int
    peers: tuple[str, ...]
    measure: Callable[[Peer, int], float]
    goal: str
    reached: Callable[[Medians], bool]


def submit_burst(peer: Peer, size: int) -> float:
    """Microseconds a task, from the first submit to the last result, with all of them in flight."""
    with peer.open(2) as pool:
        for wait in [pool.submit(tiny, n) for n in range(200)]:
            wait()
        start = perf_counter()
        for wait in [pool.submit(tiny, n) for n in range(size)]:
            wait()
        return (perf_counter() - start) / size * 1e6


def round_trip(peer: Peer, size: int) -> float:
    """Microseconds for a call and its result, one at a time."""
    with peer.open(2) as pool:
        for n in range(50):
            pool.submit(tiny, n)()
        start = perf_counter()
        for n in range(size):
            pool.submit(tiny, n)()
        return (perf_counter() - start) / size * 1e6


def map_tiny(peer: Peer, size: int) -> float:
    """Microseconds an item of a map of a function that does nothing, in a pool that has run before."""
    items = range(size)
    with peer.open(2) as pool:
        list(pool.map(tiny, range(200)))
        start = perf_counter()
        results = list(pool.map(tiny, items))
        seconds = perf_counter() - start
    assert results == list(items)
    return seconds / size * 1e6


def map_sieve(peer: Peer, size: int) -> float:
    """Per cent of the ideal, which is the CPU time of the serial loop over the cores, measured just before."""
    numbers = range(1, size + 1)
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


def map_arrays(peer: Peer, size: int) -> float:
    """Gigabytes a second, in and out, of 16 arrays of ``size`` bytes that come back as they are."""
    import numpy as np

    arrays = [np.full(size // 8, n, dtype=np.float64) for n in range(16)]
    with peer.open(2) as pool:
        for back in pool.map(echo, arrays):  # touches the memory that is used again below
            assert len(back) == size // 8
        start = perf_counter()
        firsts = [back[0] for back in pool.map(echo, arrays)]
        seconds = perf_counter() - start
    assert firsts == list(range(16))
    return 2 * 16 * size / seconds / 1e9


def map_memory(peer: Peer, size: int) -> float:
    """Megabytes that a map whose results are not kept adds to the peak of the parent."""
    with peer.open(2) as pool:
        list(pool.map(tiny, range(200)))
        before = peak_memory()
        assert sum(pool.map(tiny, range(size))) == size * (size - 1) // 2
        return peak_memory() - before


def peak_memory() -> float:
    """Megabytes. Not getrusage's figure, which a process inherits from the one that started it."""
    status = Path("/proc/self/status").read_text("ascii")
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kib) * 1024 / 1e6


def first_result(peer: Peer, size: int) -> float:
    """Milliseconds from nothing to the first result of two workers; everything is imported."""
    start = perf_counter()
    with peer.open(2) as pool:
        pool.submit(tiny, size)()
        return (perf_counter() - start) * 1e3


PROCESS_POOLS = ("ProcessPoolExecutor", "Pool", "loky", "pebble")

ROWS = (
    Row(
        "submit",
        "submit of a tiny function, 3,000 in flight",
        "µs a task",
        "less",
        3_000,
        ("okazja", *PROCESS_POOLS),
        submit_burst,
        "at most 1/8 of ProcessPoolExecutor",
        lambda m: m["okazja"] <= m["ProcessPoolExecutor"] / 8,
    ),
    Row(
        "round-trip",
        "submit().result(), one at a time",
        "µs",
        "less",
        2_000,
        ("okazja", "bare pipe", *PROCESS_POOLS),
        round_trip,
        "at most 1.2 × the bare pipe",
        lambda m: m["okazja"] <= 1.2 * m["bare pipe"],
    ),
    Row(
        "map-tiny",
        "map of a tiny function over 20,000 items",
        "µs an item",
        "less",
        20_000,
        ("okazja", *PROCESS_POOLS, "ProcessPoolExecutor, chunksize=64", "joblib"),
        map_tiny,
        "at most Pool.map",
        lambda m: m["okazja"] <= m["Pool"],
    ),
    Row(
        "map-sieve",
        "map of the sieve over n = 1…30,000",
        "% of the ideal",
        "more",
        30_000,
        ("okazja", *PROCESS_POOLS, "joblib"),
        map_sieve,
        "at least 96 %",
        lambda m: m["okazja"] >= 96,
    ),
    Row(
        "map-arrays",
        "map of 16 arrays of 8 MB through an echo",
        "GB/s",
        "more",
        8_000_000,
        ("okazja", *PROCESS_POOLS, "joblib"),
        map_arrays,
        "at least 4 GB/s",
        lambda m: m["okazja"] >= 4,
    ),
    Row(
        "map-memory",
        "memory that map over 1,000,000 tiny items adds to the parent's peak",
        "MB",
        "less",
        1_000_000,
        ("okazja", "Pool.imap", "joblib", "ProcessPoolExecutor, chunksize=64", "ThreadPoolExecutor"),
        map_memory,
        "at most 10 MB",
        lambda m: m["okazja"] <= 10,
    ),
    Row(
        "threads",
        "threads: submit of a tiny function, 3,000 in flight",
        "µs a task",
        "less",
        3_000,
        ("okazja, threads", "ThreadPoolExecutor"),
        submit_burst,
        "at most ThreadPoolExecutor",
        lambda m: m["okazja, threads"] <= m["ThreadPoolExecutor"],
    ),
    Row(
        "first-result",
        "first result of a new executor with 2 workers",
        "ms",
        "less",
        1,
        ("okazja", "okazja, fork", *PROCESS_POOLS),
        first_result,
        "at most 150 ms, and 60 ms with fork",
        lambda m: m["okazja"] <= 150 and m["okazja, fork"] <= 60,
    ),
)
