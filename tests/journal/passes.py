"""A pass over an input, as an engine makes it: looks items up, runs those that are not known, records outcomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from okazja import Journal
from okazja._core.known import Known
from okazja.journal import Entry, Recorder

__all__ = ["Pass", "entries", "one_pass", "record_all", "square"]


@dataclasses.dataclass
class Pass:
    ran: list[Any] = dataclasses.field(default_factory=list)
    known: list[tuple[Any, Known]] = dataclasses.field(default_factory=list)
    unkept: dict[int, BaseException] = dataclasses.field(default_factory=dict)


def square(number: Any) -> Any:
    return number * number


def record_all(
    recorder: Recorder,
    items: Iterable[Any],
    fn: Callable[[Any], Any],
    *,
    block: int = 64,
    most: int | None = None,
) -> Pass:
    """``most``: how many items are run before the pass is given up."""
    course, source, base = Pass(), iter(items), 0
    while (most is None or len(course.ran) < most) and (batch := list(islice(source, block))):
        keys, known = recorder.look_up(base, batch)
        assert len(keys) == len(known) == len(batch)
        values: list[Any] = [None] * len(batch)
        errors: dict[int, BaseException] = {}
        positions = [position for position, outcome in enumerate(known) if outcome is None]
        course.known += [(batch[p], outcome) for p, outcome in enumerate(known) if outcome is not None]
        for position in positions:
            course.ran.append(batch[position])
            try:
                values[position] = fn(batch[position])
            except Exception as error:
                errors[position] = error
        times = [1_000_000] * len(batch)
        unkept = recorder.record(base, positions, batch, keys, values, errors, {}, times)
        course.unkept.update({base + position: error for position, error in unkept.items()})
        base += len(batch)
    return course


def one_pass(
    path: Path,
    items: Iterable[Any],
    fn: Callable[[Any], Any] = square,
    *,
    block: int = 64,
    most: int | None = None,
    **options: Any,
) -> Pass:
    recorder = Recorder(path, **{"function": "tests:square", **options})
    try:
        return record_all(recorder, items, fn, block=block, most=most)
    finally:
        recorder.close(whole=most is None)


def entries(path: Path, *, unpickle: bool = False) -> list[Entry]:
    with Journal(path, unpickle=unpickle) as journal:
        return list(journal)
