"""Errors that nobody looks at: reported once, never raised over another."""

from __future__ import annotations

import gc
import logging
from types import TracebackType
from typing import Self

from okazja.testing import tasks
from okazja.testing.check import Maker, caught, needs
from okazja.testing.gate import PATIENCE


class Reports(logging.Handler):
    """What a logger says inside the block, instead of where it says it otherwise."""

    def __init__(self, name: str = "okazja") -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []
        self.logger = logging.getLogger(name)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, as text with its traceback."""
        self.texts.append(logging.Formatter().format(record))

    def __enter__(self) -> Self:
        self._before = self.logger.propagate
        self.logger.propagate = False
        self.logger.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.logger.propagate = self._before
        self.logger.removeHandler(self)


@needs(lambda traits: traits.extended)
def check_lost_error(make: Maker) -> None:
    """The error of a future that nobody looked at is logged by ``okazja``, once, with its traceback."""
    with Reports() as reports:
        with make() as executor:
            executor.submit(tasks.fail, "lost and found")
        del executor
        gc.collect()
    found = [text for text in reports.texts if "lost and found" in text]
    assert len(found) == 1, reports.texts
    assert "# this very line is in the traceback" in found[0], found[0]


@needs(lambda traits: traits.extended)
def check_error_that_was_looked_at(make: Maker) -> None:
    """One that was seen, by ``result``, ``exception`` or the end of a map, is not logged."""
    with Reports() as reports:
        with make() as executor:
            assert type(caught(executor.submit(tasks.fail).result, PATIENCE)) is tasks.CustomError
            assert type(executor.submit(tasks.fail).exception(PATIENCE)) is tasks.CustomError
            assert type(caught(list, executor.map(tasks.fail_on_three, range(5)))) is tasks.CustomError
        del executor
        gc.collect()
    assert reports.texts == []


@needs(lambda traits: traits.extended)
def check_map_that_nobody_looks_at(make: Maker) -> None:
    """Failures of a map whose results nobody can see any more are reported, together."""
    with Reports() as reports:
        with make() as executor:
            executor.map(tasks.fail_on_three, [1, 3, 3])
        del executor
        gc.collect()
    assert len(reports.texts) == 1, reports.texts
    assert "CustomError" in reports.texts[0]


@needs(lambda traits: traits.extended)
def check_another_error_in_flight(make: Maker) -> None:
    """A lost error is not raised over an exception that leaves the with block."""
    with Reports() as reports:
        assert type(caught(_fail_beside_a_lost_error, make)) is LookupError
        gc.collect()
    assert len(reports.texts) == 1, reports.texts


def _fail_beside_a_lost_error(make: Maker) -> None:
    with make() as executor:
        executor.submit(tasks.fail, "lost")
        raise LookupError("mine")
