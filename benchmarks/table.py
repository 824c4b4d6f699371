"""The figures of one row, what follows from them, and how they look on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.rows import Point, Row

__all__ = ["Cell", "Table"]


@dataclass(frozen=True)
class Cell:
    """A peer at a point: its figures, one a round; None where it failed, and then why."""

    row: Row
    point: Point
    peer: str
    size: int
    figures: list[float | None] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def good(self) -> list[float]:
        """The figures that there are."""
        return [figure for figure in self.figures if figure is not None]

    @property
    def median(self) -> float | None:
        """None where there is no figure."""
        return median(self.good) if self.good else None


@dataclass(frozen=True)
class Table:
    """One row with the cells that can be measured here."""

    row: Row
    cells: tuple[Cell, ...]
    scale: float = 1

    @classmethod
    def of(cls, row: Row, peers: list[str], packages: set[str], scale: float) -> Table:
        """The cells of these peers; points that need a package which is not among ``packages`` are left out."""
        cells = [
            Cell(row, point, peer, size_of(row, point, peer, scale))
            for point in row.points
            if point.needs is None or point.needs in packages
            for peer in row.peers
            if peer in peers and peer not in point.without
        ]
        return cls(row, tuple(cells), scale)

    @property
    def points(self) -> list[Point]:
        """Those with cells."""
        return list(dict.fromkeys(cell.point for cell in self.cells))

    @property
    def peers(self) -> list[str]:
        """Those with cells, okazja's first."""
        return list(dict.fromkeys(cell.peer for cell in self.cells))

    def cell(self, peer: str, point: str = "") -> Cell | None:
        """The cell of a peer at a point."""
        return next((cell for cell in self.cells if cell.peer == peer and cell.point.name == point), None)

    def median(self, peer: str, point: str = "") -> float:
        """Raises LookupError where there is no figure."""
        cell = self.cell(peer, point)
        if cell is None or cell.median is None:
            raise LookupError(f"{peer} {point}".strip())
        return cell.median

    def ratio(self, cell: Cell) -> float | None:
        """The median over the rounds of the peer's figure to okazja's of the same round and point."""
        ours = self.cell(self.row.peers[0], cell.point.name)
        if ours is None:
            return None
        rounds = zip(ours.figures, cell.figures, strict=False)
        ratios = [theirs / mine for mine, theirs in rounds if mine and theirs is not None]
        return median(ratios) if ratios else None

    def verdict(self) -> str:
        """Whether the goal was reached."""
        if self.scale != 1:
            return "not judged at another size"
        try:
            return "reached" if self.row.reached(self.median) else "MISSED"
        except LookupError as missing:
            return f"not judged without {missing.args[0]}"

    def smaller(self) -> str:
        """Which peers had less to do, as a sentence; "" if none."""
        parts = [f"{peer} 1/{part}" for peer, part in self.row.smaller.items() if peer in self.peers]
        return f"with a part of the size, so that it does not take minutes: {', '.join(parts)}" * bool(parts)

    def ranked(self, point: Point) -> list[Cell]:
        """The cells of a point that have a figure, best first."""
        have = [cell for cell in self.cells if cell.point is point and cell.median is not None]
        return sorted(have, key=lambda cell: cell.median or 0.0, reverse=self.row.better == "more")

    def lines(self) -> Iterator[str]:
        """The table as text."""
        row = self.row
        yield f"{row.name}: {row.title}"
        yield f"  {row.unit}, {row.better} is better; goal: {row.goal}: {self.verdict()}"
        if self.smaller():
            yield f"  {self.smaller()}"
        width = max(map(len, self.peers), default=0)
        for point in self.points:
            if point.name:
                yield f"  {point.name}:"
            for cell in self.ranked(point):
                ratio = self.ratio(cell)
                times = f"× {ratio:.2f}" if ratio is not None else ""
                spread = f"{min(cell.good):.4g} … {max(cell.good):.4g}"
                yield f"  {cell.peer:<{width}}  {cell.median:>9.4g}  {times:>9}   ({spread})"
            for cell in self.cells:
                if cell.point is point and cell.failures:
                    yield f"  {cell.peer:<{width}}  failed: {cell.failures[0]}"

    def as_json(self) -> dict[str, Any]:
        """The row with all of its figures."""
        row = self.row
        return {
            "row": row.name,
            "title": row.title,
            "unit": row.unit,
            "better": row.better,
            "goal": row.goal,
            "verdict": self.verdict(),
            "cells": [
                {
                    "peer": cell.peer,
                    "point": cell.point.name,
                    "size": cell.size,
                    "median": cell.median,
                    "ratio": self.ratio(cell),
                    "figures": cell.figures,
                    "failures": cell.failures,
                }
                for cell in self.cells
            ],
        }

    @classmethod
    def from_json(cls, figures: dict[str, Any], rows: Mapping[str, Row]) -> Table:
        """What `as_json` gave. Raises KeyError for a row or a point that is no longer measured."""
        row = rows[figures["row"]]
        points = {point.name: point for point in row.points}
        cells = [
            Cell(row, points[cell["point"]], cell["peer"], cell["size"], cell["figures"], cell["failures"])
            for cell in figures["cells"]
        ]
        return cls(row, tuple(cells))


def size_of(row: Row, point: Point, peer: str, scale: float) -> int:
    scaled = point.size * scale if point.scaled else point.size
    return max(int(scaled / row.smaller.get(peer, 1)), 1)
