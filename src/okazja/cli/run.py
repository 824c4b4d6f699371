"""``okazja run``: a function over many items."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from okazja.cli.failures import Failures, error_text
from okazja.cli.interrupt import was_asked_to_end
from okazja.cli.invocation import Invocation
from okazja.cli.items import OVER
from okazja.cli.output import FileOutput, LineOutput, output_to
from okazja.cli.sources import FileItems, StandardInput, items_of_file
from okazja.cli.target import Target, load_target
from okazja.cli.terminal import progress_named, say
from okazja.errors import BadInput, JournalMismatch, JournalUntrusted, TooManyFailures
from okazja.executor import Executor
from okazja.measure.opening import opened

__all__ = ["BACKENDS", "run"]

BACKENDS = ("serial", "threads", "asyncio", "processes")
SECONDS = click.FloatRange(min=0, min_open=True, max=1e9)

Items = range | FileItems | StandardInput


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run, on what, where, how often, and where the results go."""

    target: str
    stdin: str | None
    over: range | None
    items: Path | None
    backend: str
    workers: int | None
    out: Path | None
    ordered: bool | None
    item_timeout: float | None
    deadline: float | None
    retries: int
    backoff: float
    max_failures: int | None
    journal: Path | None
    resume: bool
    retry_failed: bool
    version: str | None
    trust: bool


@dataclass(slots=True)
class Course:
    """What is counted while it runs."""

    failures: Failures
    total: int = 0


@click.command(short_help="Run a function over many items.")
@click.argument("target")
@click.argument("stdin", metavar="[-]", required=False)
@click.option("--over", type=OVER, help="The items: numbers from A to B, both included. Example: 1..1000")
@click.option(
    "--items",
    type=click.Path(path_type=Path),
    help="The items: lines of a .txt file, JSON values of a .jsonl file, rows of a .csv file (as dicts), or - for the "
    "lines of standard input.",
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="processes",
    show_default=True,
    help="Where it runs: here, on threads, on an event loop (coroutine functions), or on processes.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="How many threads, processes, or coroutines at once. Default: the executor's, one process a CPU.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="A .csv, .jsonl or .parquet file for the results, written whole or not at all. Default: standard output.",
)
@click.option(
    "--ordered/--no-ordered",
    default=None,
    help="Whether standard output has the order of the items, or results as they come. Default: the order, but as "
    "they come for standard input. --out has the order always.",
)
@click.option("--item-timeout", type=SECONDS, help="Seconds that an item may take. Then it has failed.")
@click.option("--deadline", type=SECONDS, help="Seconds for all of it. Then the rest is left.")
@click.option("--retries", type=click.IntRange(min=0), default=0, help="How often a failed item runs again.")
@click.option(
    "--backoff",
    type=click.FloatRange(min=0, max=1e9),
    default=0.0,
    help="Seconds before the first further attempt, doubled for each one after it.",
)
@click.option("--max-failures", type=click.IntRange(min=0), help="How many items may fail before all ends.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    help="A file that keeps every outcome as it comes, to go on from after any end.",
)
@click.option("--resume", is_flag=True, help="Go on with the journal: what is in it is not run again.")
@click.option("--retry-failed", is_flag=True, help="With --resume: run items again that have failed.")
@click.option("--version", help="The function's, kept in the journal: outcomes of another one are refused.")
@click.option("--trust", is_flag=True, help="Unpickle what another user's journal holds; that can run code.")
@click.pass_obj
def run(invocation: Invocation, /, **options: Any) -> int:
    """Run TARGET for each item and give the results.

    \b
    okazja run path/file.py:function --over 1..1000
    okazja run math:factorial --over 0..20 --backend serial
    okazja run sieve --over 1..30000 --out sieve.csv
    okazja run work.py:f --items items.jsonl --out results.jsonl --journal night.db
    tail -f log | okazja run work.py:f -

    TARGET is path/file.py:function, module:function or a ready job: sieve, sieve:list, sieve:bytearray or
    sieve:numpy. Items that fail don't stop the others; they are counted, and the exit status is then 1.
    """  # noqa: D301  (\b keeps click from wrapping the lines)
    return run_target(RunOptions(**options), invocation)


def run_target(options: RunOptions, invocation: Invocation) -> int:
    """Run it; the exit status."""
    _check(options)
    target = load_target(options.target)
    items = _items(options, target)
    output = output_to(options.out)
    if options.journal is not None:
        _check_journal(options.journal, options)
    course = Course(Failures())
    try:
        with output, opened(options.backend, options.workers) as executor:
            _consume(executor, target, items, output, options, course)
    except TooManyFailures as error:
        course.failures.report(course.total)
        error.add_note(course.failures.again(invocation, None, journal=options.journal is not None))
        raise
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, BadInput) or course.total:
            error.add_note(_how_to_go_on(options, invocation))
        raise
    failures = course.failures
    if failures.count:
        failures.report(course.total)
        over = items if isinstance(items, range) else None
        say(failures.again(invocation, over, journal=options.journal is not None))
    if options.out is not None:
        say(f"{course.total - failures.count:,} results in {options.out}")
    return 1 if failures.count else 0


