"""Groups on an executor: nothing outlives the block."""

from __future__ import annotations

import asyncio
from typing import Any

from okazja.testing import tasks
from okazja.testing.check import Maker, caught, needs
from okazja.testing.gate import PATIENCE, Gate, wait_at


@needs(lambda traits: traits.extended)
def check_block_waits_for_its_tasks(make: Maker) -> None:
    """When the block is over, each of its futures is done, and the executor takes more work."""
    with make() as executor:
        with executor.group() as group:
            futures = [group.submit(tasks.square, n) for n in range(10)]
        assert all(future.done() for future in futures)
        assert [future.result() for future in futures] == [n * n for n in range(10)]
        assert executor.submit(tasks.square, 3).result(PATIENCE) == 9


@needs(lambda traits: traits.extended)
def check_failures_come_as_a_group(make: Maker) -> None:
    """A failure of a task is raised by the block, in an ExceptionGroup, and no task is taken after it."""
    with make() as executor:
        error = caught(_fail_in, executor.group())
    assert isinstance(error, ExceptionGroup), repr(error)
    assert [type(inner) for inner in error.exceptions] == [tasks.CustomError]


def _fail_in(group: Any) -> None:
    with group:
        failing = group.submit(tasks.fail, "no", code=3)
        assert type(failing.exception(PATIENCE)) is tasks.CustomError
        while not group.cancelled:  # the group hears of it in another thread, in no time
            pass
        group.submit(tasks.square, 3)


@needs(lambda traits: traits.extended and traits.concurrent)
def check_cancelled_group_begins_nothing(make: Maker) -> None:
    """Tasks that have not begun when their group is cancelled never begin, and their futures are cancelled."""
    with make(max_workers=1) as executor, Gate() as gate, executor.group() as group:
        group.submit(wait_at, gate.address, "begins")
        assert gate.arrivals(1, PATIENCE) == ["begins"]
        futures = [group.submit(wait_at, gate.address) for _ in range(10)]
        group.cancel()
        gate.open()
    assert all(future.cancelled() for future in futures), futures


@needs(lambda traits: traits.extended and traits.concurrent)
def check_deadline_of_a_group(make: Maker) -> None:
    """After the deadline the block raises TimeoutError, and what had not begun never does."""
    with make(max_workers=1) as executor, Gate() as gate:
        futures: list[Any] = []
        error = caught(_miss_deadline, executor.group(deadline=0.5), gate, futures)
        assert type(error) is TimeoutError, repr(error)
        assert all(future.cancelled() for future in futures[1:]), futures


def _miss_deadline(group: Any, gate: Gate, futures: list[Any]) -> None:
    with group:
        futures += [group.submit(wait_at, gate.address) for _ in range(2)]
        assert group.token.wait(PATIENCE)
        gate.open()


@needs(lambda traits: traits.extended)
def check_group_in_async_code(make: Maker) -> None:
    """``async with`` does the same without blocking the loop."""

    async def main(executor: Any) -> list[int]:
        async with executor.group() as group:
            futures = [group.submit(tasks.square, n) for n in range(5)]
            assert await futures[2] == 4
        return [future.result() for future in futures]

    with make() as executor:
        assert asyncio.run(main(executor)) == [0, 1, 4, 9, 16]
