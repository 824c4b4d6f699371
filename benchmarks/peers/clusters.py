"""Schedulers of clusters, which also run on one machine: one scheduler, and worker processes of one thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from benchmarks.peers.pool import Peer, Pool, Wait

__all__ = ["CLUSTERS"]

ROUNDS = 2  # each takes seconds to start


@contextmanager
def ray(workers: int) -> Iterator[Pool]:
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    remote: Callable[[Callable[..., Any]], Any] = cache(ray.remote)

    def submit(fn: Callable[..., Any], *args: Any) -> Wait:
        reference = remote(fn).remote(*args)
        return lambda: ray.get(reference)

    try:
        yield Pool(submit, lambda fn, items: ray.get([remote(fn).remote(item) for item in items]))
    finally:
        ray.shutdown()


@contextmanager
def dask(workers: int) -> Iterator[Pool]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        # Not pure: a call that was made before is made again, not looked up.
        yield Pool(
            lambda fn, *args: client.submit(fn, *args, pure=False).result,
            lambda fn, items: client.gather(client.map(fn, items, pure=False)),
        )


CLUSTERS = (
    Peer("Ray", ray, "ray", ROUNDS),
    Peer("Dask", dask, "distributed", ROUNDS),
)