def _check(options: RunOptions) -> None:
    """Raise BadInput for options that don't go together."""
    given = {
        "-": options.stdin is not None,
        "--over": options.over is not None,
        "--items": options.items is not None,
    }
    several = [name for name, is_given in given.items() if is_given]
    if len(several) > 1:
        raise BadInput(f"items come from one place, got {' and '.join(several)}: leave out all but one")
    if options.stdin not in (None, "-"):
        raise BadInput(
            f"can't read {options.stdin!r} after the target: - takes items from standard input, --items "
            f"{options.stdin} from a file, --over A..B are numbers"
        )
    if options.item_timeout is not None and options.backend == "serial":
        raise BadInput(
            "--item-timeout means nothing to --backend serial, where nobody watches the items: leave one of them out"
        )
    if options.journal is None:
        for name, is_set in (
            ("--resume", options.resume),
            ("--retry-failed", options.retry_failed),
            ("--version", options.version is not None),
            ("--trust", options.trust),
        ):
            if is_set:
                raise BadInput(f"{name} means nothing without a journal: add --journal FILE, or leave it out")
    elif options.retry_failed and not options.resume:
        raise BadInput("--retry-failed is about items of an earlier run: add --resume, or leave it out")


def _items(options: RunOptions, target: Target) -> Items:
    if options.stdin is not None or options.items == Path("-"):
        if sys.stdin is None:
            raise BadInput("- takes items from standard input, which is closed: name a file with --items")
        return StandardInput()
    if options.items is not None:
        return items_of_file(options.items)
    items = options.over if options.over is not None else target.items
    if items is None:
        raise BadInput(
            f"which items? Say for instance: okazja run {options.target} --over 1..1000; or --items FILE, or - for "
            f"standard input"
        )
    return items


def _check_journal(path: Path, options: RunOptions) -> None:
    """Raise BadInput where going on and starting anew could be mixed up, and a JournalError for what is no journal."""
    from okazja.journal import outcomes_in

    kept = outcomes_in(path)
    if options.resume and kept is None:
        raise BadInput(
            f"there is no journal {str(path)!r} to go on with: look at the path, or leave out --resume"
        )
    if kept and not options.resume:
        raise BadInput(
            f"the journal {str(path)!r} has {kept:,} outcomes of an earlier run: add --resume to go on with it, or "
            f"name another path to start anew"
        )


def _consume(
    executor: Executor,
    target: Target,
    items: Items,
    output: LineOutput | FileOutput,
    options: RunOptions,
    course: Course,
) -> None:
    with closing(_stream(executor, target, items, options)) as outcomes:
        for outcome in outcomes:
            error = outcome.error
            if error is None:
                course.total += 1
                output.write(outcome.item, outcome.value, "")
                continue
            if isinstance(error, KeyboardInterrupt) and was_asked_to_end():
                raise error  # Ctrl-C met a task that ran in this thread
            if options.deadline is not None and "the stream's deadline=" in str(error):
                continue  # it was cut short, and all that there is to say of it comes at the end
            course.total += 1
            course.failures.add(outcome.item, error, outcome.attempts)
            output.write(outcome.item, None, error_text(error))


def _stream(executor: Executor, target: Target, items: Items, options: RunOptions) -> Any:
    """The outcomes. Raises BadInput where the journal is of something else."""
    ordered = options.ordered
    if ordered is None:
        ordered = not isinstance(items, StandardInput)
    try:
        return executor.stream(
            target.function,
            items,
            ordered=ordered or options.out is not None,
            item_timeout=options.item_timeout,
            deadline=options.deadline,
            retries=options.retries,
            backoff=options.backoff,
            max_failures=options.max_failures,
            journal=options.journal,
            version=options.version,
            retry_failed=options.retry_failed or not options.resume,
            trust=options.trust,
            progress=progress_named(target.name),
        )
    except JournalMismatch as error:
        raise BadInput(f"{error}. On the command line version= is --version") from error
    except JournalUntrusted as error:
        raise BadInput(f"{error}. On the command line trust=True is --trust") from error


def _how_to_go_on(options: RunOptions, invocation: Invocation) -> str:
    journal = options.journal
    if journal is None:
        return "Nothing of it was kept: with --journal FILE it could go on from here the next time."
    command = invocation.having("--resume") if journal.exists() else invocation
    what = ", with the same items on standard input" if options.stdin or options.items == Path("-") else ""
    return f"To go on{what}:\n  {command}"
