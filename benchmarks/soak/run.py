"""The command line, the watch over all of it, and the verdict."""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, NoReturn

from benchmarks.soak.items import INNOCENT, make_item, run
from benchmarks.soak.ledger import SABOTAGE, Ledger
from benchmarks.soak.resources import Resources
from benchmarks.soak.rounds import Site, work_until
from benchmarks.soak.vandal import Vandal
from okazja import Executor

__all__ = ["main"]

OVERTIME = 120  # seconds after the end in which all must be done; then the stacks are shown and all is killed
EVERY = 10  # seconds between two lines of progress


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    options = parse(arguments)
    # Items print, and that goes nowhere: the report has a standard output of its own.
    with os.fdopen(os.dup(1), "w", buffering=1) as out:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        Resources.keep_memory_honest()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.dump_traceback_later(options.minutes * 60 + OVERTIME, exit=True)
        status = soak(options, out)
        faulthandler.cancel_dump_traceback_later()
    sys.exit(status)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="okazja under fire")
    parser.add_argument("--minutes", type=float, default=1, help="how long (default: 1)")
    parser.add_argument("--seed", type=int, help="of the random numbers (default: a new one, which is shown)")
    parser.add_argument("--workers", type=int, default=4, help="of each executor (default: 4)")
    parser.add_argument(
        "--sabotage",
        action="append",
        choices=[*SABOTAGE, "leak"],
        default=[],
        help="commit this fault, to see that it is found; may be repeated",
    )
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error(f"--minutes must be greater than 0, got {options.minutes}")
    if options.workers < 2:
        parser.error(f"--workers must be at least 2, got {options.workers}: one alone can stay stopped")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    return options


def soak(options: argparse.Namespace, out: IO[str]) -> int:
    """The whole; the exit status."""
    ledger = Ledger(fault for fault in SABOTAGE if fault in options.sabotage)
    vandal = Vandal(random.Random(f"{options.seed}-vandal"))
    site = Site(ledger, vandal, options.workers, options.seed)
    print(f"seed {options.seed}, {options.workers} workers, {options.minutes:g} minutes", file=out)
    warm_up(options.workers)
    before = Resources.now()
    start = time.monotonic()
    with vandal.let_loose():
        until = start + options.minutes * 60
        rounds = work_until(site, until, reporter(start, site, out))
    seconds = time.monotonic() - start
    leaked = os.open(os.devnull, os.O_RDONLY) if "leak" in options.sabotage else None
    after = Resources.settled(before)
    complaints = verdict(ledger, vandal, before, after)
    for name, value in figures(site, rounds, seconds, before, after):
        print(f"  {name:<44} {value}", file=out)
    for complaint in complaints:
        print(f"WRONG: {complaint}", file=out)
    print("all is well" if not complaints else f"{len(complaints)} complaints", file=out)
    if leaked is not None:
        os.close(leaked)
    return 1 if complaints else 0


def warm_up(workers: int) -> None:
    """Import what is imported once, start what is kept, and let memory grow to what a round needs."""
    rng = random.Random("warm-up")
    items = [make_item(number, kind, rng) for kind in INNOCENT for number in range(50)]
    for _ in range(2):
        with Executor("processes", workers) as executor:
            list(executor.map(run, items))
            for _ in executor.stream(run, items, item_timeout=60.0):
                pass


def reporter(start: float, site: Site, out: IO[str]) -> Callable[[str], None]:
    """Prints a line at a new round, when the last one is a while ago."""
    last = start - EVERY

    def report(what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY:
            last = now
            ledger, vandal = site.ledger, site.vandal
            print(
                f"{now - start:6.0f} s: {what}: {ledger.items:,} items, {vandal.kills} kills, {vandal.stops} stops, "
                f"{ledger.wrong} complaints",
                file=out,
            )

    return report


def verdict(ledger: Ledger, vandal: Vandal, before: Resources, after: Resources) -> list[str]:
    """What is off."""
    complaints = list(ledger.complaints)
    if ledger.wrong > len(complaints):
        complaints.append(f"and {ledger.wrong - len(complaints)} more of the kind")
    deeds = vandal.kills + vandal.stops
    if ledger.strikes_needed > deeds:
        complaints.append(
            f"{ledger.struck} items are said to have been struck {ledger.strikes_needed} times from outside, "
            f"where workers were killed or stopped {deeds} times"
        )
    if ledger.items == 0:
        complaints.append("nothing ran")
    return complaints + [f"not given back: {what}" for what in after.exceed(before)]


def figures(
    site: Site, rounds: int, seconds: float, before: Resources, after: Resources
) -> list[tuple[str, str]]:
    """The table."""
    ledger, vandal = site.ledger, site.vandal
    return [
        ("seconds", f"{seconds:.1f}"),
        ("rounds", str(rounds)),
        ("items reported", f"{ledger.items:,}"),
        ("items a second", f"{ledger.items / seconds:,.0f}"),
        ("workers killed from outside", str(vandal.kills)),
        ("workers stopped, and of these set going again", f"{vandal.stops}, {vandal.continued}"),
        ("inputs that raised and were gone on with", str(len(site.input_failures))),
        ("retries", f"{ledger.retries:,}"),
        *((f"items: {kind}", f"{number:,}") for kind, number in sorted(ledger.kinds.items())),
        *((f"errors: {name}", f"{number:,}") for name, number in sorted(ledger.errors.items())),
        ("items struck from outside", str(ledger.struck)),
        ("lost", str(ledger.lost)),
        ("doubled", str(ledger.doubled)),
        *(
            (f"{name.replace('_', ' ')}, before and after", f"{then:g}  {vars(after)[name]:g}")
            for name, then in vars(before).items()
        ),
    ]
