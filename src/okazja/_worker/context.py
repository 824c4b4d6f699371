"""The context variables that travel with calls: taken where a call is made, set where it runs."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable
from types import CoroutineType
from typing import Any

from okazja._transport import pickling
from okazja._worker.coroutines import finish

__all__ = ["context_values", "with_context"]


def context_values(context_vars: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The variables that have a value here, with it."""
    missing = object()
    pairs = [(var, var.get(missing)) for var in context_vars]
    return [(var, value) for var, value in pairs if value is not missing]


def with_context(fn: Callable[..., Any], pickled: bytes) -> Callable[..., Any]:
    """A function, each call of which sees these values, in a context of its own."""
    context = contextvars.copy_context()
    for var, value in pickling.loads(pickled):
        context.run(var.set, value)
    return _Inside(context, fn)


class _Inside:
    def __init__(self, context: contextvars.Context, fn: Callable[..., Any]) -> None:
        self._context = context
        self._fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        context = self._context.copy()
        value = context.run(self._fn, *args, **kwargs)
        return context.run(finish, value) if type(value) is CoroutineType else value
