"""Pools of other packages, on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from benchmarks.peers.pool import Peer, Pool, executor, no_submit

__all__ = ["PACKAGES"]


def loky(workers: int) -> Executor:
    from loky import ProcessPoolExecutor as LokyExecutor

    pool: Executor = LokyExecutor(workers)
    return pool


@contextmanager
def joblib(workers: int) -> Iterator[Pool]:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=workers, return_as="generator") as parallel:
        yield Pool(no_submit, lambda fn, items: parallel(delayed(fn)(item) for item in items))


@contextmanager
def pebble(workers: int) -> Iterator[Pool]:
    from pebble import ProcessPool

    with ProcessPool(workers) as pool:
        yield Pool(
            lambda fn, *args: pool.schedule(fn, args=args).result,
            lambda fn, items: pool.map(fn, items).result(),
        )


@contextmanager
def mpire(workers: int) -> Iterator[Pool]:
    from mpire import WorkerPool
    from mpire.utils import make_single_arguments

    with WorkerPool(n_jobs=workers) as pool:
        yield Pool(
            lambda fn, *args: pool.apply_async(fn, args).get,
            # Unless told otherwise, it spreads an item over the arguments of the function, and joins arrays to one.
            lambda fn, items: pool.map(
                fn,
                items if isinstance(items, range) else make_single_arguments(items, generator=False),
                concatenate_numpy_output=False,
            ),
        )


PACKAGES = (
    Peer("loky", executor(loky), "loky"),
    Peer("joblib", joblib, "joblib"),
    Peer("pebble", pebble, "pebble"),
    Peer("mpire", mpire, "mpire"),
)
