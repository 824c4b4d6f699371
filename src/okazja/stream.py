"""The two faces of a pass over an input: the values of ``map``, the outcomes of ``stream``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from okazja._engine import Run

__all__ = ["Outcome", "outcomes", "values"]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T, R]):
    """What came of one item of a stream.

    ``seconds`` is the time that its call took in the worker; items that travelled in one chunk share
    the chunk's time evenly. ``worker`` is the number of the worker, -1 where calls are not placed.
    """

    index: int
    item: T
    value: R | None
    error: BaseException | None
    attempts: int
    seconds: float
    worker: int

    @property
    def ok(self) -> bool:
        """Whether the item succeeded."""
        return self.error is None


def values(run: Run, deadline: float | None) -> Iterator[Any]:
    """The values in order; the first error ends them."""
    for chunk in run.chunks(deadline):
        values, errors = chunk.values or [None], chunk.errors
        if errors:
            for position in range(chunk.size):
                if position in errors:
                    try:
                        raise errors[position]
                    finally:
                        # Break the cycle error → traceback → this frame → error.
                        errors = values = chunk = None  # type: ignore[assignment]
                if run.buffersize is not None:
                    run.took_one()
                yield values[position]
        else:
            values.reverse()
            chunk.values = None
            while values:
                if run.buffersize is not None:
                    run.took_one()
                yield values.pop()  # no reference is kept to what the caller has


def outcomes(run: Run) -> Iterator[Outcome[Any, Any]]:
    """An outcome for every item."""
    for chunk in run.chunks(None):
        items, values = chunk.items or [], chunk.values
        seconds = chunk.seconds / chunk.size
        for position in range(chunk.size):
            error = chunk.errors.get(position)
            value = values[position] if values is not None and error is None else None
            yield Outcome(chunk.base + position, items[position], value, error, 1, seconds, chunk.worker)
