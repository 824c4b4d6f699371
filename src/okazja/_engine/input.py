"""Inputs: those that can't block are drawn where they are needed, others are read ahead by a thread.

A thread reads each input that may block, so that results which are ready never wait for it. It reads a bounded
number of items ahead, stops after the item that it is waiting for, and never keeps the interpreter from ending.
"""

from __future__ import annotations

import array
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from itertools import count, islice, repeat
from types import GeneratorType
from typing import Any, Protocol

from okazja._backends.thread_limits import may_be_daemon
from okazja._engine.read_ahead import ReadAhead, nobody
from okazja._engine.source import Batch

__all__ = ["DirectInput", "NoInput", "RangeInput", "ReadInput", "can_block", "in_reader", "news_for"]

_numbers = count(1)

# Whose iteration runs none of the user's code and waits for nothing, by the method that begins it.
_CONTAINERS: tuple[type, ...] = (
    list, tuple, range, str, bytes, bytearray, memoryview, dict, set, frozenset, deque, array.array,
    type({}.keys()), type({}.values()), type({}.items()),
)  # fmt: skip
_AT_ONCE = frozenset(
    method for kind in _CONTAINERS if (method := getattr(kind, "__iter__", None)) is not None
)
_ITERATORS: frozenset[type] = frozenset(
    {type(iter(kind())) for kind in (list, tuple, str, bytes, bytearray, dict, set, deque)}
    | {type(iter({}.values())), type(iter({}.items()))}
    | {type(iter(range(1))), type(iter(range(1 << 70))), type(iter("é")), type(reversed([])), count, repeat}
)


def can_block(iterable: object) -> bool:
    """Whether drawing an item may take long, as far as one can tell: True where in doubt."""
    kind = type(iterable)
    if kind in _ITERATORS or getattr(kind, "__iter__", None) in _AT_ONCE:
        return False
    numpy = sys.modules.get("numpy")
    return numpy is None or kind is not numpy.ndarray


class DirectInput:
    """An input that is drawn in the thread that takes it."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._error: BaseException | None = None
        self.ended = False
        self.on_news: Callable[[], None] = nobody  # nothing becomes available by itself

    def take(self, most: int) -> Batch:
        """See Source."""
        if self._error is not None:
            error, self._error = self._error, None
            self.ended = True
            raise error
        items: list[Any] = []
        try:
            items.extend(islice(self._iterator, most))
        except Exception as error:
            if not items:
                self.ended = True
                raise
            self._error = error
            return Batch(items)
        self.ended = len(items) < most
        return Batch(items)

    def close(self) -> None:
        """Let go of the iterator: a generator that nobody else knows is closed by that."""
        self._iterator = iter(())


class RangeInput:
    """Numbers, which travel as ranges, at no cost an item."""

    def __init__(self, items: range) -> None:
        self._rest = items
        self.ended = False
        self.on_news: Callable[[], None] = nobody

    def take(self, most: int) -> Batch:
        """See Source."""
        items, self._rest = self._rest[:most], self._rest[most:]
        self.ended = not self._rest
        return Batch(items)

    def close(self) -> None:
        """Nothing runs."""


class NoInput(DirectInput):
    """Nothing, for a run that may not touch its input any more."""

    def __init__(self) -> None:
        super().__init__(iter(()))
        self.ended = True


class _Reader(threading.Thread):
    """A thread that reads an input. A daemon: an input may block for ever."""


def in_reader() -> bool:
    """Whether the calling thread is one that reads an input."""
    return isinstance(threading.current_thread(), _Reader)


class ReadInput(ReadAhead):
    """An input that a thread of its own reads ahead. The thread starts with the first `take`.

    The caller's context variables are seen by the input. A generator is closed in the thread that reads it.
    """

    def __init__(self, iterator: Iterator[Any], look_ahead: int | None = None) -> None:
        super().__init__(look_ahead)
        self._iterator: Iterator[Any] | None = iterator
        self._changed = threading.Condition(self._lock)
        self._started = False

    def close(self) -> None:
        """See Source."""
        with self._lock:
            if not self._started:
                self._iterator = None
        super().close()

    def _start(self) -> None:
        if self._started:
            return
        self._started = True
        iterator, self._iterator = self._iterator, None
        context = copy_context()
        thread = _Reader(
            target=context.run,
            args=(self._work, [iterator]),
            name=f"okazja-input-{next(_numbers)}",
            daemon=may_be_daemon(),
        )
        thread.start()

    def _go_on(self) -> None:
        with self._lock:
            self._changed.notify()

    # --- the thread

    def _work(self, holder: list[Iterator[Any]]) -> None:
        error: BaseException | None = None
        try:
            self._read(holder.pop())
        except BaseException as problem:
            error = problem.with_traceback(problem.__traceback__.tb_next if problem.__traceback__ else None)
        try:
            self._read_to_the_end(error)
        finally:
            del error  # it leads to this frame

    def _read(self, iterator: Iterator[Any]) -> None:
        try:
            for item in iterator:
                if not self._keep(item):
                    return
                del item
                if self._is_full() and not self._room():
                    return
        finally:
            if type(iterator) is GeneratorType:
                iterator.close()

    def _room(self) -> bool:
        """Wait until more may be read; False if nothing may."""
        with self._lock:
            while not self._is_low() and not self._closed:
                self._changed.wait()
            return not self._closed


class _Listener(Protocol):
    def news(self) -> None:
        """Something has become available."""


def news_for(listener: _Listener) -> Callable[[], None]:
    """What tells a run of news, as long as somebody else knows the run."""
    this = weakref.ref(listener)

    def news() -> None:
        known = this()
        if known is not None:
            known.news()

    return news
