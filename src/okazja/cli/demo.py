"""``okazja demo``: the whole exercise, from this machine to a million answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import click

from okazja._backends.ledger import workers_cpu_seconds
from okazja._worker.cpus import cpu_count
from okazja.cli.compare import measured, show
from okazja.cli.doctor import machine
from okazja.cli.output import FileOutput
from okazja.cli.terminal import progress_named, say
from okazja.errors import OkazjaError
from okazja.jobs import Job, find_job
from okazja.measure.compare import WAYS
from okazja.measure.comparison import WORTH_IT, Comparison
from okazja.measure.opening import opened
from okazja.measure.sample import mean_seconds, stratified
from okazja.stream import Outcome
from okazja.watch.tree import tree

__all__ = ["demo", "explanation"]

SMALL = 20_000  # the comparison's largest n: plain lists take a millisecond or two for it
PROBE = 3.0  # seconds of work, before and after the job each, that estimate the serial CPU time
BATCH = 256  # answers that are taken, written and counted together
PATIENCE = 1.0  # seconds into the job when the tree is shown


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How far to count, where the results go, and how long to compare."""

    below: int
    out: Path
    budget: float


@dataclass(frozen=True, slots=True)
class JobRun:
    """What the full job took, in seconds, and what its journal came to."""

    wall: float
    workers_cpu: float
    own_cpu: float
    journal_bytes: int
    answers: Sequence[int]


@click.command(short_help="The whole exercise: comparison, tree and the full job.")
@click.option(
    "--below",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="The largest n: the job counts primes for every n from 1 to this.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("sieve.csv"),
    show_default=True,
    help="A .csv or .jsonl file for the answers.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="About how many seconds the comparison takes.",
)
def demo(**options: Any) -> int:
    """See what concurrent code gains on this machine: for every n up to a million, count the primes below n.

    First the same code, with plain lists, runs serially, on threads and on processes. Then the full job runs
    on all CPUs; its answers are checked, and its time is compared with the best that this machine could do.
    """
    parsed = DemoOptions(**options)
    output = FileOutput(parsed.out, ("n", "primes"))
    job = find_job("sieve")
    kernel = job.function
    kernel(1_000_000)  # says at once if NumPy is missing

    _heading("This machine")
    for name, value in machine():
        click.echo(f"{name:<14} {value}")

    small = min(SMALL, parsed.below)
    _heading(f"One function, three ways: the sieve with plain lists, n = 1..{small:,}")
    comparison = measured(job.variants["list"], range(1, small + 1), WAYS, None, parsed.budget)
    show(comparison)
    click.echo(f"\n{explanation(comparison)}")

    workers, items = cpu_count(), range(1, parsed.below + 1)
    _heading(f"The full job: n = 1..{parsed.below:,}, with NumPy, on {workers} processes")
    sample = _probe_sample(kernel, items)
    before = _serial_cpu(kernel, sample)
    with output, TemporaryDirectory(prefix="okazja-demo-") as folder:
        run = _full_job(job, items, workers, output, Path(folder, "sieve.db"))
        after = _serial_cpu(kernel, sample)
        serial = (before + after) / 2 / len(sample) * len(items)
        wrong = _wrong_answers(job, items, run.answers)
        if wrong:
            raise OkazjaError(f"the answers are wrong, so nothing was written: {'; '.join(wrong)}")
    _report(run, serial, workers, len(sample), len(items), before, after)
    click.echo(f"answers        right: they add up to {sum(run.answers):,}, as computed in another way")
    click.echo(f"results        {len(run.answers):,} in {parsed.out.resolve()}")
    return 0


def _heading(text: str) -> None:
    click.echo(f"\n{text}\n{'=' * len(text)}")


