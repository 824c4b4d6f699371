"""Coroutines: what handing one over costs, many that wait at once, and pages from a server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import perf_counter

from benchmarks.peers import Peer, Pool
from benchmarks.processes import peak_memory
from benchmarks.rows.row import Point, Row
from benchmarks.tasks import tiny_later
from benchmarks.web import fetch, forget_session, serving

__all__ = ["ASYNC_FETCH", "ASYNC_SLEEPS", "ASYNC_SUBMIT"]

NAP = 1.0  # seconds
AT_ONCE = 100  # requests


def burst(pool: Pool, size: int) -> float:
    """Microseconds a task, from the first submit to the last result, with all of them in flight."""
    start = perf_counter()
    for wait in [pool.submit(tiny_later, n) for n in range(size)]:
        wait()
    return (perf_counter() - start) / size * 1e6


def submit_burst(peer: Peer, size: int) -> float:
    """As burst, on a loop that has run before."""
    with peer.open(100) as pool:
        burst(pool, 200)
        return burst(pool, size)


async def nap(_: object) -> None:
    """Wait, and do nothing else."""
    await asyncio.sleep(NAP)


def sleeps(peer: Peer, size: int) -> float:
    """Seconds for that many waits, all at once."""
    with peer.open(size) as pool:
        list(pool.map(tiny_later, range(10)))
        start = perf_counter()
        assert len(list(pool.map(nap, range(size)))) == size
        return perf_counter() - start


def memory_of_sleeps(peer: Peer, size: int) -> float:
    """Megabytes that the same adds to the peak of the process."""
    with peer.open(size) as pool:
        list(pool.map(tiny_later, range(10)))
        before = peak_memory()
        assert len(list(pool.map(nap, range(size)))) == size
        return peak_memory() - before


def fetching(peer: Peer, size: int) -> float:
    """Milliseconds for a page, so many fetched at once."""
    with serving() as url, peer.open(AT_ONCE) as pool:
        list(pool.map(fetch, [url] * AT_ONCE))
        start = perf_counter()
        assert sum(pool.map(fetch, [url] * size)) == 1000 * size
        seconds = perf_counter() - start
        list(pool.map(_close, [None]))
        return seconds / size * 1e3


async def _close(_: object) -> None:
    await forget_session()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0.05)  # connections close in the next turns of the loop


ASYNC_SUBMIT = Row(
    "async-submit",
    "asyncio: submit of a tiny coroutine function, 3,000 in flight",
    "µs a task",
    "less",
    (Point("", 3_000, submit_burst),),
    ("okazja, asyncio", "run_coroutine_threadsafe"),
    "at most 2 × run_coroutine_threadsafe",
    lambda median: median("okazja, asyncio") <= 2 * median("run_coroutine_threadsafe"),
)

ASYNC_SLEEPS = Row(
    "async-sleeps",
    "asyncio: 10,000 waits of 1 s at once",
    "s, MB",
    "less",
    (
        Point("seconds", 10_000, sleeps, scaled=False),
        Point("MB added to the peak", 10_000, memory_of_sleeps, scaled=False),
    ),
    ("okazja, asyncio", "asyncio", "asyncio with uvloop"),
    "within 1.2 s, and within 1.2 × the memory of plain asyncio",
    lambda median: (
        median("okazja, asyncio", "seconds") <= 1.2
        and median("okazja, asyncio", "MB added to the peak")
        <= 1.2 * median("asyncio", "MB added to the peak")
    ),
)

ASYNC_FETCH = Row(
    "async-fetch",
    f"asyncio: 5,000 pages of a local server with aiohttp, {AT_ONCE} at once",
    "ms a page",
    "less",
    (Point("", 5_000, fetching, needs="aiohttp"),),
    ("okazja, asyncio", "asyncio", "asyncio with uvloop"),
    "no slower than asyncio with a semaphore",
    lambda median: median("okazja, asyncio") <= median("asyncio"),
)
