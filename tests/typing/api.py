"""What a type checker knows of okazja's public names. Nothing here is run: ``./dev lint`` checks it.

Each ``type: ignore`` proves that a mistake is found: mypy warns about those that nothing needs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import assert_type

import okazja
from okazja.measure.comparison import Comparison
from okazja.sync import Array, Connection, Lock, Queue, Value
from okazja.watch.tree import Tree


def length(text: str) -> int:
    return len(text)


def repeat(text: str, times: int = 2, *, upper: bool = False) -> str:
    return (text.upper() if upper else text) * times


def submitting(executor: okazja.Executor) -> None:
    future = executor.submit(length, "word")
    assert_type(future, okazja.Future[int])
    assert_type(future.result(timeout=1.0), int)
    assert_type(future.exception(), BaseException | None)
    assert_type(executor.submit(repeat, "word", 3, upper=True), okazja.Future[str])
    assert_type(executor.submit(lambda: 1.5), okazja.Future[float])


def submitting_what_does_not_fit(executor: okazja.Executor) -> None:
    executor.submit(length, 3)  # type: ignore[arg-type]
    executor.submit(length)  # type: ignore[call-arg]
    executor.submit(length, "word", "another")  # type: ignore[call-arg]
    executor.submit(repeat, "word", upper="yes")  # type: ignore[arg-type]
    executor.submit(repeat, "word", lower=True)  # type: ignore[call-arg]
    executor.submit("length", "word")  # type: ignore[arg-type]
    executor.submit(length, fn="word")  # type: ignore[call-arg]


def mapping(executor: okazja.Executor) -> None:
    assert_type(executor.map(length, ["a", "word"]), okazja.Results[int])
    assert_type(
        executor.map(repeat, ["a"], [3], timeout=1.0, chunksize=10, buffersize=100), okazja.Results[str]
    )
    assert_type(okazja.map(length, ["a", "word"]), list[int])
    assert_type(okazja.map(repeat, ["a"], [3], backend="threads", max_workers=2), list[str])
    executor.map(length, ["a"], progress=True)
    okazja.map(length, ["a"], progress=progressing)
    executor.map(length, ["a"], progress="yes")  # type: ignore[arg-type]
    executor.map(length, ["a"], chunksize="10")  # type: ignore[arg-type]
    executor.map(length, 3)  # type: ignore[arg-type]
    okazja.map(length, ["a"], max_workers="2")  # type: ignore[arg-type]


def progressing(progress: okazja.Progress) -> None:
    assert_type(progress.total, int | None)
    assert_type(progress.done, int)
    assert_type(progress.failed, int)
    assert_type(progress.retried, int)
    assert_type(progress.known, int)
    assert_type(progress.seconds, float)
    assert_type(progress.rate, float | None)
    assert_type(progress.seconds_left, float | None)
    assert_type(progress.ended, bool)


def streaming(executor: okazja.Executor) -> None:
    outcomes = executor.stream(length, ["a", "word"], ordered=True)
    assert_type(outcomes, okazja.Results[okazja.Outcome[str, int]])
    outcome = next(outcomes)
    assert_type(outcome.index, int)
    assert_type(outcome.item, str)
    assert_type(outcome.value, int | None)
    assert_type(outcome.error, BaseException | None)
    assert_type(outcome.attempts, int)
    assert_type(outcome.seconds, float)
    assert_type(outcome.worker, int)
    assert_type(outcome.ok, bool)
    outcome.value = 3  # type: ignore[misc]
    executor.stream(length, [1, 2])  # type: ignore[arg-type]
    robust = executor.stream(length, ["a"], ordered=False, item_timeout=2, retries=3, on_error="raise")
    assert_type(robust, okazja.Results[okazja.Outcome[str, int]])
    executor.stream(length, ["a"], item_timeout=None, on_error="yield")
    executor.stream(length, ["a"], progress=progressing)
    executor.stream(length, ["a"], progress=length)  # type: ignore[arg-type]
    executor.stream(length, ["a"], item_timeout="2")  # type: ignore[arg-type]
    executor.stream(length, ["a"], retries=1.5)  # type: ignore[arg-type]
    executor.stream(length, ["a"], on_error="ignore")  # type: ignore[arg-type]
    executor.stream(length, ["a"], False)  # type: ignore[call-arg]
    executor.stream(length, ["a"], deadline=60, backoff=0.5, retry_on=OSError, max_failures=3, buffersize=10)
    executor.stream(length, ["a"], retry_on=(OSError, ValueError))
    executor.stream(length, ["a"], retry_on=lambda error: isinstance(error, OSError))
    executor.stream(length, ["a"], retry_on="OSError")  # type: ignore[arg-type]
    executor.stream(length, ["a"], backoff=None)  # type: ignore[arg-type]


async def awaiting(executor: okazja.Executor) -> None:
    assert_type(await executor.submit(length, "word"), int)
    first, second = await asyncio.gather(executor.submit(length, "word"), executor.submit(repeat, "word"))
    assert_type(first, int)
    assert_type(second, str)
    loop = asyncio.get_running_loop()
    assert_type(await loop.run_in_executor(executor, length, "word"), int)


def taking_any_executor(executor: concurrent.futures.Executor) -> concurrent.futures.Future[int]:
    return executor.submit(length, "word")


def standing_in(future: okazja.Future[int]) -> None:
    """Executors and futures go wherever those of the standard library go."""
    with okazja.Executor("processes", max_workers=2, initializer=print, initargs=("begins",)) as executor:
        assert_type(executor, okazja.Executor)
        taking_any_executor(executor)
    for done in concurrent.futures.as_completed([future]):
        assert_type(done.result(), int)
    okazja.Executor(backend=3)  # type: ignore[arg-type]
    okazja.Executor("threads", max_worker=2)  # type: ignore[call-arg]


def grouping(executor: okazja.Executor) -> None:
    with executor.group(deadline=1.5) as group:
        assert_type(group, okazja.Group)
        assert_type(group.submit(length, "word"), okazja.Future[int])
        assert_type(group.submit(repeat, "word", 3, upper=True), okazja.Future[str])
        assert_type(group.cancelled, bool)
        group.submit(length, 3)  # type: ignore[call-overload]
        group.submit(length)  # type: ignore[call-overload]
    with okazja.Group("threads", deadline=3, name="fetcher") as group:
        group.cancel()
    okazja.Group("thread")  # type: ignore[arg-type]
    okazja.Group("threads", max_workers=3)  # type: ignore[call-arg]
    executor.group(deadline="soon")  # type: ignore[arg-type]
    token = okazja.current_token()
    assert_type(token, okazja.CancellationToken)
    assert_type(token.is_set(), bool)
    assert_type(token.wait(0.5), bool)


async def grouping_in_async_code(executor: okazja.Executor) -> None:
    async with executor.group() as group, okazja.Group("asyncio") as tasks:
        assert_type(await group.submit(length, "word"), int)
        assert_type(tasks.submit(length_later, "word"), okazja.Future[int])
        tasks.submit(length_later, 3)  # type: ignore[call-overload]


async def length_later(text: str) -> int:
    return len(text)


def running() -> None:
    assert_type(okazja.run(length_later("word"), debug=True), int)
    okazja.run(length_later)  # type: ignore[arg-type]


def timing() -> None:
    with okazja.timer("load", report=print) as clock:
        assert_type(clock, okazja.timer)
    assert_type(clock.name, str)
    assert_type(clock.wall, float)
    assert_type(clock.cpu, float)
    assert_type(clock.workers_cpu, float)
    assert_type(clock.total_cpu, float)
    assert_type(clock.running, bool)
    assert_type(clock.parent, okazja.timer | None)
    assert_type(clock.depth, int)
    okazja.timer(3)  # type: ignore[arg-type]


async def timing_a_coroutine() -> None:
    async with okazja.timer("wait") as clock:
        assert_type(clock, okazja.timer)


def looking() -> None:
    assert_type(okazja.cpu_count(), int)
    assert_type(okazja.tree(), Tree)
    assert_type(okazja.compare(length, ["a", "word"], budget=5.0), Comparison)


def catching(call: Callable[[], object]) -> None:
    """Errors are caught as okazja's own or as what they are by kind."""
    try:
        call()
    except okazja.WorkerDied as error:
        assert_type(error, okazja.WorkerDied)