def explanation(comparison: Comparison) -> str:
    """What the numbers of a comparison of GIL-bound work show, in words."""
    best = {}
    for backend in ("threads", "processes"):
        rows = [row for row in comparison.rows if row.way.backend == backend and not row.error]
        if not rows:
            return comparison.recommendation
        best[backend] = max(rows, key=lambda row: row.speedup)
    threads, processes = best["threads"], best["processes"]
    said = (
        f"Against serial, the best with threads was {threads.speedup:.2f} × ({threads.way}), "
        f"with processes {processes.speedup:.2f} × ({processes.way})."
    )
    if comparison.cpus == 1:
        return f"{said} There is only one CPU to use, so nothing can run in parallel here."
    if threads.speedup > WORTH_IT and threads.speedup > processes.speedup / 2 and _gil_is_off():
        return f"{said} This interpreter has no GIL, so threads ran in parallel as well."
    if threads.speedup <= WORTH_IT < processes.speedup:
        return (
            f"{said} Threads took turns: only the one that holds the GIL runs Python code, so more of them "
            f"brought nothing. Each process has a GIL of its own, so they ran in parallel."
        )
    if processes.speedup <= WORTH_IT:
        return f"{said} This work is too short, or this machine too busy, for any of them to pay."
    return f"{said} Both gained, though Python code on threads with a GIL should not: was the machine busy?"


def _gil_is_off() -> bool:
    import sys

    return not getattr(sys, "_is_gil_enabled", lambda: True)()


def _probe_sample(kernel: Callable[[Any], int], items: range) -> list[int]:
    """Items spread evenly over all, so many that they take about PROBE seconds."""
    mean = mean_seconds(kernel, items, budget=PROBE)
    return stratified(items, max(1, int(PROBE / mean)))


def _serial_cpu(kernel: Callable[[Any], int], sample: list[int]) -> float:
    """CPU seconds that the sample takes in this process, one item after another."""
    start = process_time()
    for n in sample:
        kernel(n)
    return process_time() - start


def _full_job(job: Job, items: range, workers: int, output: FileOutput, journal: Path) -> JobRun:
    answers: list[int] = []
    shown = False
    cpu, own, start = workers_cpu_seconds(), process_time(), perf_counter()
    with opened("processes", workers) as executor:
        stream: Any = executor.stream(
            job.function, items, ordered=True, journal=journal, progress=progress_named(job.name)
        )
        with closing(stream) as outcomes:
            while batch := list(map(_answer, islice(outcomes, BATCH))):
                output.write_many(items[len(answers) : len(answers) + len(batch)], batch)
                answers += batch
                if not shown and perf_counter() - start > PATIENCE:
                    shown = True
                    say(f"{PATIENCE:.0f} s into the job, okazja.tree() shows:\n{tree()}\n")
        wall = perf_counter() - start
    return JobRun(wall, workers_cpu_seconds() - cpu, process_time() - own, journal.stat().st_size, answers)


def _answer(outcome: Outcome[int, int]) -> int:
    """The value; an item that failed ends the demo."""
    if outcome.error is not None:
        raise outcome.error
    assert outcome.value is not None
    return outcome.value


def _wrong_answers(job: Job, items: range, answers: Sequence[int]) -> list[str]:
    wrong = [
        f"for n = {n:,} {answers[n - 1]:,} in place of {known:,}"
        for n, known in job.expected.items()
        if n in items and answers[n - 1] != known
    ]
    assert job.expected_sum is not None
    expected = job.expected_sum(items[-1], items[0])
    if sum(answers) != expected:
        wrong.append(f"they add up to {sum(answers):,} in place of {expected:,}")
    return wrong


def _report(
    run: JobRun, serial: float, workers: int, probed: int, total: int, before: float, after: float
) -> None:
    ideal = serial / workers
    lines = {
        "serial": f"{serial:.1f} s of CPU time, estimated: {probed:,} of the {total:,} items, spread evenly, "
        f"were run in this process just before the job ({before:.2f} s) and after it ({after:.2f} s)",
        "ideal": f"{ideal:.1f} s: that CPU time / {workers} workers",
        "job": f"{run.wall:.1f} s of wall time, from opening the executor to the last answer",
        "reached": f"{ideal / run.wall:.1%} of the ideal",
        "workers": f"{run.workers_cpu:.1f} s of CPU time, so {run.workers_cpu / run.wall / workers:.1%} busy",
        "this process": f"{run.own_cpu:.1f} s of CPU time, for the answers, the file and the journal",
        "journal": f"{total:,} outcomes in {run.journal_bytes / 1e6:,.0f} MB, removed now; to keep one, so that a job "
        f"can go on after any end: okazja run sieve --journal FILE",
    }
    click.echo()
    for name, text in lines.items():
        click.echo(f"{name:<14} {text}")
