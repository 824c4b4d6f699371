"""okazja, the standard library, and the limits of the machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from tempfile import TemporaryDirectory
from typing import Any

import okazja
from benchmarks.peers.pool import Open, Peer, Pool, Wait, executor, no_submit

__all__ = ["LIMITS", "OKAZJA", "STANDARD"]


def fork_pool(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"))


def multiprocessing_pool(lazy: bool) -> Open:
    """``multiprocessing.Pool``; its ``map`` holds all results at once, its ``imap`` does not."""

    @contextmanager
    def open_pool(workers: int) -> Iterator[Pool]:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            yield Pool(lambda fn, *args: pool.apply_async(fn, args).get, pool.imap if lazy else pool.map)

    return open_pool


def stream(journaled: bool) -> Open:
    """The ``stream`` of okazja where others have ``map``: an outcome for every item, as they come.

    journaled: each is on disk, in a file of its own for every map, before the last has come.
    """

    @contextmanager
    def open_stream(workers: int) -> Iterator[Pool]:
        with TemporaryDirectory() as folder, okazja.Executor("processes", workers) as pool:
            numbers = count()

            def values(fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
                path = f"{folder}/{next(numbers)}.db" if journaled else None
                return (outcome.value for outcome in pool.stream(fn, items, journal=path))

            yield Pool(no_submit, values)

    return open_stream


@contextmanager
def bare_pipe(_: int) -> Iterator[Pool]:
    """A pipe to one process, and a pipe back."""
    context = multiprocessing.get_context("fork")
    calls, send_calls = context.Pipe(duplex=False)
    replies, send_replies = context.Pipe(duplex=False)
    process = context.Process(target=answer, args=(calls, send_replies), daemon=True)
    process.start()

    def submit(*_: object) -> Wait:
        send_calls.send_bytes(b"x" * 32)
        return replies.recv_bytes

    yield Pool(submit, map)
    send_calls.send_bytes(b"")
    process.join()


@contextmanager
def bare_processes(workers: int) -> Iterator[Pool]:
    """Each worker has every so-manieth item from the start, and says nothing in between.

    What is lost to the ideal here is lost by the machine: to caches, memory and threads that cores share.
    """
    with multiprocessing.get_context("fork").Pool(workers) as pool:

        def shares(fn: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
            results: list[Any] = [None] * len(items)
            mine = [(fn, items[first::workers]) for first in range(workers)]
            for first, values in enumerate(pool.starmap(share, mine, chunksize=1)):
                results[first::workers] = values
            return results

        yield Pool(no_submit, shares)


def share(fn: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [fn(item) for item in items]


def answer(calls: Connection, send_replies: Connection) -> None:
    while message := calls.recv_bytes():
        send_replies.send_bytes(message)


OKAZJA = (
    Peer("okazja", executor(lambda workers: okazja.Executor("processes", workers))),
    Peer("okazja, fork", executor(lambda workers: okazja.Executor("processes", workers, mp_context="fork"))),
    Peer("okazja, stream", stream(journaled=False)),
    Peer("okazja, stream, journal", stream(journaled=True)),
    Peer("okazja, threads", executor(lambda workers: okazja.Executor("threads", workers))),
)

STANDARD = (
    Peer("ThreadPoolExecutor", executor(ThreadPoolExecutor)),
    Peer("ProcessPoolExecutor", executor(fork_pool)),
    Peer("ProcessPoolExecutor, chunksize=64", executor(fork_pool, chunksize=64)),
    Peer("Pool", multiprocessing_pool(lazy=False)),
    Peer("Pool.imap", multiprocessing_pool(lazy=True)),
)

LIMITS = (Peer("bare pipe", bare_pipe), Peer("bare processes", bare_processes))
