"""Maps and streams in coroutines, under asyncio and under trio: the same names, and the loop never stands still."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from asyncio import events
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.faults.scripts import eventually
from tests.semantics.tasks import double, fail_on_odd, identity

from okazja import BadInput, Executor, Future, LoopRunning

PATIENCE = 20.0  # seconds for what should take none
MOST_DRAWN = (
    40_000  # items, by a consumer that has taken a few: a stream holds 32,768, and some are read ahead
)

Run = Callable[[Callable[[], Awaitable[None]]], None]

request: ContextVar[str] = ContextVar("request", default="nobody's")


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine function under a library."""

    def run(main: Callable[[], Awaitable[None]]) -> None:
        async def limited() -> None:
            with anyio.fail_after(3 * PATIENCE):
                await main()

        anyio.run(limited, backend=request.param)

    return run


class Endless:
    """An asynchronous iterable that counts what was drawn, and knows whether it was closed."""

    def __init__(self) -> None:
        self.drawn = 0
        self.closed = False

    async def numbers(self) -> AsyncIterator[int]:
        try:
            while True:
                if not self.drawn % 100:
                    await anyio.lowlevel.checkpoint()
                self.drawn += 1
                yield self.drawn
        finally:
            self.closed = True


async def seen(condition: Callable[[], object]) -> None:
    """Wait until it holds."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110  (nobody rings a bell for it)
            await anyio.sleep(0.001)


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await anyio.lowlevel.checkpoint()
        yield number


def test_map_and_stream(executor: Executor, run: Run) -> None:
    async def main() -> None:
        assert [value async for value in executor.map(double, range(500))] == [2 * n for n in range(500)]
        outcomes = [outcome async for outcome in executor.stream(fail_on_odd, range(20), ordered=True)]
        assert [outcome.ok for outcome in outcomes] == [True, False] * 10
        assert await executor.submit(double, 4) == 8

    run(main)


def test_coroutine_functions(executor: Executor, run: Run) -> None:
    async def main() -> None:
        outcomes = [outcome async for outcome in executor.stream(later, range(50), ordered=True)]
        assert [outcome.value for outcome in outcomes] == [2 * n for n in range(50)]
        if executor.backend != "serial":
            assert await executor.submit(later, 4) == 8

    run(main)


async def later(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_errors_are_raised_where_they_are_awaited(executor: Executor, run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="no 1"):
            async for _ in executor.map(fail_on_odd, range(20)):
                pass
        with pytest.raises(ValueError, match="no 3"):
            await executor.submit(fail_on_odd, 3)
        results = executor.map(double, range(3))
        assert [value async for value in results] == [0, 2, 4]
        assert [value async for value in results] == []

    run(main)


def test_asynchronous_iterables_as_inputs(executor: Executor, run: Run) -> None:
    async def main() -> None:
        values = [value async for value in executor.map(double, numbers(1200))]
        assert values == [2 * n for n in range(1200)]
        outcomes = [outcome async for outcome in executor.stream(double, numbers(1200), ordered=True)]
        assert [(outcome.item, outcome.value) for outcome in outcomes] == [(n, 2 * n) for n in range(1200)]

    run(main)


def test_an_asynchronous_input_that_raises(executor: Executor, run: Run) -> None:
    async def broken() -> AsyncIterator[int]:
        for number in range(5):
            yield number
        raise LookupError("the input is broken")

    async def main() -> None:
        stream = executor.stream(double, broken())
        assert sorted([(await anext(stream)).value or 0 for _ in range(5)]) == [0, 2, 4, 6, 8]
        with pytest.raises(LookupError):
            await anext(stream)

    run(main)


@pytest.mark.parametrize("buffersize", [None, 4])
def test_backpressure_reaches_the_input(executor: Executor, run: Run, buffersize: int | None) -> None:
    async def main() -> None:
        source = Endless()
        stream = executor.stream(identity, source.numbers(), buffersize=buffersize)
        for _ in range(10):
            await anext(stream)
        drawn = -1
        while drawn != source.drawn:
            drawn = source.drawn
            await anyio.sleep(0.1)
        assert drawn < (MOST_DRAWN if buffersize is None else 40)
        await stream.aclose()

    if (
        executor.backend != "asyncio" or buffersize is not None
    ):  # there 4 times as many as run at once may wait
        run(main)


def test_an_early_break_closes_the_input(executor: Executor, run: Run) -> None:
    async def main() -> None:
        source = Endless()
        async for outcome in executor.stream(identity, source.numbers()):
            if outcome.index > 5:
                break
        gc.collect()
        await seen(lambda: source.closed)
        assert await executor.submit(double, 4) == 8

    run(main)


def test_an_input_that_waits_for_ever_is_cancelled(executor: Executor, run: Run) -> None:
    ended: list[bool] = []

    async def one_then_never() -> AsyncIterator[int]:
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    async def main() -> None:
        stream = executor.stream(double, one_then_never())
        assert (await anext(stream)).value == 2
        await stream.aclose()
        await seen(lambda: ended)

    run(main)


def test_several_tasks_take_from_one_stream(run: Run) -> None:
    taken: list[list[int]] = [[], [], [], []]
    rounds = threading.Barrier(2)

    def in_pairs(number: int) -> int:  # two results at once, then none for a moment: all tasks wait again
        rounds.wait(PATIENCE)
        return number

    async def main() -> None:
        results = executor.map(in_pairs, range(80), chunksize=1)

        async def take(mine: list[int]) -> None:
            async for number in results:
                mine.append(number)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for mine in taken:
                group.start_soon(take, mine)

    with Executor("threads", 2) as executor:
        run(main)
    assert sorted(chain.from_iterable(taken)) == list(range(80))
    assert all(len(mine) > 1 for mine in taken), "a task has stopped early"


def test_a_cancelled_task_ends_the_stream(run: Run) -> None:
    gate = threading.Event()
    ran: list[int] = []

    def wait(number: int) -> None:
        ran.append(number)
        gate.wait(PATIENCE)

    async def main() -> None:
        with anyio.move_on_after(0.05):
            async for _ in executor.stream(wait, range(100)):
                pass

    with Executor("threads", 1) as executor:
        run(main)
        gate.set()
    assert ran == [0]


def test_a_cancelled_await_cancels_what_has_not_begun(run: Run) -> None:
    gate = threading.Event()

    async def main() -> None:
        waiting = executor.submit(double, 1)
        with anyio.move_on_after(0.01):
            await waiting
        assert waiting.cancelled()

    with Executor("threads", 1) as executor:
        executor.submit(gate.wait, PATIENCE)
        run(main)
        gate.set()


def test_a_cancelled_await_cancels_a_coroutine_that_runs(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async def cancel_it() -> None:
        future = executor.submit(wait)
        async with anyio.create_task_group() as group:

            async def await_it() -> None:
                await future

            group.start_soon(await_it)
            await seen(begun.is_set)
            group.cancel_scope.cancel()
        await seen(ended.is_set)

    with Executor("asyncio", 1) as executor:
        run(cancel_it)
    assert not caplog.records


def test_async_with_does_not_stop_the_loop(run: Run) -> None:
    gate = threading.Event()

    async def open_gate() -> None:
        await anyio.sleep(0.01)
        gate.set()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            async with Executor("threads", 1) as executor:
                future = executor.submit(gate.wait, PATIENCE)
                group.start_soon(open_gate)
            assert future.done()
            assert future.result()

    run(main)


def test_async_with_that_is_cancelled_cancels_what_has_not_begun(run: Run) -> None:
    gate = threading.Event()
    futures: list[Any] = []

    async def main() -> None:
        with anyio.move_on_after(0.02):
            async with Executor("threads", 1) as executor:
                futures.extend(executor.submit(gate.wait, PATIENCE) for _ in range(5))
                threading.Timer(0.2, gate.set).start()
                await anyio.sleep_forever()

    run(main)
    gate.set()
    assert eventually(lambda: all(future.done() for future in futures))
    assert [future.cancelled() for future in futures] == [False, True, True, True, True]


def test_async_with_that_is_cancelled_ends_what_runs_on_processes(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with Executor("processes", 1) as executor:
                running = executor.submit(sleep_for_ever, str(tmp_path / "begun"))
                futures.append(running)
                await seen((tmp_path / "begun").exists)
                scope.cancel()
                await anyio.lowlevel.checkpoint()

    futures: list[Future[None]] = []
    run(main)
    assert futures[0].exception(PATIENCE) is not None


def sleep_for_ever(path: str) -> None:
    Path(path).touch()
    time.sleep(3600)


def test_nothing_is_said_about_coroutines_that_end_with_their_block(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.sleep(3600)

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with Executor("asyncio") as executor:
                executor.submit(hang)
                await seen(begun.is_set)
                scope.cancel()
                await anyio.sleep_forever()

    run(main)
    gc.collect()
    assert eventually(lambda: not any(thread.name.endswith("_loop") for thread in threading.enumerate()))
    assert not caplog.records


def test_a_slow_input_does_not_stop_the_loop(run: Run) -> None:
    gate = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        gate.wait(PATIENCE)
        yield 2

    async def main() -> None:
        turns = 0
        async with anyio.create_task_group() as group:

            async def turn() -> None:
                nonlocal turns
                while turns < 10:
                    turns += 1
                    await anyio.sleep(0.001)
                gate.set()

            async with Executor("threads", 1) as executor:
                results = executor.map(double, slow())
                group.start_soon(turn)
                assert [value async for value in results] == [2, 4]
        assert turns == 10

    run(main)


def test_an_asynchronous_input_needs_async_for_and_a_loop(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(LoopRunning, match="async for"):
            next(executor.stream(double, numbers(3)))
        with pytest.raises(LoopRunning, match="async for"):
            list(executor.map(double, numbers(3)))
        with pytest.raises(BadInput, match="the only one"):
            executor.map(max, numbers(3), numbers(3))

    with Executor("threads", 1) as executor:
        run(main)
        with pytest.raises(BadInput, match="running event loop"):
            executor.stream(double, numbers(3))


def test_plain_for_in_a_coroutine(executor: Executor, run: Run) -> None:
    async def main() -> None:
        assert list(executor.map(double, range(50))) == [2 * n for n in range(50)]
        assert sum(outcome.value or 0 for outcome in executor.stream(double, range(5))) == 20

    run(main)


def test_a_map_that_nobody_looks_at_runs_all_the_same(run: Run) -> None:
    ran: list[int] = []

    async def main() -> None:
        async with Executor("threads", 2) as executor:
            executor.map(ran.append, range(10))

    run(main)
    assert sorted(ran) == [*range(10)]


def test_context_variables_of_the_caller(run: Run) -> None:
    async def main() -> None:
        request.set("mine")
        assert [value async for value in executor.map(lambda _: request.get(), range(3))] == ["mine"] * 3

    with Executor("threads", 1) as executor:
        run(main)


async def many() -> AsyncIterator[int]:
    for number in range(100_000):
        yield number


@pytest.mark.parametrize("backend", ["threads", "processes"])
@pytest.mark.parametrize("source", [lambda: range(100_000), many], ids=["plain", "asynchronous"])
def test_no_callback_takes_long_while_many_items_stream(
    backend: str, source: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In CPU time of the loop's thread: on a busy machine the clock on the wall says little."""
    longest = 0.0
    run_handle = events.Handle._run

    def timed(handle: events.Handle) -> None:
        nonlocal longest
        start = time.thread_time()
        run_handle(handle)
        longest = max(longest, time.thread_time() - start)

    async def main() -> int:
        async with Executor(backend, 2) as executor:
            await executor.submit(double, 1)
            monkeypatch.setattr(events.Handle, "_run", timed)
            count = 0
            async for outcome in executor.stream(double, source()):
                count += outcome.ok
            return count

    assert asyncio.run(main()) == 100_000
    assert longest < 0.010
