"""The chart: one panel a row of the table, okazja highlighted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.page import shown
from benchmarks.rows import Row
from benchmarks.table import Table

__all__ = ["draw"]

COLUMNS = 2
WIDTH = 12.0  # inches of the whole
BAR = 0.3  # inches a bar
FRAME = 1.05  # inches that a panel's title and axis take
LOGARITHMIC_FROM = 15  # times the shortest bar is the longest one

# A card of its own, so that a page may be light or dark. Hues are told apart by the colour-blind, too.
CARD, INK, PALE, GRID = "#fbfaf7", "#26262b", "#6b6b75", "#dcdad3"
OURS = "#d1495b"
LIMIT = "#26262b"
OTHERS = "#a9b4c2"
SERIES = ("#2e6f95", "#e0a030", "#5b8c5a", "#8367a8", "#7d8597", "#3fa7a0", "#b07d62", "#9aa33b", "#c77dac")


def draw(tables: Sequence[Table], file: Path) -> None:
    """Write the chart; the suffix of the file says in which format."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    style = {
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": PALE,
        "axes.edgecolor": GRID,
        "xtick.color": PALE,
        "ytick.color": INK,
        "svg.hashsalt": "okazja",  # the same figures give the same file
    }
    filled = [table for table in tables if any(cell.good for cell in table.cells)]
    with mpl.rc_context(style):
        lines = [filled[n : n + COLUMNS] for n in range(0, len(filled), COLUMNS)]
        heights = [max(height(table) for table in line) for line in lines]
        figure, grid = plt.subplots(
            len(lines),
            COLUMNS,
            figsize=(WIDTH, sum(heights)),
            height_ratios=heights,
            squeeze=False,
            layout="constrained",
            facecolor=CARD,
        )
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.14)
        for axes, table in zip(grid.flat, filled, strict=False):
            panel(axes, table)
        for axes in list(grid.flat)[len(filled) :]:
            axes.remove()
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
        plt.close(figure)


def height(table: Table) -> float:
    """Inches that a panel takes."""
    points = table.points
    return FRAME + BAR * (len(table.ranked(points[0])) if len(points) == 1 else 8)


def panel(axes: Any, table: Table) -> None:
    row = table.row
    axes.set_facecolor(CARD)
    axes.set_title(folded(f"{row.name}: {row.title}"), loc="left", fontsize=9.5, fontweight="bold")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    if len(table.points) == 1:
        bars(axes, table)
    else:
        groups(axes, table)


def bars(axes: Any, table: Table) -> None:
    """One point: a bar a peer, the best on top, with its figure."""
    ranked = table.ranked(table.points[0])
    values = [cell.median or 0.0 for cell in ranked]
    names = [cell.peer for cell in ranked]
    drawn = axes.barh(names, values, color=[colour(name) for name in names], height=0.72)
    axes.invert_yaxis()
    axes.bar_label(drawn, [shown(value) for value in values], padding=4)
    for label in axes.get_yticklabels():
        if label.get_text().startswith("okazja"):
            label.set(color=OURS, fontweight="bold")
    if logarithmic(values):
        axes.set_xscale("log")
    axes.margins(x=0.18)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_xlabel(scale_name(table.row, values))


def groups(axes: Any, table: Table) -> None:
    """Several points: a group of bars each, a colour a peer."""
    row, points, peers = table.row, table.points, table.peers
    width = 0.84 / len(peers)
    everything: list[float] = []
    for number, peer in enumerate(peers):
        cells = [table.cell(peer, point.name) for point in points]
        found = [
            (at, cell.median) for at, cell in enumerate(cells) if cell is not None and cell.median is not None
        ]
        everything += [value for _, value in found]
        axes.bar(
            [at + (number - (len(peers) - 1) / 2) * width for at, _ in found],
            [value for _, value in found],
            width * 0.92,
            label=peer,
            color=OURS if peer == row.peers[0] else SERIES[(number - 1) % len(SERIES)],
        )
    axes.set_xticks(range(len(points)), [folded(point.name, 12) for point in points], fontsize=8)
    if logarithmic(everything):
        axes.set_yscale("log")
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_ylabel(scale_name(row, everything))
    axes.legend(frameon=False, fontsize=7.5, ncols=2)
    axes.margins(y=0.35)  # room for the legend


def logarithmic(values: Sequence[float]) -> bool:
    positive = [value for value in values if value > 0]
    return len(positive) == len(values) > 1 and max(positive) > LOGARITHMIC_FROM * min(positive)


def scale_name(row: Row, values: Sequence[float]) -> str:
    return f"{row.unit}, {row.better} is better" + ", logarithmic" * logarithmic(values)


def colour(peer: str) -> str:
    if peer.startswith("okazja"):
        return OURS
    return LIMIT if peer.startswith("bare") else OTHERS


def folded(text: str, width: int = 50) -> str:
    from textwrap import fill

    return fill(text, width)
