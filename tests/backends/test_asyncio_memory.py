"""Very many coroutines at once: each may cost little more than a task of plain asyncio."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from okazja import Executor

COUNT = 3000
MOST_BEYOND = {"map": 750, "stream": 950}  # bytes that each may take beyond a task of plain asyncio


@contextmanager
def counted_bytes() -> Iterator[Callable[[], int]]:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield lambda: tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def plain_bytes() -> int:
    """Bytes that as many tasks take."""

    async def wait(number: int) -> int:
        await asyncio.get_running_loop().create_future()
        return number

    async def measure() -> int:
        with counted_bytes() as count:
            tasks = [asyncio.create_task(wait(number)) for number in range(COUNT)]
            await asyncio.sleep(0)
            bytes_ = count()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return bytes_

    return asyncio.run(measure())


@pytest.mark.parametrize("method", MOST_BEYOND)
def test_a_coroutine_costs_little_more_than_a_task(method: str) -> None:
    begun = threading.Semaphore(0)
    gate: list[asyncio.Future[None]] = []

    async def wait(number: int) -> int:
        future = asyncio.get_running_loop().create_future()
        gate.append(future)
        begun.release()
        await future
        return number

    def open_gate() -> None:
        for future in gate:
            future.set_result(None)

    with Executor("asyncio", COUNT) as executor:
        loop = executor.submit(current_loop).result(10)
        with counted_bytes() as count:
            results = getattr(executor, method)(wait, range(COUNT))
            for _ in range(COUNT):
                assert begun.acquire(timeout=10)
            bytes_ = count()
        loop.call_soon_threadsafe(open_gate)
        assert len(list(results)) == COUNT
    assert bytes_ - plain_bytes() < MOST_BEYOND[method] * COUNT


async def current_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
