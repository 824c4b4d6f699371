"""Executors at work: each serves a stream, and beside it maps and submits, while the vandal is on it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, cycle
from time import monotonic
from typing import Any

from benchmarks.soak.items import INNOCENT, MIX, Item, make_item, run
from benchmarks.soak.ledger import Ledger, Pass
from benchmarks.soak.vandal import Vandal
from okazja import Executor

__all__ = ["Plan", "Site", "work_until"]

ITEM_TIMEOUT = 2.0  # seconds
RETRIES = 3
MAP_ITEMS = 300
IN_FLIGHT = 20  # submitted calls
INPUT_FAILS = 1 / 700  # how likely at each item
KINDS, WEIGHTS = list(MIX), list(MIX.values())


@dataclass(frozen=True)
class Plan:
    """How executors are used in one round: how many at once, how many items in each one's stream."""

    name: str
    at_once: int
    items: int
    options: dict[str, Any] = field(default_factory=dict)


PLANS = (
    Plan("one executor", 1, 3000),
    Plan("workers are replaced", 1, 2000, {"max_tasks_per_child": 50}),
    Plan("three executors at once", 3, 1000),
    Plan("short-lived executors", 2, 100),
)


class InputFailed(Exception):
    """The input iterator raises now and then, and goes on when it is asked again."""


class Input:
    """Random items, until there were enough or the time is up. It fails at times; start a new stream with it then."""

    def __init__(self, plan: Plan, notes: Pass, rng: random.Random, until: float) -> None:
        self._left = plan.items
        self._notes = notes
        self._rng = rng
        self._until = until

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if self._left == 0 or monotonic() > self._until:
            raise StopIteration
        if self._rng.random() < INPUT_FAILS:
            raise InputFailed
        item = make_item(self._notes.given, self._rng.choices(KINDS, WEIGHTS)[0], self._rng)
        self._left -= 1
        self._notes.given += 1
        return item


@dataclass(frozen=True)
class Site:
    """What every round works with."""

    ledger: Ledger
    vandal: Vandal
    workers: int
    seed: int
    input_failures: list[str] = field(default_factory=list)


def work_until(site: Site, until: float, progress: Callable[[str], None]) -> int:
    """Rounds of the plans, each in its turn, none longer than its share of the time; how many there were."""
    share = (until - monotonic()) / len(PLANS)
    for number, plan in zip(count(1), cycle(PLANS), strict=False):
        end = min(until, monotonic() + share)
        progress(f"round {number}, {plan.name}")
        with ThreadPoolExecutor(plan.at_once, thread_name_prefix="site") as threads:
            rngs = [random.Random(f"{site.seed}-{number}-{which}") for which in range(plan.at_once)]
            for done in [threads.submit(serve, site, plan, f"round {number}", rng, end) for rng in rngs]:
                done.result()
        if monotonic() > until and number >= len(PLANS):
            return number
    raise AssertionError("plans come round for ever")


def serve(site: Site, plan: Plan, name: str, rng: random.Random, until: float) -> None:
    """One executor, from its start to its end."""
    over = threading.Event()
    beside = [(map_beside, random.Random(rng.random())), (submit_beside, random.Random(rng.random()))]
    with (
        Executor("processes", site.workers, **plan.options) as executor,
        site.vandal.on(executor),
        ThreadPoolExecutor(len(beside), thread_name_prefix="beside") as threads,
    ):
        waits = [threads.submit(fn, site.ledger, executor, name, rng, over) for fn, rng in beside]
        try:
            stream(site, executor, plan, name, rng, until)
        finally:
            over.set()
        for wait in waits:
            wait.result()


def stream(site: Site, executor: Executor, plan: Plan, name: str, rng: random.Random, until: float) -> None:
    notes = Pass(f"{name}, {plan.name}, stream")
    source = Input(plan, notes, rng, until)
    while True:
        try:
            for outcome in executor.stream(
                run, source, item_timeout=ITEM_TIMEOUT, retries=RETRIES, on_error="yield", ordered=False
            ):
                site.ledger.report(notes, outcome.item, outcome.value, outcome.error, outcome.attempts)
            break
        except InputFailed:
            site.input_failures.append(name)
    site.ledger.finish(notes)


def map_beside(
    ledger: Ledger, executor: Executor, name: str, rng: random.Random, over: threading.Event
) -> None:
    """Maps of innocent items, one after another. One ends at the first item that is struck, or is given up."""
    while not over.is_set():
        notes = Pass(f"{name}, map")
        items = [make_item(number, rng.choice(INNOCENT), rng) for number in range(MAP_ITEMS)]
        results = executor.map(run, items)
        for item in items:
            if over.is_set():
                break  # the iterator is dropped, which cancels the rest
            notes.given += 1
            try:
                ledger.report(notes, item, next(results), None)
            except Exception as error:  # judged by the ledger
                ledger.report(notes, item, None, error)
                break
        else:
            if next(results, None) is not None:
                ledger.complain(f"{notes.name}: more results than items")
        ledger.finish(notes)


def submit_beside(
    ledger: Ledger, executor: Executor, name: str, rng: random.Random, over: threading.Event
) -> None:
    """Calls of all kinds but those that only a timeout ends."""
    kinds = [*INNOCENT, "failing", "failing oddly", "returning a lock", "exiting", "crashing"]
    weights = [MIX[kind] for kind in kinds]
    notes = Pass(f"{name}, submit")
    while not over.is_set():
        items = [make_item(notes.given + n, rng.choices(kinds, weights)[0], rng) for n in range(IN_FLIGHT)]
        notes.given += len(items)
        futures = [executor.submit(run, item) for item in items]
        for item, future in zip(items, futures, strict=True):
            error = future.exception()
            ledger.report(notes, item, None if error else future.result(), error)
    ledger.finish(notes)
