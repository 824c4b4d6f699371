"""An outcome of an earlier run."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Known"]


class Known(NamedTuple):
    """What became of an item, as a journal remembers it.

    attempts: how often it ran. seconds: how long its last attempt took.
    """

    value: Any
    error: BaseException | None
    attempts: int
    seconds: float
