"""``okazja run``: a function over many items."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from okazja.cli.interrupt import was_asked_to_end
from okazja.cli.items import OVER
from okazja.cli.output import FileOutput, LineOutput, output_to
from okazja.cli.target import Target, load_target
from okazja.cli.terminal import ProgressBar, say
from okazja.errors import BadInput, RemoteTraceback
from okazja.executor import Executor
from okazja.measure.opening import opened

__all__ = ["BACKENDS", "run"]

BACKENDS = ("serial", "threads", "processes")
NAMED = 10  # failed items that are listed by name


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run, where, and where the results go."""

    target: str
    over: range | None
    backend: str
    workers: int | None
    out: Path | None


@dataclass(slots=True)
class Failures:
    """Which items failed, and the first traceback."""

    count: int = 0
    items: list[str] = field(default_factory=list)
    first: str = ""

    def add(self, item: Any, error: BaseException) -> None:
        """Keep what the end will tell: memory stays bounded however many fail."""
        if not self.count:
            # What happened in a worker comes as text; the error itself has no frames then.
            remote = isinstance(error.__cause__, RemoteTraceback) and error.__traceback__ is None
            lines = [str(error.__cause__)] if remote else traceback.format_exception(error)
            self.first = "".join(lines).strip()
        if self.count < NAMED:
            self.items.append(str(item))
        self.count += 1

    def report(self, total: int) -> None:
        """Say which items failed and why."""
        more = ", ..." if self.count > len(self.items) else ""
        say(f"okazja: {self.count:,} of {total:,} items failed: {', '.join(self.items)}{more}")
        say(f"The first one's error:\n{self.first}")


@click.command(short_help="Run a function over many items.")
@click.argument("target")
@click.option("--over", type=OVER, help="The items: numbers from A to B, both included. Example: 1..1000")
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="processes",
    show_default=True,
    help="Where it runs: here, on threads, or on processes.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="How many threads or processes. Default: the executor's, one process a CPU.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="A .csv or .jsonl file for the results, written whole or not at all. Default: standard output.",
)
def run(**options: Any) -> int:
    """Run TARGET for each item and give the results in order.

    \b
    okazja run path/file.py:function --over 1..1000
    okazja run math:factorial --over 0..20 --backend serial
    okazja run sieve --over 1..30000 --out sieve.csv

    TARGET is path/file.py:function, module:function or a ready job: sieve, sieve:list, sieve:bytearray or
    sieve:numpy. Items that fail don't stop the others; they are counted, and the exit status is then 1.
    """  # noqa: D301  (\b keeps click from wrapping the lines)
    return run_target(RunOptions(**options))


def run_target(options: RunOptions) -> int:
    """Run it; the exit status."""
    target = load_target(options.target)
    items = options.over if options.over is not None else target.items
    if items is None:
        raise BadInput(f"which items? Say for instance: okazja run {options.target} --over 1..1000")
    failures = Failures()
    with (
        output_to(options.out) as output,
        ProgressBar(target.name, len(items)) as progress,
        opened(options.backend, options.workers) as executor,
    ):
        _consume(executor, target, items, output, progress, failures)
    if failures.count:
        failures.report(len(items))
    if options.out is not None:
        say(f"{len(items) - failures.count:,} results in {options.out}")
    return 1 if failures.count else 0


def _consume(
    executor: Executor,
    target: Target,
    items: range,
    output: LineOutput | FileOutput,
    progress: ProgressBar,
    failures: Failures,
) -> None:
    for outcome in executor.stream(target.function, items, ordered=True):
        if outcome.error is None:
            output.write(outcome.item, outcome.value)
        elif (
            isinstance(outcome.error, KeyboardInterrupt) and was_asked_to_end()
        ):  # Ctrl-C met a task that ran in this thread
            raise outcome.error
        else:
            output.write_error(outcome.item, outcome.error)
            failures.add(outcome.item, outcome.error)
        progress.advance(failed=0 if outcome.error is None else 1)
