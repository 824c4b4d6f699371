"""One measurement, in a process that does nothing else: ``python -m benchmarks.cell ROW POINT PEER SIZE``."""

from __future__ import annotations

import sys

from benchmarks.peers import PEERS
from benchmarks.rows import ROWS


def main(row_name: str, point_name: str, peer_name: str, size: str) -> None:
    row = next(row for row in ROWS if row.name == row_name)
    point = next(point for point in row.points if point.name == point_name)
    print(point.measure(PEERS[peer_name], int(size)))


if __name__ == "__main__":
    main(*sys.argv[1:])