def kinds_of_errors() -> tuple[type[ValueError], type[RuntimeError], type[concurrent.futures.BrokenExecutor]]:
    return okazja.BadInput, okazja.ExecutorShutdown, okazja.ExecutorBroken


def own_errors() -> list[type[okazja.OkazjaError]]:
    return [okazja.BadInput, okazja.NotPicklable, okazja.WorkerDied]


def primitives(executor: okazja.Executor) -> None:
    lock: Lock = executor.Lock(on_owner_death="raise")
    if lock.acquire(timeout=1):
        lock.release()
    with lock, executor.RLock(), executor.Semaphore(2), executor.Condition(lock):
        assert_type(lock.locked(), bool)
    queue: Queue = executor.Queue(maxsize=3)
    queue.put("item")
    assert_type(queue.qsize(), int)
    here, there = executor.Pipe()
    assert_type(here, Connection)
    assert_type(there.closed, bool)
    assert_type(executor.Barrier(2).parties, int)
    assert_type(executor.Event().is_set(), bool)
    value: Value = executor.Value("i", 3, lock=lock)
    value.value += 1
    array: Array = executor.Array("d", [1, 2, 3], lock=False)
    assert_type(array.view(), memoryview)


async def awaited_primitives(executor: okazja.Executor) -> None:
    lock, queue, event = executor.Lock(), executor.Queue(), executor.Event()
    if await lock.acquire(timeout=1):
        lock.release()
    async with lock, executor.Condition() as _:
        await event.wait()
    await queue.put("item")
    item = await queue.get()
    assert item
    await queue.join()
    await executor.Barrier(1).wait()


def primitives_that_make_no_sense(executor: okazja.Executor) -> None:
    executor.Lock(on_owner_death="ignore")  # type: ignore[arg-type]
    executor.Semaphore("two")  # type: ignore[arg-type]
    executor.Condition(executor.Semaphore())  # type: ignore[arg-type]
