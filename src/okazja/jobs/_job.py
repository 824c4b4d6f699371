"""What a ready job is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Job"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work that comes with okazja: ``okazja run NAME``.

    ``function`` takes one of ``items``. ``variants`` are other ways to compute the same answers, by name.
    ``expected`` holds known answers by item, and ``expected_sum(last, first)`` gives the sum of the answers
    for the items ``first`` to ``last``, both included, computed in another way than ``function`` does; it is
    ``None`` where the answers have no meaningful sum.
    """

    name: str
    summary: str
    function: Callable[[Any], Any]
    items: range
    variants: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    expected: Mapping[Any, Any] = field(default_factory=dict)
    expected_sum: Callable[[int, int], int] | None = None
