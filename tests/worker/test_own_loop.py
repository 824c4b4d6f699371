"""A worker's own event loop: what happens to it in one coroutine does not reach the next."""

from __future__ import annotations

import asyncio

import pytest

from okazja import Executor


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def stop_the_loop(number: int) -> int:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.001)
    return number


async def break_in_at_the_end() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt("after the coroutine, before its end is noticed")

    asyncio.get_running_loop().call_soon(interrupt)


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_a_loop_that_is_stopped_goes_on(backend: str) -> None:
    with Executor(backend, 1) as executor:
        assert executor.submit(stop_the_loop, 3).result() == 3
        assert executor.submit(double, 3).result() == 6


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_what_breaks_into_the_loop_harms_no_other_coroutine(backend: str) -> None:
    with Executor(backend, 1) as executor:
        assert isinstance(executor.submit(break_in_at_the_end).exception(), KeyboardInterrupt)
        assert executor.submit(double, 4).result() == 8
