"""What a map or stream draws from, who hears of its course, and what keeps its outcomes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sized
from typing import Any, TypeAlias

from okazja._core.observer import Observer
from okazja._engine import AsyncInput, DirectInput, Engine, RangeInput, ReadInput, can_block, library
from okazja._engine.library import Library
from okazja._engine.source import Recorder, Source
from okazja._worker.task import name_of
from okazja.errors import BadInput
from okazja.progress import Progress, progress_for

__all__ = ["AnyIterable", "journaled", "length_of", "loop_of", "observers_of", "read_ahead", "source_of"]

AnyIterable: TypeAlias = Any  # an Iterable or an AsyncIterable, which no static type tells apart


def is_async(iterable: AnyIterable) -> bool:
    """Whether it can be iterated over by ``async for`` alone."""
    kind = type(iterable)
    return hasattr(kind, "__aiter__") and not hasattr(kind, "__iter__")


def loop_of(iterables: tuple[AnyIterable, ...]) -> Library | None:
    """The event loop that the input needs, if it does: the caller's."""
    return library() if any(map(is_async, iterables)) else None


def source_of(iterables: tuple[AnyIterable, ...], engine: Engine, look_ahead: int | None = None) -> Source:
    """An input that is drawn in the thread that takes results; an asynchronous one, in the caller's loop."""
    if any(map(is_async, iterables)):
        if len(iterables) != 1:
            raise BadInput(
                f"an asynchronous iterable must be the only one, got {len(iterables)} iterables: join them into one"
            )
        return AsyncInput(iterables[0], look_ahead)
    if len(iterables) != 1:
        return DirectInput(zip(*iterables, strict=False))
    if type(iterables[0]) is range and not engine.shares_memory:
        return RangeInput(iterables[0])
    return DirectInput(iter(iterables[0]))


def read_ahead(iterable: AnyIterable, engine: Engine, buffersize: int | None) -> Source:
    """An input that is read by a thread of its own, where results could have to wait for it."""
    if is_async(iterable):
        return source_of((iterable,), engine, buffersize)
    if engine.runs_at_once or not can_block(iterable):
        return source_of((iterable,), engine)
    return ReadInput(iter(iterable), buffersize)


def journaled(
    source: Callable[[], Source],
    journal: str | os.PathLike[str] | None,
    fn: Callable[..., Any],
    total: int | None,
    *,
    ahead: bool,
    **options: Any,
) -> tuple[Source, Recorder | None]:
    """The input without what the journal knows, and what keeps outcomes there. Raises JournalError.

    ahead: whether items may be drawn that nobody has asked for yet.
    """
    if journal is None:
        return source(), None
    from okazja.journal import Recorder as JournalRecorder
    from okazja.journal import Resuming
    from okazja.journal import name_of as journal_name_of

    recorder = JournalRecorder(journal, function=journal_name_of(fn), total=total, **options)
    try:
        return Resuming(source(), recorder, ahead=ahead), recorder
    except BaseException:  # the iterable's __iter__, say
        recorder.close()
        raise


def length_of(iterables: tuple[AnyIterable, ...]) -> int | None:
    """How many items there are, as far as the iterables say; a hint, by which chunks are sized."""
    lengths = [length for iterable in iterables if (length := _length(iterable)) is not None]
    return min(lengths) if lengths else None


def _length(iterable: object) -> int | None:
    if not isinstance(iterable, Sized):
        return None
    try:
        return len(iterable)
    except Exception:
        return None


def observers_of(
    progress: bool | Callable[[Progress], object], fn: Callable[..., Any]
) -> tuple[Observer, ...]:
    """Who is told of the course of a map or stream."""
    observer = progress_for(progress, name_of(fn))
    return () if observer is None else (observer,)
