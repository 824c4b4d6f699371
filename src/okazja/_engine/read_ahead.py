"""What was read of an input before anybody asked for it: a bounded number of items, and how reading ended."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

from okazja._core.weight import weight
from okazja._engine.source import Batch

__all__ = ["LOOK_AHEAD", "MOST_BYTES", "ReadAhead", "nobody"]

LOOK_AHEAD = 512  # items that are read before anybody asks for them
MOST_BYTES = 1 << 25  # that these may take, as they are estimated


class ReadAhead(ABC):
    """Somebody reads, and calls `_keep` and `_read_to_the_end`; others take.

    look_ahead: items that may be read and not yet taken; default and most: LOOK_AHEAD.
    """

    def __init__(self, look_ahead: int | None) -> None:
        self._most = LOOK_AHEAD if look_ahead is None else min(look_ahead, LOOK_AHEAD)
        # Re-entrant, because the stream may be finalized, and so closed, anywhere. Entered by itself, as that of a run.
        self._lock = threading.RLock()
        self._items: deque[Any] = deque()
        self._weights: deque[int] = deque()  # bytes, one for each of these
        self._bytes = 0  # of all of them
        self._error: BaseException | None = None
        self._read_all = False
        self._starved = False  # somebody has found nothing
        self._closed = False
        self.ended = False
        self.on_news: Callable[[], None] = nobody

    @abstractmethod
    def _start(self) -> None:
        """Begin to read, if that was not begun. Called by each `take`."""

    @abstractmethod
    def _go_on(self) -> None:
        """There is room again, or nobody wants more: whoever waits for that goes on."""

    def take(self, most: int) -> Batch:
        """See Source."""
        self._start()
        items = self._items
        with self._lock:
            taken = [items.popleft() for _ in range(min(most, len(items)))]
            self._bytes -= sum([self._weights.popleft() for _ in taken])
            if not taken and not self._read_all:
                self._starved = True
            over = self._read_all and not items
            error = self._error if over and not taken else None
            if error is not None:
                self._error = None
            self.ended = self._closed or (over and self._error is None)
            low = self._is_low()
        if low:
            self._go_on()
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
        self._go_on()

    # --- for whoever reads

    def _keep(self, item: Any) -> bool:
        """Have an item ready; False if nobody wants it."""
        bytes_ = weight(item)
        with self._lock:
            if self._closed:
                return False
            self._items.append(item)
            self._weights.append(bytes_)
            self._bytes += bytes_
            starved, self._starved = self._starved, False
        del item
        if starved:
            self.on_news()
        return True

    def _read_to_the_end(self, error: BaseException | None) -> None:
        """No more will come, because of this error or because there is no more."""
        with self._lock:
            if not self._closed:
                self._error = error
            self._read_all = True
        del error
        self.on_news()

    def _is_full(self) -> bool:
        """Whether no more may be read for now."""
        return len(self._items) >= self._most or self._bytes >= MOST_BYTES

    def _is_low(self) -> bool:
        """Whether so little is left that more is to be read."""
        return len(self._items) <= self._most // 2 and self._bytes <= MOST_BYTES // 2


def nobody() -> None:
    """Nobody wants to know."""
