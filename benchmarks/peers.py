"""The pools that are compared, behind one face: open, submit, map.

Every peer is used with its defaults, as its documentation shows it, but for what its name says.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from platform import python_version
from typing import Any

import okazja

__all__ = ["PEERS", "Peer", "Pool"]

Wait = Callable[[], Any]  # waits for a result and returns it


@dataclass(frozen=True)
class Pool:
    """An open pool: how a call is submitted, and how a map is consumed."""

    submit: Callable[..., Wait]
    map: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Peer:
    """A way to run things.

    open: gives a context manager that opens a pool with that many workers.
    package: the distribution that it needs; None for the standard library and for okazja itself.
    """

    name: str
    open: Callable[[int], AbstractContextManager[Pool]]
    package: str | None = None

    @property
    def version(self) -> str | None:
        """The version of what is measured, None where it is not installed."""
        if self.package is None:
            return okazja.__version__ if self.name.startswith("okazja") else python_version()
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None


def executor(
    make: Callable[[int], Executor], **map_options: Any
) -> Callable[[int], AbstractContextManager[Pool]]:
    """Whatever has the interface of concurrent.futures."""

    @contextmanager
    def open_executor(workers: int) -> Iterator[Pool]:
        with make(workers) as pool:
            yield Pool(
                lambda fn, *args: pool.submit(fn, *args).result,
                lambda fn, items: pool.map(fn, items, **map_options),
            )

    return open_executor


def multiprocessing_pool(lazy: bool) -> Callable[[int], AbstractContextManager[Pool]]:
    """``multiprocessing.Pool``; its ``map`` holds all results at once, its ``imap`` does not."""

    @contextmanager
    def open_pool(workers: int) -> Iterator[Pool]:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            yield Pool(lambda fn, *args: pool.apply_async(fn, args).get, pool.imap if lazy else pool.map)

    return open_pool


def loky(workers: int) -> Executor:
    from loky import ProcessPoolExecutor as LokyExecutor

    pool: Executor = LokyExecutor(workers)
    return pool


@contextmanager
def joblib(workers: int) -> Iterator[Pool]:
    from joblib import Parallel, delayed

    def submit(fn: Callable[..., Any], *args: Any) -> Wait:
        raise NotImplementedError("joblib has no submit")

    with Parallel(n_jobs=workers, return_as="generator") as parallel:
        yield Pool(submit, lambda fn, items: parallel(delayed(fn)(item) for item in items))


@contextmanager
def pebble(workers: int) -> Iterator[Pool]:
    from pebble import ProcessPool

    with ProcessPool(workers) as pool:
        yield Pool(
            lambda fn, *args: pool.schedule(fn, args=args).result,
            lambda fn, items: pool.map(fn, items).result(),
        )


@contextmanager
def bare_pipe(_: int) -> Iterator[Pool]:
    """The limit of the machine: a pipe to one process, and a pipe back."""
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


def answer(calls: Connection, send_replies: Connection) -> None:
    while message := calls.recv_bytes():
        send_replies.send_bytes(message)


def fork_pool(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"))


ALL = (
    Peer("okazja", executor(lambda workers: okazja.Executor("processes", workers))),
    Peer("okazja, fork", executor(lambda workers: okazja.Executor("processes", workers, mp_context="fork"))),
    Peer("okazja, threads", executor(lambda workers: okazja.Executor("threads", workers))),
    Peer("ThreadPoolExecutor", executor(ThreadPoolExecutor)),
    Peer("ProcessPoolExecutor", executor(fork_pool)),
    Peer("ProcessPoolExecutor, chunksize=64", executor(fork_pool, chunksize=64)),
    Peer("Pool", multiprocessing_pool(lazy=False)),
    Peer("Pool.imap", multiprocessing_pool(lazy=True)),
    Peer("loky", executor(loky), "loky"),
    Peer("joblib", joblib, "joblib"),
    Peer("pebble", pebble, "pebble"),
    Peer("bare pipe", bare_pipe),
)

PEERS = {peer.name: peer for peer in ALL}
