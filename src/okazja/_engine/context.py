"""The context variables that travel with calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["context_values"]


def context_values(context_vars: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The variables that have a value here, with it."""
    missing = object()
    pairs = [(var, var.get(missing)) for var in context_vars]
    return [(var, value) for var, value in pairs if value is not missing]
