"""What may be a task. Used by every backend."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import CodeType, CoroutineType
from typing import Any

from okazja._worker.coroutines import finish
from okazja._worker.interrupt import Interrupted
from okazja.errors import TaskTypeError

__all__ = ["check_arity", "check_task", "finish_coroutines", "name_of"]

_NO_TASK = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def check_task(fn: Callable[..., Any]) -> None:
    """Raise TaskTypeError for what can't be a task: not callable, or a generator function, asynchronous or not."""
    inner: Any = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = getattr(inner, "__func__", inner)
    code = getattr(inner, "__code__", None)
    if isinstance(code, CodeType):
        flags = code.co_flags & _NO_TASK
        if not flags:
            return
    elif callable(fn):
        code = getattr(type(inner).__call__, "__code__", None)
        flags = code.co_flags & _NO_TASK if isinstance(code, CodeType) else 0
        if not flags:
            return
    else:
        raise TaskTypeError(
            f"a task must be callable, got {fn!r}: pass the function itself, then its arguments"
        )
    name = name_of(fn)
    if flags & inspect.CO_ASYNC_GENERATOR:
        raise TaskTypeError(
            f"{name} is an asynchronous generator function: its call would return an unstarted generator, not its "
            f"items. Return a list, or pass what it generates to stream as the input"
        )
    raise TaskTypeError(
        f"{name} is a generator function: its call would return an unstarted generator, not its items. "
        f"Return a list, or iterate over the input with map or stream"
    )


def finish_coroutines(
    values: list[Any],
    errors: dict[int, BaseException],
    mark: Callable[[int], None],
) -> None:
    """Run the coroutines among the results of a chunk, one after the other; what they raise goes into ``errors``.

    mark: told the position of each before it runs.
    """
    for position, value in enumerate(values):
        if type(value) is not CoroutineType:
            continue
        values[position] = None
        mark(position)
        try:
            values[position] = finish(value)
        except Interrupted:
            raise
        except BaseException as error:
            errors[position] = error


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
