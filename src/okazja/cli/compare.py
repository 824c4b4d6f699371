"""``okazja compare``: which way to run a function is fastest."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from okazja.cli.items import OVER, WORKERS
from okazja.cli.run import BACKENDS
from okazja.cli.target import load_target
from okazja.errors import BadInput, OkazjaError
from okazja.measure.compare import WAYS
from okazja.measure.compare import compare as measure
from okazja.measure.comparison import HEADINGS, Comparison

__all__ = ["compare", "measured", "show"]


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What to measure, in which ways, and for how long."""

    target: str
    over: range | None
    backends: str
    workers: tuple[int, ...] | None
    budget: float


@click.command(short_help="Measure which way to run a function is fastest.")
@click.argument("target")
@click.option("--over", type=OVER, help="The items: numbers from A to B, both included. Example: 1..1000")
@click.option("--backends", default=",".join(WAYS), show_default=True, help="The ways, with commas.")
@click.option(
    "--workers",
    type=WORKERS,
    help="Numbers of workers, such as 1,2,4. Default: 1, 2, one a CPU, and twice as many.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="About how many seconds to measure for.",
)
def compare(**options: Any) -> int:
    """Measure TARGET serially, on threads and on processes, and say which way is fastest.

    \b
    okazja compare path/file.py:function --over 1..1000
    okazja compare sieve:list --over 1..30000 --workers 1,2,4

    A sample of the items is measured, spread evenly over them, and the ways take turns. The results are
    compared too: the exit status is 1 if a way fails or gives others than serial.
    """  # noqa: D301  (\b keeps click from wrapping the lines)
    parsed = CompareOptions(**options)
    target = load_target(parsed.target)
    items = parsed.over if parsed.over is not None else target.items
    if items is None:
        raise BadInput(f"over which items? Say for instance: okazja compare {parsed.target} --over 1..1000")
    backends = _backends(parsed.backends)
    try:
        comparison = measured(target.function, items, backends, parsed.workers, parsed.budget)
    except OkazjaError:
        raise
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-1:])
        what = "".join(traceback.format_exception_only(error)).rstrip()
        raise OkazjaError(f"{target.name} fails, so there is nothing to compare:\n{where}{what}") from error
    show(comparison)
    return 1 if comparison.errors else 0


def _backends(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in BACKENDS:
            raise BadInput(f"no backend is named {name!r}: choose from {','.join(BACKENDS)}")
    return names


def measured(
    function: Any, items: range, backends: tuple[str, ...], workers: tuple[int, ...] | None, budget: float
) -> Comparison:
    """Measure, with a line on a terminal that says what is done now."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return measure(function, items, backends=backends, workers=workers, budget=budget)

    def step(text: str) -> None:
        # Drawn between measurements and not while one runs: an animation would take time from them.
        console.print(f"measuring: {text}", end="\x1b[K\r", markup=False, highlight=False)

    try:
        return measure(function, items, backends=backends, workers=workers, budget=budget, on_progress=step)
    finally:
        console.print("", end="\x1b[K\r")


def show(comparison: Comparison) -> None:
    """Print the table, the errors and the recommendation."""
    console = Console()
    if not console.is_terminal:
        click.echo(str(comparison))
        return
    # No frame: with one space between columns the table fits into 80 characters.
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="underline")
    console.print(comparison.title(), style="bold", markup=False, highlight=False)
    for number, heading in enumerate(HEADINGS):
        heading = heading.replace("-up", "-\nup").replace(" ", "\n")
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in comparison.rows:
        style = "red" if row.error else "bold green" if row is comparison.best else ""
        table.add_row(*row.cells(), style=style)
    console.print(table)
    for error in comparison.errors:
        console.print(f"error: {error}", style="red", markup=False)
    if comparison.doubt:
        console.print(f"note: {comparison.doubt}", style="yellow", markup=False, highlight=False)
    console.print(f"Recommended: {comparison.recommendation}", style="bold", markup=False, highlight=False)
