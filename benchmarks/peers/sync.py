"""The standard library's locks, queues and values, and something that uses them: processes or threads."""

from __future__ import annotations

import multiprocessing
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

from benchmarks.peers.pool import Peer, Pool, Wait

__all__ = ["SYNC"]

CONTEXT = multiprocessing.get_context("fork")


def in_new_process(fn: Callable[..., Any], *args: Any) -> Wait:
    """A process for each call: these locks and queues can't be passed to one that is there already."""
    result, send_result = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=call, args=(send_result, fn, *args))
    process.start()

    def wait() -> Any:
        value = result.recv()
        process.join()
        return value

    return wait


def call(send_result: Connection, fn: Callable[..., Any], *args: Any) -> None:
    send_result.send(fn(*args))


@contextmanager
def of_multiprocessing(_: int) -> Iterator[Pool]:
    yield Pool(in_new_process, map, CONTEXT)


@contextmanager
def of_manager(_: int) -> Iterator[Pool]:
    """Everything lives in a server process, and each use of it is a message there and back."""
    with CONTEXT.Manager() as manager:
        yield Pool(in_new_process, map, manager)


@contextmanager
def of_threading(workers: int) -> Iterator[Pool]:
    made = SimpleNamespace(
        Lock=threading.Lock, RLock=threading.RLock, Semaphore=threading.Semaphore, Queue=queue.Queue
    )
    with ThreadPoolExecutor(workers) as pool:
        yield Pool(lambda fn, *args: pool.submit(fn, *args).result, map, made)


SYNC = (
    Peer("multiprocessing", of_multiprocessing),
    Peer("Manager", of_manager),
    Peer("threading", of_threading),
)
