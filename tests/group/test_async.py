"""Groups under ``async with``: the loop is never blocked, and cancellation goes both ways."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.group import tasks

import okazja
from okazja import Executor
from okazja.testing import Gate
from okazja.testing.gate import wait_at

Main = Callable[[], Coroutine[Any, Any, Any]]


def run(main: Main) -> Any:
    return asyncio.run(main(), debug=True)


def kinds(error: BaseExceptionGroup[BaseException]) -> list[type[BaseException]]:
    return [type(inner) for inner in error.exceptions]


def test_results_and_awaits(executor: Executor) -> None:
    async def main() -> list[int]:
        async with executor.group() as group:
            futures = [group.submit(tasks.square, n) for n in range(10)]
            assert await futures[3] == 9
        return [future.result() for future in futures]

    assert run(main) == [n * n for n in range(10)]


def test_the_loop_goes_round_while_the_block_waits(concurrent: Executor, gate: Gate) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as around, concurrent.group() as group:
            group.submit(wait_at, gate.address)
            around.create_task(asyncio.to_thread(open_when_there))

    def open_when_there() -> None:
        gate.arrivals(1)
        gate.open()

    run(main)


def test_a_failure_cancels_what_the_block_awaits(concurrent: Executor, gate: Gate) -> None:
    async def main() -> asyncio.Task[Any] | None:
        with pytest.raises(ExceptionGroup) as caught:
            async with concurrent.group() as group:
                group.submit(tasks.check_token, gate.address)
                await asyncio.to_thread(gate.arrivals, 1)
                group.submit(tasks.fail)
                await asyncio.Event().wait()
        assert kinds(caught.value) == [LookupError]
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)
        return task

    run(main)


def test_cancelling_the_task_of_the_block_cancels_the_group(concurrent: Executor, gate: Gate) -> None:
    futures = []

    async def block() -> None:
        async with concurrent.group() as group:
            futures.append(group.submit(tasks.check_token, gate.address))

    async def main() -> None:
        task = asyncio.create_task(block())
        await asyncio.to_thread(gate.arrivals, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert futures[0].cancelled()

    run(main)


def test_a_timeout_of_asyncio_around_a_group(concurrent: Executor, gate: Gate) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), concurrent.group() as group:
                group.submit(tasks.check_token, gate.address)

    run(main)


def test_a_deadline(concurrent: Executor, gate: Gate) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError, match=r"deadline=1 s"):
            async with concurrent.group(deadline=1) as group:
                group.submit(tasks.check_token, gate.address)
                await asyncio.Event().wait()

    run(main)


def test_nested_blocks_of_one_task(gate: Gate, tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with okazja.Group("asyncio") as outer:
                async with okazja.Group("processes") as inner:
                    sleeping = inner.submit(tasks.sleep_and_note, gate.address, tmp_path / "notes")
                    await asyncio.to_thread(gate.arrivals, 1)
                    outer.submit(tasks.fail_soon)
                raise AssertionError("not reached")
        assert kinds(caught.value) == [LookupError]
        assert sleeping.cancelled()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    run(main)
    assert (tmp_path / "notes").read_text() == "cleaned up\n"


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_own_workers_are_joined_without_blocking_the_loop(backend: str) -> None:
    async def main() -> None:
        async with okazja.Group(backend) as group:  # type: ignore[arg-type]
            futures = [group.submit(tasks.square, n) for n in range(5)]
        assert [future.result() for future in futures] == [0, 1, 4, 9, 16]

    before = threading.active_count()
    run(main)
    assert threading.active_count() == before


# --- tasks of asyncio


def test_each_coroutine_has_a_task(gate: Gate) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    async def look() -> tuple[int, str]:
        task = asyncio.current_task()
        assert task is not None
        return variable.get(), task.get_name()

    async def main() -> None:
        variable.set(5)
        async with okazja.Group("asyncio", name="looker") as group:
            futures = [group.submit(look) for _ in range(3)]
            variable.set(6)
            futures += [await asyncio.to_thread(group.submit, look)]
        assert [future.result()[0] for future in futures] == [5, 5, 5, 6]
        assert {future.result()[1] for future in futures} == {"looker"}

    run(main)


def test_a_failing_task_cancels_the_others() -> None:
    cleaned = []

    async def sleep() -> None:
        try:
            await asyncio.sleep(tasks.LONG)
        finally:
            cleaned.append(okazja.current_token().is_set())

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with okazja.Group("asyncio") as group:
                sleeping = group.submit(sleep)
                await asyncio.sleep(0)
                group.submit(tasks.fail_soon)
                never = group.submit(tasks.nap, tasks.LONG)
        assert kinds(caught.value) == [LookupError]
        assert sleeping.cancelled()
        assert never.cancelled()

    run(main)
    assert cleaned == [True]


def test_plain_functions_are_no_tasks_of_asyncio() -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with okazja.Group("asyncio") as group:
                group.submit(tasks.square, 3)
        assert kinds(caught.value) == [okazja.TaskTypeError]

    run(main)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_before_there_is_a_coroutine_ends_the_block(kind: type[BaseException]) -> None:
    def leave() -> None:
        raise kind("now")

    async def main() -> None:
        with pytest.raises(BaseExceptionGroup) as caught:
            async with okazja.Group("asyncio") as group:
                group.submit(leave)
                await asyncio.sleep(tasks.LONG)
        assert kinds(caught.value) == [kind]

    run(main)


# --- coroutines on executors


@pytest.mark.parametrize("backend", ["threads", "asyncio", "processes"])
def test_coroutines_are_cancelled_on_every_backend(backend: str, gate: Gate, tmp_path: Path) -> None:
    with Executor(backend, 2) as executor:
        with pytest.raises(ExceptionGroup) as caught, executor.group() as group:
            napping = group.submit(tasks.nap_and_note, gate.address, tmp_path / "notes")
            assert gate.arrivals(1) == ["naps"]
            failing = group.submit(tasks.fail_soon)
    assert kinds(caught.value) == [LookupError]
    assert napping.cancelled()
    assert failing.done()
    assert (tmp_path / "notes").read_text() == "cleaned up\n"


@pytest.mark.parametrize("backend", ["threads", "asyncio"])
def test_coroutines_that_plain_functions_return_are_cancelled_too(backend: str) -> None:
    begun = threading.Event()
    notes: list[str] = []

    async def sleep() -> None:
        begun.set()
        try:
            await asyncio.sleep(tasks.LONG)
        finally:
            await asyncio.sleep(0)
            notes.append("cleaned up")

    with Executor(backend, 2) as executor, executor.group() as group:
        sleeping = group.submit(lambda: sleep())  # noqa: PLW0108  (a plain function)
        assert begun.wait(tasks.LONG)
        group.cancel()
    assert sleeping.cancelled()
    assert notes == ["cleaned up"]


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_coroutines_with_a_worker_of_their_own(backend: str) -> None:
    with okazja.Group(backend) as group:  # type: ignore[arg-type]
        futures = [group.submit(tasks.nap, 0.01, n) for n in range(5)]
    assert [future.result() for future in futures] == [0, 1, 2, 3, 4]


def test_what_a_cancelled_coroutine_raises_is_not_lost() -> None:
    async def fail_when_cancelled() -> None:
        try:
            begun.set()
            await asyncio.sleep(tasks.LONG)
        finally:
            tasks.fail("while cleaning up")

    for backend in ("threads", "asyncio"):
        begun = threading.Event()
        with (
            pytest.raises(ExceptionGroup) as caught,
            Executor(backend) as executor,
            executor.group() as group,
        ):
            group.submit(fail_when_cancelled)
            assert begun.wait(tasks.LONG)
            group.cancel()
        assert kinds(caught.value) == [LookupError]


def test_a_coroutine_that_cancels_itself_is_no_failure() -> None:
    async def cancel_me() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    for backend in ("threads", "asyncio"):
        with Executor(backend) as executor, executor.group() as group:
            future = group.submit(cancel_me)
        assert future.cancelled()
