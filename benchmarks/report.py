"""Figures of a run, as tables and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import okazja
from benchmarks.peers import PEERS
from benchmarks.rows import Row

__all__ = ["Table", "machine"]


@dataclass(frozen=True)
class Table:
    """The figures of one row: for each peer one a round, None where it failed; and why it failed."""

    row: Row
    size: int
    figures: dict[str, list[float | None]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def medians(self) -> dict[str, float]:
        """For the peers that have any figure."""
        good = {name: [f for f in rounds if f is not None] for name, rounds in self.figures.items()}
        return {name: median(figures) for name, figures in good.items() if figures}

    def ratio(self, peer: str) -> float | None:
        """The median over the rounds of the peer's figure to okazja's of the same round."""
        ours, theirs = self.figures.get(self.row.peers[0], []), self.figures.get(peer, [])
        ratios = [b / a for a, b in zip(ours, theirs, strict=False) if a and b is not None]
        return median(ratios) if ratios else None

    def verdict(self) -> str:
        """Whether the goal was reached."""
        if self.size != self.row.size:
            return "not judged at another size"
        try:
            return "reached" if self.row.reached(self.medians()) else "MISSED"
        except KeyError as missing:
            return f"not judged without {missing.args[0]}"

    def lines(self) -> Iterator[str]:
        """The table as text."""
        row = self.row
        yield f"{row.name}: {row.title}"
        yield f"  {row.unit}, {row.better} is better; goal: {row.goal}: {self.verdict()}"
        width = max(map(len, self.figures), default=0)
        for peer, value in sorted(
            self.medians().items(), key=lambda pair: pair[1], reverse=row.better == "more"
        ):
            figures = [figure for figure in self.figures[peer] if figure is not None]
            ratio = self.ratio(peer)
            times = f"× {ratio:.2f}" if ratio is not None else ""
            spread = f"{min(figures):.4g} … {max(figures):.4g}"
            yield f"  {peer:<{width}}  {value:>9.4g}  {times:>9}   ({spread})"
        for peer, why in self.failures.items():
            yield f"  {peer:<{width}}  failed: {why}"

    def as_json(self) -> dict[str, Any]:
        """The row with all of its figures."""
        row = self.row
        return {
            "row": row.name,
            "title": row.title,
            "unit": row.unit,
            "better": row.better,
            "size": self.size,
            "goal": row.goal,
            "verdict": self.verdict(),
            "medians": self.medians(),
            "ratios": {peer: self.ratio(peer) for peer in self.figures},
            "figures": self.figures,
            "failures": self.failures,
        }


def machine(peers: Sequence[str]) -> dict[str, Any]:
    """What the figures depend on: versions, CPUs, and how busy the machine was before."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": okazja.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": {peer: PEERS[peer].version for peer in peers},
    }
