"""The command line: rounds of cells, each cell a process of its own, then the tables."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from benchmarks import page
from benchmarks.machine import VALUES, Machine, installed, missing
from benchmarks.peers import PEERS
from benchmarks.processes import adopt_orphans, end_descendants
from benchmarks.rows import ROWS, Row
from benchmarks.table import Cell, Table

__all__ = ["main"]

ROOT = Path(__file__).parent.parent
EVERYTHING = "everything"


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.figures:
        page.write(options.page, *read(options.figures))
        return
    rows = chosen_rows(options.rows)
    peers = peers_of(rows, options.peer)
    machine = Machine.now(peers)
    for name, value in machine.lines():
        print(f"{name}: {value}")
    if absent := missing([peer for row in rows for peer in row.peers]):
        print(f"not installed, so not measured: {', '.join(absent)}")
    needed = {point.needs for row in rows for point in row.points if point.needs is not None}
    packages = set(installed(sorted({*VALUES, *needed})))
    tables = [Table.of(row, peers, packages, options.scale) for row in rows]
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # by way of every `finally`
    measure_all(tables, options.rounds)
    for table in tables:
        print()
        print("\n".join(table.lines()))
    if options.json is not None:
        result = {"machine": machine.as_json(), "rows": [table.as_json() for table in tables]}
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if options.write:
        page.write(options.page, machine, tables)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [row.name for row in ROWS]
    asked = [row.name for row in ROWS if row.on_request]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="okazja side by side with its peers"
    )
    parser.add_argument(
        "rows",
        nargs="*",
        metavar="ROW",
        help=f"of {', '.join(names)}; default: all but {', '.join(asked)}, {EVERYTHING!r}: all",
    )
    parser.add_argument(
        "--peer",
        action="append",
        choices=list(PEERS),
        metavar="PEER",
        help=f"may be repeated: these alone, and okazja; default: all of {', '.join(PEERS)}",
    )
    parser.add_argument(
        "--rounds", type=int, help="how often everything is measured (default: as the row says)"
    )
    parser.add_argument(
        "--scale", type=float, default=1, help="multiplies the sizes; below 1 for a quick try"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument(
        "--figures",
        type=Path,
        action="append",
        metavar="FILE",
        help="measure nothing: --write what --json has written; may be repeated, one row after the other",
    )
    parser.add_argument(
        "--write", action="store_true", help="write tables and chart into a page of the documentation, too"
    )
    parser.add_argument(
        "--page",
        type=Path,
        default=ROOT / "docs" / "performance.md",
        metavar="FILE",
        help="which one, with its two markers (default: docs/performance.md)",
    )
    options = parser.parse_args(arguments)
    for name in options.rows:
        if name not in names and name != EVERYTHING:
            parser.error(f"there is no row {name!r}: choose from {', '.join(names)}, or {EVERYTHING}")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    if options.scale <= 0:
        parser.error(f"--scale must be greater than 0, got {options.scale}")
    if options.figures and not options.write:
        parser.error("--figures goes with --write")
    if options.write and not page.can_draw():
        parser.error("--write draws with matplotlib, which is not installed: pip install matplotlib")
    return options


def read(files: Sequence[Path]) -> tuple[Machine, list[Table]]:
    """The figures of earlier runs on one machine, in the order of the rows; of a row the last."""
    results = [json.loads(file.read_text("utf-8")) for file in files]
    known = {row.name: row for row in ROWS}
    tables = {row["row"]: Table.from_json(row, known) for result in results for row in result["rows"]}
    machines = [result["machine"] for result in results]
    versions = {name: number for machine in machines for name, number in machine["versions"].items()}
    load = max(machine["load"] for machine in machines)
    machine = Machine(**(machines[-1] | {"versions": versions, "load": load}))
    return machine, [tables[name] for name in known if name in tables]


def chosen_rows(names: Sequence[str]) -> list[Row]:
    if EVERYTHING in names:
        return list(ROWS)
    return [row for row in ROWS if (row.name in names if names else not row.on_request)]


def peers_of(rows: Sequence[Row], chosen: Sequence[str] | None) -> list[str]:
    """The peers of the rows that are installed and chosen, each once; okazja's own always."""
    names = dict.fromkeys(name for row in rows for name in row.peers)
    return [
        name
        for name in names
        if PEERS[name].version is not None and (not chosen or name in chosen or name.startswith("okazja"))
    ]


def measure_all(tables: Sequence[Table], rounds: int | None) -> None:
    most = max(rounds or table.row.rounds for table in tables)
    for number in range(most):
        due = [table for table in tables if number < (rounds or table.row.rounds)]
        for cell in cells(due, number):
            progress(f"round {number + 1} of {most}: {cell.row.name} {cell.point.name}, {cell.peer}")
            cell.figures.append(measure(cell))
    progress("")


def cells(tables: Sequence[Table], number: int) -> Iterator[Cell]:
    """Row by row, peers next to each other; every other round backwards, so that nobody is always first."""
    for table in tables:
        for cell in reversed(table.cells) if number % 2 else table.cells:
            most = PEERS[cell.peer].rounds
            if not cell.failures and (most is None or number < most):
                yield cell


def measure(cell: Cell) -> float | None:
    """One cell. A peer that fails is left out of the rounds that follow. Nothing that it started is left."""
    command = [
        *(sys.executable, "-m", "benchmarks.cell"),
        *(cell.row.name, cell.point.name, cell.peer, str(cell.size)),
    ]
    path = [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    # Into files, not pipes: a process that outlives the cell would keep a pipe open.
    with TemporaryFile("w+") as out, TemporaryFile("w+") as errors:
        try:
            subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                timeout=cell.row.patience,
                check=True,
            )
            return float(text_of(out).split()[-1])
        except subprocess.TimeoutExpired:
            cell.failures.append(f"no figure after {cell.row.patience} s")
        except subprocess.CalledProcessError as error:
            last = text_of(errors).strip().splitlines()[-1:] or [f"exit status {error.returncode}"]
            cell.failures.append(last[0])
        finally:
            end_descendants()
    return None


def text_of(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def progress(text: str) -> None:
    """One line on a terminal, overwritten; silence elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
