"""Futures in an event loop: awaited, wrapped, gathered, timed out."""

from __future__ import annotations

import asyncio
import threading

import pytest

from okazja import Executor


def divide(a: float, b: float) -> float:
    return a / b


def test_run_in_executor(executor: Executor) -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, divide, n, 4) for n in range(20)))

    assert asyncio.run(main()) == [n / 4 for n in range(20)]


def test_an_error_is_raised_where_it_is_awaited(executor: Executor) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(executor, divide, 1, 0)
        with pytest.raises(ZeroDivisionError):
            await executor.submit(divide, 1, 0)

    asyncio.run(main())


def test_a_future_is_awaited_as_it_is_or_wrapped(executor: Executor) -> None:
    async def main() -> tuple[float, float]:
        return await executor.submit(divide, 1, 2), await asyncio.wrap_future(executor.submit(divide, 1, 4))

    assert asyncio.run(main()) == (0.5, 0.25)


def test_a_task_group_of_awaited_futures(executor: Executor) -> None:
    async def ask(n: int) -> float:
        return await executor.submit(divide, n, 8)

    async def main() -> list[float]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(n)) for n in range(10)]
        return [task.result() for task in tasks]

    assert asyncio.run(main()) == [n / 8 for n in range(10)]


def test_the_loop_turns_while_a_task_runs() -> None:
    gate = threading.Event()

    async def main() -> bool:
        with Executor("threads", max_workers=1) as executor:
            waiting = asyncio.ensure_future(asyncio.wrap_future(executor.submit(gate.wait)))
            await asyncio.sleep(0)
            assert not waiting.done()
            gate.set()
            return await waiting

    assert asyncio.run(main())


def test_a_timeout_leaves_the_executor_in_order() -> None:
    gate = threading.Event()

    async def main() -> float:
        with Executor("threads", max_workers=2) as executor:
            loop = asyncio.get_running_loop()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await loop.run_in_executor(executor, gate.wait)
            gate.set()
            return await loop.run_in_executor(executor, divide, 3, 2)

    assert asyncio.run(main()) == 1.5


def test_the_default_executor_is_asyncios_own_kind(executor: Executor) -> None:
    """asyncio asks for an instance of the standard library's class; no other executor can be it."""

    async def main() -> None:
        with pytest.raises(TypeError, match="ThreadPoolExecutor"):
            asyncio.get_running_loop().set_default_executor(executor)

    asyncio.run(main())
