"""The two faces of a pass over an input: the values of ``map``, the outcomes of ``stream``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from okazja._engine import Run, StreamRun
from okazja._engine.stream_chunk import StreamChunk
from okazja.errors import BadInput, TaskTypeError

__all__ = ["Outcome", "check_stream", "outcomes", "values"]

T = TypeVar("T")
R = TypeVar("R")


class _Fields:
    """Holds what an Outcome shows. Filled in a third of the time that the ``__init__`` of a frozen dataclass takes."""

    __slots__ = ("attempts", "error", "index", "item", "seconds", "value", "worker")

    def __init__(
        self,
        index: int,
        item: Any,
        value: Any,
        error: BaseException | None,
        attempts: int,
        seconds: float,
        worker: int,
    ) -> None:
        self.index = index
        self.item = item
        self.value = value
        self.error = error
        self.attempts = attempts
        self.seconds = seconds
        self.worker = worker


@dataclass(frozen=True)
class Outcome(_Fields, Generic[T, R]):
    """What came of one item of a stream.

    ``value``: what it returned, None where it failed; ``error``: why it failed, with the traceback in the worker as its
    ``__cause__``, None where it succeeded. ``attempts``: how often it began; 0 where it never did, because it can't be
    pickled for instance. ``seconds``: that its last attempt took in the worker. ``worker``: the number of the worker,
    -1 where it never began.
    """

    __slots__ = ()

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

    def __reduce__(self) -> tuple[Any, ...]:
        return Outcome, (
            self.index,
            self.item,
            self.value,
            self.error,
            self.attempts,
            self.seconds,
            self.worker,
        )


def _outcome(*fields: Any) -> Outcome[Any, Any]:
    outcome: Any = _Fields(*fields)
    outcome.__class__ = Outcome
    return outcome  # type: ignore[no-any-return]


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
        elif chunk.plain and run.buffersize is None:
            yield from values
        else:
            values.reverse()
            chunk.values = None
            while values:
                if run.buffersize is not None:
                    run.took_one()
                yield values.pop()  # no reference is kept to what the caller has


def outcomes(run: StreamRun, *, raising: bool) -> Iterator[Outcome[Any, Any]]:
    """An outcome for every item; with ``raising`` the first that failed ends them with its error."""
    for chunk in run.chunks(None):
        assert isinstance(chunk, StreamChunk)
        base, items, times, workers = chunk.base, chunk.items, chunk.times, chunk.workers
        values, errors, extra = chunk.values or (), chunk.errors, chunk.extra
        for position in chunk.positions:
            error = errors.get(position) if errors else None
            if error is not None and raising:
                try:
                    raise error
                finally:
                    # Break the cycle error → traceback → this frame → error.
                    error = errors = values = chunk = None  # type: ignore[assignment]
            yield _outcome(
                base + position,
                items[position],
                values[position] if error is None else None,
                error,
                1 + extra.get(position, 0) if extra else 1,
                times[position] * 1e-9,
                workers[position],
            )


def check_stream(item_timeout: object, retries: object, on_error: object) -> None:
    """Raise TaskTypeError or BadInput for what makes no sense as a parameter of a stream."""
    if item_timeout is not None:
        if not isinstance(item_timeout, int | float) or isinstance(item_timeout, bool):
            raise TaskTypeError(f"item_timeout must be a number of seconds or None, got {item_timeout!r}")
        if not 0 < item_timeout < float("inf"):
            raise BadInput(
                f"item_timeout must be a finite number of seconds greater than 0, got {item_timeout!r}: "
                f"leave it out for no limit"
            )
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise TaskTypeError(f"retries must be a whole number, got {retries!r}")
    if retries < 0:
        raise BadInput(f"retries must be at least 0, got {retries}")
    if on_error not in ("yield", "raise"):
        raise BadInput(f"on_error must be 'yield' or 'raise', got {on_error!r}")
