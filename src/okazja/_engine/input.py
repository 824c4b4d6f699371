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
from okazja._core.weight import weight
from okazja._engine.source import Batch

__all__ = ["DirectInput", "NoInput", "RangeInput", "ReadInput", "can_block", "in_reader", "news_for"]

LOOK_AHEAD = 512  # items that are read before anybody asks for them
MOST_BYTES = 1 << 25  # that these may take, as they are estimated

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
        self.on_news: Callable[[], None] = _nobody  # nothing becomes available by itself

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
        self.on_news: Callable[[], None] = _nobody

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


class ReadInput:
    """An input that a thread of its own reads ahead. The thread starts with the first `take`.

    look_ahead: items that may be read and not yet taken; default and most: LOOK_AHEAD.
    The caller's context variables are seen by the input. A generator is closed in the thread that reads it.
    """

    def __init__(self, iterator: Iterator[Any], look_ahead: int | None = None) -> None:
        self._iterator: Iterator[Any] | None = iterator
        self._most = LOOK_AHEAD if look_ahead is None else min(look_ahead, LOOK_AHEAD)
        # Re-entrant, because the stream may be finalized, and so closed, anywhere.
        self._lock = threading.RLock()  # entered by itself, as that of a run
        self._changed = threading.Condition(self._lock)
        self._items: deque[Any] = deque()
        self._weights: deque[int] = deque()  # bytes, one for each of these
        self._bytes = 0  # of all of them
        self._error: BaseException | None = None
        self._read_all = False
        self._starved = False  # somebody has found nothing
        self._closed = False
        self._started = False
        self.ended = False
        self.on_news: Callable[[], None] = _nobody

    def take(self, most: int) -> Batch:
        """See Source."""
        if not self._started:
            self._start()
        items = self._items
        with self._lock:
            taken = [items.popleft() for _ in range(min(most, len(items)))]
            self._bytes -= sum([self._weights.popleft() for _ in taken])
            if self._is_low():
                self._changed.notify()
            if not taken and not self._read_all:
                self._starved = True
            over = self._read_all and not items
            error = self._error if over and not taken else None
            if error is not None:
                self._error = None
            self.ended = self._closed or (over and self._error is None)
        if error is not None:
            raise error
        return Batch(taken)

    def close(self) -> None:
        """See Source."""
        with self._lock:
            self._closed = self.ended = True
            self._items.clear()
            self._weights.clear()
            self._bytes = 0
            self._error = None
            if not self._started:
                self._iterator = None
            self._changed.notify()

    def _start(self) -> None:
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

    # --- the thread

    def _work(self, holder: list[Iterator[Any]]) -> None:
        error: BaseException | None = None
        try:
            self._read(holder.pop())
        except BaseException as problem:
            error = problem.with_traceback(problem.__traceback__.tb_next if problem.__traceback__ else None)
        with self._lock:
            if not self._closed:
                self._error = error
            self._read_all = True
        error = None  # it leads to this frame
        self.on_news()

    def _read(self, iterator: Iterator[Any]) -> None:
        items, lock = self._items, self._lock
        try:
            for item in iterator:
                bytes_ = weight(item)
                with lock:
                    if self._closed:
                        return
                    items.append(item)
                    self._weights.append(bytes_)
                    self._bytes += bytes_
                    starved, self._starved = self._starved, False
                del item
                if starved:
                    self.on_news()
                if (len(items) >= self._most or self._bytes >= MOST_BYTES) and not self._room():
                    return
        finally:
            if type(iterator) is GeneratorType:
                iterator.close()

    def _is_low(self) -> bool:
        """Whether so little is left that more is to be read."""
        return len(self._items) <= self._most // 2 and self._bytes <= MOST_BYTES // 2

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


def _nobody() -> None:
    """Nobody wants to know."""
