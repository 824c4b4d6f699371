"""Groups in trio's tasks."""

from __future__ import annotations

import pytest
from tests.group import tasks

import okazja
from okazja import Executor
from okazja.testing import Gate

trio = pytest.importorskip("trio")


def kinds(error: BaseExceptionGroup[BaseException]) -> list[type[BaseException]]:
    return [type(inner) for inner in error.exceptions]


def test_results(executor: Executor) -> None:
    async def main() -> list[int]:
        async with executor.group() as group:
            futures = [group.submit(tasks.square, n) for n in range(5)]
            assert await futures[2] == 4
        return [future.result() for future in futures]

    assert trio.run(main) == [0, 1, 4, 9, 16]


def test_a_failure_cancels_what_the_block_awaits(concurrent: Executor, gate: Gate) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with concurrent.group() as group:
                group.submit(tasks.check_token, gate.address)
                await trio.to_thread.run_sync(gate.arrivals, 1)
                group.submit(tasks.fail)
                await trio.sleep_forever()
        assert kinds(caught.value) == [LookupError]
        await trio.lowlevel.checkpoint()

    trio.run(main)


def test_cancelling_the_block_cancels_the_group(concurrent: Executor, gate: Gate) -> None:
    async def main() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery, concurrent.group() as group:
                future = group.submit(tasks.check_token, gate.address)

                async def cancel() -> None:
                    await trio.to_thread.run_sync(gate.arrivals, 1)
                    scope.cancel()

                nursery.start_soon(cancel)
        assert scope.cancelled_caught
        assert future.cancelled()

    trio.run(main)


def test_own_workers() -> None:
    async def main() -> int:
        async with okazja.Group("processes") as group:
            future = group.submit(tasks.square, 3)
        return future.result()

    assert trio.run(main) == 9


def test_run_says_to_await() -> None:
    async def main() -> None:
        with pytest.raises(okazja.LoopRunning, match="write `await nap"):
            okazja.run(tasks.nap(0.01))

    trio.run(main)
