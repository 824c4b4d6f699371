"""What may be a task, and what a task's call must not return. Used by every backend."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from okazja.errors import TaskTypeError

__all__ = ["check_arity", "check_task", "checked", "name_of", "refuse_coroutines"]

_NO_TASK = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def check_task(fn: Callable[..., Any]) -> None:
    """Raise TaskTypeError for what can't be a task: not callable, a generator or coroutine function."""
    inner: Any = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = getattr(inner, "__func__", inner)
    code = getattr(inner, "__code__", None)
    if code is not None:
        flags = code.co_flags & _NO_TASK
        if not flags:
            return
    elif callable(fn):
        code = getattr(type(inner).__call__, "__code__", None)
        flags = code.co_flags & _NO_TASK if code is not None else 0
        if not flags:
            return
    else:
        raise TaskTypeError(
            f"a task must be callable, got {fn!r}: pass the function itself, then its arguments"
        )
    name = name_of(fn)
    if flags & inspect.CO_COROUTINE:
        raise TaskTypeError(
            f"{name} is a coroutine function, which this backend does not run: submit a plain function that "
            f"calls asyncio.run({name}(...))"
        )
    raise TaskTypeError(
        f"{name} is a generator function: its call would return an unstarted generator, not its items. "
        f"Return a list, or iterate over the input with map or stream"
    )


def checked(value: Any) -> Any:
    """The result of a task; a coroutine, which nobody would ever await, is a TaskTypeError."""
    if type(value) is CoroutineType:
        name = value.__qualname__
        value.close()
        raise TaskTypeError(
            f"the task returned an unawaited coroutine of {name}: run it inside the task with asyncio.run(...)"
        )
    return value


def refuse_coroutines(values: list[Any], errors: dict[int, BaseException]) -> None:
    """Put None for each result that is one, and a TaskTypeError at its position into ``errors``."""
    for position, value in enumerate(values):
        try:
            checked(value)
        except TaskTypeError as error:
            errors[position] = error
            values[position] = None


def check_arity(fn: Callable[..., Any], count: int) -> None:
    """Raise TypeError if ``fn`` certainly can't be called with ``count`` positional arguments.

    Where there is doubt (builtins without a signature, decorated functions) nothing is checked.
    """
    try:
        signature = inspect.signature(fn, follow_wrapped=False)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*[None] * count)
    except TypeError as error:
        raise TaskTypeError(
            f"{name_of(fn)}{signature} can't be called with {count} positional argument{'s' * (count != 1)}, one "
            f"from each iterable: {error}. Pass as many iterables as the function takes arguments"
        ) from None


def name_of(fn: Callable[..., Any]) -> str:
    """How a function is called in messages, marks and traces."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__qualname__", None)
    return name if isinstance(name, str) else type(fn).__qualname__
