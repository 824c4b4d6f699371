"""Writes the figures of a run into a page of the documentation, between its two markers, and the chart beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.machine import Machine
from benchmarks.table import Cell, Table

__all__ = ["BEGIN", "END", "can_draw", "generated", "put_between", "write"]

BEGIN = "<!-- figures: written by `python -m benchmarks --write`; what is between the markers is replaced -->"
END = "<!-- end of figures -->"


def can_draw() -> bool:
    """Whether the library that draws is installed."""
    return find_spec("matplotlib") is not None


def write(page: Path, machine: Machine, tables: Sequence[Table]) -> None:
    """Replace the generated part of the page, and the chart, which has its name and the suffix .svg."""
    from benchmarks.chart import draw

    chart = page.with_suffix(".svg")
    figures = "\n".join(generated(machine, tables, chart.name))
    page.write_text(put_between(page.read_text("utf-8"), figures), "utf-8")
    draw(tables, chart)


def put_between(text: str, figures: str) -> str:
    """The text with what is between the markers replaced. Raises ValueError where a marker is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has lost a marker: it needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"


def generated(machine: Machine, tables: Sequence[Table], chart: str) -> Iterator[str]:
    """The lines between the markers. chart: the name of its file."""
    yield "### The machine"
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in machine.lines():
        yield f"| {name} | {value} |"
    yield ""
    yield f"![One panel a row: bars of okazja and its peers]({chart})"
    yield ""
    yield "### In short"
    yield ""
    yield "| row | goal | okazja | |"
    yield "|---|---|---|---|"
    for table in tables:
        yield f"| [{table.row.name}](#{table.row.name}) | {table.row.goal} | {ours(table)} | {table.verdict()} |"
    for table in tables:
        yield ""
        yield from section(table)


def ours(table: Table) -> str:
    """The medians of okazja, over all points."""
    figures = [cell.median for cell in table.cells if cell.peer == table.row.peers[0]]
    return " · ".join(shown(figure) for figure in figures) + f" {table.row.unit}"


def section(table: Table) -> Iterator[str]:
    row = table.row
    yield f"### {row.name}"
    yield ""
    yield f"{row.title[0].upper()}{row.title[1:]}; {row.unit}, {row.better} is better."
    if table.smaller():
        yield f"Measured {table.smaller()}."
    yield ""
    if len(table.points) == 1:
        yield from one_point(table)
    else:
        yield from several_points(table)
    for cell in table.cells:
        if cell.failures:
            yield ""
            yield f"{cell.peer} {cell.point.name}".strip() + f" gave no figure: {cell.failures[0]}."


def one_point(table: Table) -> Iterator[str]:
    yield "| | median | × okazja | all rounds |"
    yield "|---|--:|--:|--:|"
    for cell in table.ranked(table.points[0]):
        spread = f"{shown(min(cell.good))} … {shown(max(cell.good))}"
        yield f"| {name_of(table, cell.peer)} | {shown(cell.median)} | {shown(table.ratio(cell))} | {spread} |"


def several_points(table: Table) -> Iterator[str]:
    """A peer a line, a point a column: the median, and the ratio to okazja's."""
    yield "| | " + " | ".join(point.name for point in table.points) + " |"
    yield "|---|" + "--:|" * len(table.points)
    for peer in table.peers:
        cells = [table.cell(peer, point.name) for point in table.points]
        texts = [with_ratio(table, cell) if cell is not None else "left out" for cell in cells]
        yield f"| {name_of(table, peer)} | " + " | ".join(texts) + " |"


def with_ratio(table: Table, cell: Cell) -> str:
    ratio = table.ratio(cell)
    if ratio is None or cell.peer == table.row.peers[0]:
        return shown(cell.median)
    return f"{shown(cell.median)} (×\N{NO-BREAK SPACE}{shown(ratio)})"


def name_of(table: Table, peer: str) -> str:
    return f"**{peer}**" if peer == table.row.peers[0] else peer


def shown(figure: float | None) -> str:
    """Three significant digits."""
    if figure is None:
        return "–"
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"
