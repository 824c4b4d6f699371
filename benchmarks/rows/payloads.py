"""Large values: bytes in and the same bytes out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from benchmarks.peers import Peer
from benchmarks.rows.row import CLUSTERS, PROCESS_POOLS, Median, Point, Row
from benchmarks.tasks import echo

__all__ = ["MAP_ARRAYS", "MAP_PAYLOADS"]

PEERS = ("okazja", *PROCESS_POOLS, "joblib", *CLUSTERS)


def echoed(peer: Peer, size: int, *, count: int, make: Callable[[int, int], Any]) -> float:
    """Gigabytes a second, in and out, of ``count`` values of ``size`` bytes that come back as they are."""
    values = [make(n, size) for n in range(count)]
    with peer.open(2) as pool:
        for back in pool.map(echo, values):  # touches the memory that is used again below
            assert len(back) == len(values[0])
        start = perf_counter()
        lengths = [len(back) for back in pool.map(echo, values)]
        seconds = perf_counter() - start
    assert lengths == [len(value) for value in values]
    return 2 * count * size / seconds / 1e9


def array(number: int, size: int) -> Any:
    import numpy as np

    return np.full(size // 8, number, dtype=np.float64)


def data(number: int, size: int) -> bytes:
    return bytes([number % 256]) * size


def frame(number: int, size: int) -> Any:
    """Columns of floats, whole numbers, times and booleans: 25 bytes a row."""
    import numpy as np
    import pandas as pd

    rows = max(size // 25, 1)
    return pd.DataFrame(
        {
            "x": np.full(rows, float(number)),
            "n": np.arange(rows),
            "when": np.arange(rows).astype("datetime64[s]").astype("datetime64[ns]"),
            "ok": np.zeros(rows, dtype=bool),
        }
    )


def table(number: int, size: int) -> Any:
    """Columns of floats and whole numbers: 16 bytes a row."""
    import numpy as np
    import pyarrow as pa

    rows = max(size // 16, 1)
    return pa.table({"x": np.full(rows, float(number)), "n": np.arange(rows)})


POINTS = (
    Point("1,024 arrays of 64 KiB", 1 << 16, partial(echoed, count=1024, make=array)),
    Point("64 arrays of 1 MB", 1_000_000, partial(echoed, count=64, make=array)),
    Point("16 bytes of 8 MB", 8_000_000, partial(echoed, count=16, make=data)),
    Point("16 pandas frames of 8 MB", 8_000_000, partial(echoed, count=16, make=frame), needs="pandas"),
    Point("16 Arrow tables of 8 MB", 8_000_000, partial(echoed, count=16, make=table), needs="pyarrow"),
)


def faster_than_all(median: Median) -> bool:
    for point in POINTS:
        for peer in PEERS[1:]:
            try:
                other = median(peer, point.name)
            except LookupError:
                continue  # it is not installed
            if median("okazja", point.name) < other:
                return False
    return True


MAP_ARRAYS = Row(
    "map-arrays",
    "map of 16 arrays of 8 MB through an echo",
    "GB/s",
    "more",
    (Point("", 8_000_000, partial(echoed, count=16, make=array)),),
    PEERS,
    "at least 4 GB/s",
    lambda median: median("okazja") >= 4,
)

MAP_PAYLOADS = Row(
    "map-payloads",
    "map of large values through an echo",
    "GB/s",
    "more",
    POINTS,
    PEERS,
    "faster than every peer",
    faster_than_all,
    rounds=3,
)
