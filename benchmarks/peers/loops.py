"""Ways to run coroutines: okazja's backend, and asyncio by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

import okazja
from benchmarks.peers.pool import Peer, Pool, Wait, executor, no_submit

__all__ = ["LOOPS"]


@contextmanager
def loop_in_a_thread(_: int) -> Iterator[Pool]:
    """An event loop in a thread, to which coroutines are handed one by one."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()

    def submit(fn: Callable[..., Any], *args: Any) -> Wait:
        return asyncio.run_coroutine_threadsafe(fn(*args), loop).result

    def results(fn: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return [wait() for wait in [submit(fn, item) for item in items]]

    try:
        yield Pool(submit, results)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def by_hand(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Callable[[int], Any]:
    """``asyncio.gather`` with a semaphore, in the main thread."""

    @contextmanager
    def open_runner(workers: int) -> Iterator[Pool]:
        async def all_of(fn: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
            room = asyncio.Semaphore(workers)

            async def one(item: Any) -> Any:
                async with room:
                    return await fn(item)

            return await asyncio.gather(*(one(item) for item in items))

        with asyncio.Runner(loop_factory=new_loop) as runner:
            yield Pool(no_submit, lambda fn, items: runner.run(all_of(fn, items)))

    return open_runner


def uvloop_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


LOOPS = (
    Peer("okazja, asyncio", executor(lambda workers: okazja.Executor("asyncio", workers))),
    Peer("run_coroutine_threadsafe", loop_in_a_thread),
    Peer("asyncio", by_hand(asyncio.new_event_loop)),
    Peer("asyncio with uvloop", by_hand(uvloop_loop), package="uvloop"),
)
