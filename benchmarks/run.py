"""The command line: rounds of cells, each cell a process of its own, then the tables."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.peers import PEERS
from benchmarks.report import Table, machine
from benchmarks.rows import ROWS, Row

__all__ = ["main"]

ROOT = Path(__file__).parent.parent
PATIENCE = 600  # seconds for one cell


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    tables = [Table(row, max(int(row.size * options.scale), 1)) for row in rows]
    about = machine(peers_of(rows, options.peer))
    for key, value in about.items():
        print(f"{key}: {value}")
    for table in tables:
        for peer in peers_of([table.row], options.peer):
            table.figures[peer] = []
    for number in range(options.rounds):
        for table, peer in cells(tables, backwards=number % 2 == 1):
            progress(f"round {number + 1} of {options.rounds}: {table.row.name}, {peer}")
            table.figures[peer].append(measure(table, peer))
    progress("")
    for table in tables:
        print()
        print("\n".join(table.lines()))
    if options.json is not None:
        result = {"machine": about, "rounds": options.rounds, "rows": [table.as_json() for table in tables]}
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="okazja side by side with its peers"
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"default: all of {', '.join(names)}")
    parser.add_argument(
        "--peer",
        action="append",
        choices=list(PEERS),
        metavar="PEER",
        help=f"may be repeated: these alone, and okazja; default: all of {', '.join(PEERS)}",
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: 5)")
    parser.add_argument(
        "--scale", type=float, default=1, help="multiplies the sizes; below 1 for a quick try"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    options = parser.parse_args(arguments)
    for name in options.rows:
        if name not in names:
            parser.error(f"there is no row {name!r}: choose from {', '.join(names)}")
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    if options.scale <= 0:
        parser.error(f"--scale must be greater than 0, got {options.scale}")
    return options


def peers_of(rows: Sequence[Row], chosen: Sequence[str] | None) -> list[str]:
    """The peers of the rows that are installed and chosen, each once; okazja's own always."""
    names = dict.fromkeys(name for row in rows for name in row.peers)
    return [
        name
        for name in names
        if PEERS[name].version is not None and (not chosen or name in chosen or name.startswith("okazja"))
    ]


def cells(tables: Sequence[Table], *, backwards: bool) -> Iterator[tuple[Table, str]]:
    """Row by row, peers next to each other; every other round backwards, so that nobody is always first."""
    for table in tables:
        peers = list(table.figures)
        for peer in reversed(peers) if backwards else peers:
            if peer not in table.failures:
                yield table, peer


def measure(table: Table, peer: str) -> float | None:
    """One cell. A peer that fails is left out of the rounds that follow."""
    command = [sys.executable, "-m", "benchmarks.cell", table.row.name, peer, str(table.size)]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    try:
        finished = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return float(finished.stdout.split()[-1])
    except subprocess.TimeoutExpired:
        table.failures[peer] = f"no figure after {PATIENCE} s"
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or [f"exit status {error.returncode}"]
        table.failures[peer] = last[0]
    return None


def progress(text: str) -> None:
    """One line on a terminal, overwritten; silence elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
