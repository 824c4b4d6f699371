"""``okazja export``: what a journal holds, as a file for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from okazja.cli.output import FileOutput
from okazja.cli.rows import JsonRows
from okazja.cli.terminal import say

__all__ = ["export"]

COLUMNS = ("item", "value", "error", "attempts", "seconds")
STDOUT = 1  # its descriptor


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Which outcomes of which journal, and where to."""

    journal: Path
    out: Path
    failed: bool
    unpickle: bool


@dataclass(slots=True)
class Exported:
    """What is counted on the way."""

    rows: int = 0
    pickled: int = 0


@click.command(short_help="Write what a journal holds to a file.")
@click.argument("journal", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help="A .csv, .jsonl or .parquet file, written whole or not at all; or - for JSON lines on standard output.",
)
@click.option("--failed", is_flag=True, help="Only items that have failed.")
@click.option("--unpickle", is_flag=True, help="Bring back what was pickled; that can run any code.")
def export(**options: Any) -> int:
    """Write the outcomes in JOURNAL, in the order of the input: item, value, error, attempts and seconds.

    Also while it is written: then those that are there now. Nothing is unpickled, unless --unpickle says so.
    """
    parsed = ExportOptions(**options)
    done = Exported()
    if parsed.out == Path("-"):
        with open(STDOUT, "wb", closefd=False) as file:
            rows = JsonRows(file, COLUMNS)
            for row in _rows(parsed, done):
                rows.add(row)
            rows.end()
    else:
        with FileOutput(parsed.out, COLUMNS) as output:
            for row in _rows(parsed, done):
                output.write(*row)
        say(f"{done.rows:,} outcomes in {parsed.out}")
    if done.pickled:
        say(
            f"okazja: {done.pickled:,} items or values are pickled and only named there: --unpickle brings them back, "
            f"which can run any code, so only for a journal that you trust"
        )
    return 0


def _rows(options: ExportOptions, done: Exported) -> Iterator[tuple[Any, ...]]:
    from okazja.journal import Journal, Pickled

    def shown(value: Any) -> Any:
        if not isinstance(value, Pickled):
            return value
        done.pickled += 1
        return f"<{len(value.blob):,} bytes, pickled>"

    with Journal(options.journal, unpickle=options.unpickle) as journal:
        for entry in journal:
            if options.failed and entry.ok:
                continue
            done.rows += 1
            error = "" if entry.ok else f"{str(entry.error_type).rpartition('.')[2]}: {entry.error}"
            yield shown(entry.item), shown(entry.value), error, entry.attempts, entry.seconds
