"""The two faces of a pass over an input: the values of ``map``, the outcomes of ``stream``."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from okazja._core.weight import weight
from okazja._engine import Run, StreamOptions, StreamRun
from okazja._engine.stream_chunk import StreamChunk
from okazja.errors import BadInput, TaskTypeError, TooManyFailures

__all__ = ["Outcome", "check_end", "outcomes", "stream_options", "values", "weight_of_outcome"]

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


def values(run: Run, deadline: float | None) -> Generator[Any, None, None]:
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


def outcomes(
    run: StreamRun, *, raising: bool, max_failures: int | None
) -> Generator[Outcome[Any, Any], None, None]:
    """An outcome for every item; with ``raising`` the first that failed ends them with its error."""
    failures = 0
    for chunk in run.chunks(None):
        assert isinstance(chunk, StreamChunk)
        base, items, times, workers = chunk.base, chunk.items, chunk.times, chunk.workers
        values, errors, extra = chunk.values or (), chunk.errors, chunk.extra
        apart = len(chunk.positions) < len(items)
        for position in chunk.positions:
            error = errors.get(position) if errors else None
            if error is not None:
                if raising:
                    try:
                        raise error
                    finally:
                        # Break the cycle error → traceback → this frame → error.
                        error = errors = values = chunk = None  # type: ignore[assignment]
                failures += position not in chunk.cut
            if run.buffersize is not None:
                run.took_one()
            outcome = _outcome(
                base + position,
                items[position],
                values[position] if error is None else None,
                error,
                1 + extra.get(position, 0) if extra else 1,
                times[position] * 1e-9,
                workers[position],
            )
            if apart:  # others of the chunk may take long: what the caller has is not kept for them
                if type(items) is list:
                    items[position] = None
                if values:
                    values[position] = None
            if error is not None and max_failures is not None and failures > max_failures:
                run.close()
                yield outcome
                try:
                    raise _too_many(failures, max_failures) from error
                finally:
                    error = errors = values = chunk = outcome = None  # type: ignore[assignment]
            yield outcome
            del outcome


def weight_of_outcome(outcome: Outcome[Any, Any]) -> int:
    """Bytes, roughly, that somebody keeps alive who has the outcome."""
    return weight(outcome.item) + weight(outcome.value)


def _too_many(failures: int, max_failures: int) -> TooManyFailures:
    """The error that ends a stream with one failure too many."""
    return TooManyFailures(
        f"{failures} items have failed, and max_failures={max_failures} allows no more: look at the errors of the "
        f"outcomes, the last of which caused this, or raise it",
        failures,
    )


def stream_options(
    item_timeout: object, deadline: object, retries: object, backoff: object, retry_on: object
) -> StreamOptions:
    """The options of a stream. Raises TaskTypeError or BadInput for what makes no sense."""
    _check_seconds("item_timeout", item_timeout)
    _check_seconds("deadline", deadline)
    _check_count("retries", retries)
    if isinstance(backoff, bool) or not isinstance(backoff, int | float):
        raise TaskTypeError(f"backoff must be a number of seconds, got {backoff!r}")
    if not 0 <= backoff < float("inf"):
        raise BadInput(f"backoff must be a finite number of seconds, 0 or more, got {backoff!r}")
    given: dict[str, Any] = {
        "item_timeout": item_timeout,
        "deadline": deadline,
        "retries": retries,
        "backoff": backoff,
    }
    return StreamOptions(**given, retry_on=_retry_check(retry_on))


def check_end(on_error: object, max_failures: object) -> None:
    """Raise TaskTypeError or BadInput for what makes no sense as a way in which failures end a stream."""
    if on_error not in ("yield", "raise"):
        raise BadInput(f"on_error must be 'yield' or 'raise', got {on_error!r}")
    if max_failures is not None:
        _check_count("max_failures", max_failures)


def _check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TaskTypeError(f"{name} must be a number of seconds or None, got {value!r}")
    if not 0 < value < float("inf"):
        raise BadInput(
            f"{name} must be a finite number of seconds greater than 0, got {value!r}: leave it out for no limit"
        )


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TaskTypeError(f"{name} must be a whole number, got {value!r}")
    if value < 0:
        raise BadInput(f"{name} must be at least 0, got {value}")


def _retry_check(retry_on: object) -> Callable[[BaseException], object] | None:
    """Whether an error is worth a retry, as a function."""
    if retry_on is None:
        return None
    kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        return lambda error: isinstance(error, kinds)
    if isinstance(retry_on, tuple | type) or not callable(retry_on):
        raise TaskTypeError(
            f"retry_on must be an exception class, a tuple of them, or a function that is given the error, "
            f"got {retry_on!r}"
        )
    return retry_on
