"""What an Executor is given, checked before any work starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from okazja._worker.cpus import default_workers
from okazja._worker.task import check_arity
from okazja.errors import BadInput, TaskTypeError, UnsupportedParameter

__all__ = [
    "check_journal",
    "check_map",
    "check_parameters",
    "check_positive",
    "check_values",
    "check_whole",
    "check_workers",
    "start_method",
]


def check_parameters(backend: str, honoured: frozenset[str], **given: Any) -> None:
    """Raise UnsupportedParameter for one that the backend can't honour."""
    for name, value in given.items():
        if value not in (None, "", ()) and name not in honoured and value != []:
            raise UnsupportedParameter(
                f"{name}={value!r} means nothing to the backend {backend!r}: leave it out"
            )


def check_workers(backend: str, max_workers: int | None) -> int:
    """How many workers are meant. Raises UnsupportedParameter or BadInput."""
    if max_workers is None:
        return default_workers(backend)
    if isinstance(max_workers, bool) or not hasattr(max_workers, "__index__"):
        raise UnsupportedParameter(f"max_workers must be a whole number, got {max_workers!r}")
    workers = max_workers.__index__()
    if workers <= 0:
        raise BadInput(f"max_workers must be greater than 0, got {max_workers}")
    if backend == "serial" and workers != 1:
        raise BadInput(f"the backend 'serial' has one worker, got max_workers={max_workers}: leave it out")
    return workers


def check_values(initializer: object, max_tasks_per_child: object, context: Sequence[object]) -> None:
    """Raise TaskTypeError or BadInput for what makes no sense."""
    if initializer is not None and not callable(initializer):
        raise TaskTypeError(f"initializer must be a callable, got {initializer!r}")
    if max_tasks_per_child is not None:
        if not isinstance(max_tasks_per_child, int) or isinstance(max_tasks_per_child, bool):
            raise TaskTypeError(f"max_tasks_per_child must be an integer, got {max_tasks_per_child!r}")
        if max_tasks_per_child <= 0:
            raise BadInput(f"max_tasks_per_child must be >= 1, got {max_tasks_per_child}")
    for var in context:
        if not isinstance(var, ContextVar):
            raise TaskTypeError(f"context must hold ContextVars, got {var!r}")


def check_whole(name: str, value: object, least: int, what: str) -> None:
    """Raise UnsupportedParameter or BadInput for what is not None and not a number of at least so many."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnsupportedParameter(f"{name} must be a whole number of {what} or None, got {value!r}")
    if value < least:
        raise BadInput(f"{name} must be at least {least}, got {value}: raise it, or leave it out")


def check_positive(name: str, value: object) -> None:
    """Raise TaskTypeError or BadInput for what is not None and not a number of seconds greater than 0."""
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TaskTypeError(f"{name} must be a number of seconds or None, got {value!r}")
    if not value > 0:
        raise BadInput(f"{name} must be greater than 0, got {value!r}: float('inf') is never")


def start_method(mp_context: Any, max_tasks_per_child: int | None) -> Any:
    """The multiprocessing context meant, None for okazja's own way."""
    if mp_context is None:
        return None
    import multiprocessing

    if isinstance(mp_context, str):
        methods = multiprocessing.get_all_start_methods()
        if mp_context not in methods:
            raise BadInput(
                f"there is no start method {mp_context!r} here: choose one of {', '.join(methods)}"
            )
        mp_context = multiprocessing.get_context(mp_context)
    if not hasattr(mp_context, "get_start_method") or not hasattr(mp_context, "Process"):
        raise TaskTypeError(
            f"mp_context must be a multiprocessing context or a start method, got {mp_context!r}"
        )
    if max_tasks_per_child is not None and mp_context.get_start_method(allow_none=False) == "fork":
        raise BadInput(
            "max_tasks_per_child is incompatible with the 'fork' multiprocessing start method: leave mp_context out, "
            "or use 'spawn' or 'forkserver'"
        )
    return mp_context


def check_map(
    fn: Callable[..., Any],
    iterables: tuple[Any, ...],
    chunksize: object,
    buffersize: object,
) -> None:
    """Raise TaskTypeError or BadInput for a map that can't be."""
    for name, value in (("chunksize", chunksize), ("buffersize", buffersize)):
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TaskTypeError(f"{name} must be an integer or None, got {value!r}")
        if value < 1:
            raise BadInput(f"{name} must be {'None or > 0' if name == 'buffersize' else '>= 1'}, got {value}")
    for position, iterable in enumerate(iterables):
        if not any(hasattr(iterable, name) for name in ("__iter__", "__getitem__", "__aiter__")):
            raise TaskTypeError(
                f"argument {position + 1} after the function must be iterable, got {iterable!r}"
            )
    if iterables:
        check_arity(fn, len(iterables))


def check_journal(journal: object, **options: object) -> None:
    """What only a journal gives a meaning to."""
    defaults = {"key": None, "version": None, "retry_failed": True, "trust": False}
    for name, value in options.items():
        if name in {"retry_failed", "trust"} and not isinstance(value, bool):
            raise TaskTypeError(f"{name} must be True or False, got {value!r}")
        if journal is None and value is not defaults[name]:
            raise BadInput(
                f"{name}={value!r} means nothing without a journal: add journal=PATH, or leave it out"
            )
