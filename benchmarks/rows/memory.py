"""Memory that a long map takes."""

from __future__ import annotations

from benchmarks.peers import Peer
from benchmarks.processes import peak_memory
from benchmarks.rows.row import Point, Row
from benchmarks.tasks import tiny

__all__ = ["MAP_MEMORY"]


def map_memory(peer: Peer, size: int) -> float:
    """Megabytes that a map whose results are not kept adds to the peak of the parent."""
    with peer.open(2) as pool:
        list(pool.map(tiny, range(200)))
        before = peak_memory()
        assert sum(pool.map(tiny, range(size))) == size * (size - 1) // 2
        return peak_memory() - before


MAP_MEMORY = Row(
    "map-memory",
    "memory that map over tiny items adds to the parent's peak",
    "MB",
    "less",
    (
        Point("1,000,000 items", 1_000_000, map_memory),
        Point(
            "10,000,000 items",
            10_000_000,
            map_memory,
            without=frozenset({"Pool.imap", "joblib", "ThreadPoolExecutor"}),
        ),
    ),
    ("okazja", "Pool.imap", "joblib", "ProcessPoolExecutor, chunksize=64", "ThreadPoolExecutor"),
    "at most 10 MB, also for ten times the items",
    lambda median: median("okazja", "1,000,000 items") <= 10 and median("okazja", "10,000,000 items") <= 10,
    rounds=3,
)
