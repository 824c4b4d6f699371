"""What is known of an item before it runs: the outcome that it had in an earlier run."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Known"]


class Known(NamedTuple):
    """The final outcome of one item, from a journal. The item is not run."""

    value: Any  # None where it failed
    error: BaseException | None
    attempts: int  # how often it began in the run that recorded it
    seconds: float  # that its last attempt took
    size: int = 0  # bytes that the value takes on disk, about
