"""The async face: the same methods, awaited; and what is waited for is not lost when a wait is cancelled."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from okazja import Executor

MANY = 30


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main(), debug=True)


async def turns(number: int = 5) -> None:
    """Let the other tasks of the loop run."""
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize("make", ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"])
def test_tasks_exclude_each_other(executor: Executor, make: str) -> None:
    async def main() -> None:
        lock = getattr(executor, make)()
        inside = 0

        async def task() -> None:
            nonlocal inside
            async with lock:
                inside += 1
                assert inside == 1
                await turns()
                inside -= 1

        await asyncio.gather(*(task() for _ in range(MANY)))

    run(main)


@pytest.mark.parametrize("make", ["Lock", "RLock", "Semaphore"])
def test_a_cancelled_wait_takes_nothing(executor: Executor, make: str) -> None:
    async def main() -> None:
        lock = getattr(executor, make)()
        assert await lock.acquire() is True

        async def want() -> None:
            await lock.acquire()

        waiting = [asyncio.create_task(want()) for _ in range(4)]
        await turns()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        lock.release()
        assert await asyncio.wait_for(lock.acquire(), 30)
        lock.release()

    run(main)


def test_a_permit_that_was_won_and_cancelled_goes_to_the_next(executor: Executor) -> None:
    async def main() -> None:
        semaphore = executor.Semaphore(0)
        first, second = (asyncio.create_task(_acquire(semaphore)) for _ in range(2))
        await turns()
        semaphore.release()
        first.cancel()
        assert await asyncio.wait_for(second, 30)
        with pytest.raises(asyncio.CancelledError):
            await first
        assert not semaphore.acquire(False)

    async def _acquire(semaphore: Any) -> bool:
        return bool(await semaphore.acquire())

    run(main)


def test_a_lock_waits_for_threads_without_stopping_the_loop(executor: Executor) -> None:
    lock = executor.Lock()
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            go.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)

    async def main() -> None:
        assert not await lock.acquire(timeout=0.01)
        waiting = asyncio.create_task(_take())
        await turns()
        assert not waiting.done()
        go.set()
        await waiting

    async def _take() -> None:
        async with lock:
            pass

    run(main)
    thread.join()


def test_queue(executor: Executor) -> None:
    async def main() -> None:
        items = executor.Queue(2)

        async def produce() -> None:
            for number in range(MANY):
                await items.put(number)

        async def consume() -> list[int]:
            found = []
            for _ in range(MANY):
                found.append(await items.get())
                items.task_done()
            return found

        _, found = await asyncio.gather(produce(), consume())
        assert found == list(range(MANY))
        await items.join()
        with pytest.raises(queue.Empty):
            await items.get(timeout=0.01)
        with pytest.raises(queue.Empty):
            items.get_nowait()
        await items.put(1)
        await items.put(2)
        with pytest.raises(queue.Full):
            await items.put(3, timeout=0.01)

    run(main)


def test_an_item_is_not_lost_with_a_cancelled_get(executor: Executor) -> None:
    async def main() -> None:
        items = executor.Queue()

        async def take() -> Any:
            return await items.get()

        first, second = asyncio.create_task(take()), asyncio.create_task(take())
        await turns()
        await items.put("only")
        first.cancel()
        assert await asyncio.wait_for(second, 30) == "only"

    run(main)


def test_event_condition_and_barrier(executor: Executor) -> None:
    async def main() -> None:
        event, condition, barrier = executor.Event(), executor.Condition(), executor.Barrier(3)
        assert not await event.wait(0.01)

        async def notified() -> bool:
            async with condition:
                return bool(await condition.wait())

        tasks = [asyncio.create_task(notified()) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in tasks)
        while not all(task.done() for task in tasks):
            async with condition:
                condition.notify()
            await turns()
        assert all(await asyncio.gather(*tasks))
        event.set()
        assert await event.wait()

        async def meet() -> int:
            return int(await barrier.wait())

        assert sorted(await asyncio.gather(*(meet() for _ in range(3)))) == [0, 1, 2]
        with pytest.raises(RuntimeError, match="un-acquired"):
            await condition.wait()

    run(main)


def test_a_notification_of_a_cancelled_wait_is_passed_on(executor: Executor) -> None:
    async def main() -> None:
        condition = executor.Condition()

        async def wait() -> bool:
            async with condition:
                return bool(await condition.wait())

        first = asyncio.create_task(wait())
        await asyncio.sleep(0.05)
        second = asyncio.create_task(wait())
        await asyncio.sleep(0.05)
        async with condition:
            condition.notify()
            first.cancel()
        assert await asyncio.wait_for(second, 30)

    run(main)


def test_an_rlock_belongs_to_its_task(executor: Executor) -> None:
    async def main() -> None:
        lock = executor.RLock()

        async def other() -> str:
            with pytest.raises(RuntimeError):
                lock.release()
            assert lock.acquire(False) is False
            async with lock:
                return "after"

        async with lock:
            async with lock:
                task = asyncio.create_task(other())
                await turns()
            assert not task.done()
            await turns()
            assert not task.done()
        assert await asyncio.wait_for(task, 30) == "after"

    run(main)


def test_a_pipe(executor: Executor) -> None:
    async def main() -> None:
        here, there = executor.Pipe()

        async def question() -> Any:
            return await there.recv()

        task = asyncio.create_task(question())
        await turns()
        await here.send("hello")
        assert await task == "hello"
        await there.send_bytes(b"bytes")
        assert await here.recv_bytes() == b"bytes"
        assert not await here.poll(0.01)
        there.close()
        with pytest.raises(EOFError):
            await here.recv()

    run(main)
