"""What a row of the table is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.peers import Peer

__all__ = ["CLUSTERS", "PROCESS_POOLS", "Median", "Point", "Row"]

# The median of a peer, at a point (none: the row's only one). Raises LookupError where there is no figure.
Median = Callable[..., float]

PROCESS_POOLS = ("ProcessPoolExecutor", "Pool", "loky", "pebble", "mpire")
CLUSTERS = ("Ray", "Dask")


@dataclass(frozen=True)
class Point:
    """One thing that is measured: a function of an open-able peer and a size, which gives a figure.

    name: "" where the row has no other point. size: how many tasks, items, bytes or workers.
    scaled: whether ``--scale`` multiplies it. needs: a package without which there is nothing to measure.
    without: peers that would take minutes or gigabytes here, and are left out.
    """

    name: str
    size: int
    measure: Callable[[Peer, int], float]
    scaled: bool = True
    needs: str | None = None
    without: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Row:
    """One line of the table of goals.

    peers: names; the first is okazja's, which the others are compared with. goal: in words, and whether
    medians reach it. smaller: peers whose size is divided, as they would take minutes; figures are for each
    task, so they stay comparable. rounds: how often it is measured, by default. patience: seconds for one
    figure. on_request: measured only where it is named.
    """

    name: str
    title: str
    unit: str
    better: Literal["less", "more"]
    points: tuple[Point, ...]
    peers: tuple[str, ...]
    goal: str
    reached: Callable[[Median], bool]
    smaller: Mapping[str, int] = field(default_factory=dict)
    rounds: int = 5
    patience: int = 120
    on_request: bool = False
