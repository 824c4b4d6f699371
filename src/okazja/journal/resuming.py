"""An input whose items are looked up in a journal before the engine has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import groupby
from typing import Any

from okazja._engine.source import Batch, Source
from okazja.journal.recorder import Recorder

__all__ = ["Resuming"]


class Resuming:
    """A source on top of another: its batches are all known, or all to be run.

    ahead: it draws a look-up's block of items, however few it was asked for, but never more than are there; else it
    draws what it was asked for.
    """

    def __init__(self, source: Source, recorder: Recorder, *, ahead: bool = True) -> None:
        self._source = source
        self._ahead = ahead
        self._recorder = recorder
        self._base = 0  # position of the next item to be looked up
        self._ready: deque[Batch] = deque()
        self._rest: list[Any] = []  # drawn and not looked up: what is known of those before it is large
        self._stopped = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return not self._ready and (self._stopped or (not self._rest and self._source.ended))

    @property
    def on_news(self) -> Callable[[], None]:
        """Called, in any thread, when items have become available or the input has ended."""
        return self._source.on_news

    @on_news.setter
    def on_news(self, call: Callable[[], None]) -> None:
        self._source.on_news = call

    def take(self, most: int) -> Batch:
        """Up to ``most`` items to be run, or any number of known ones. Raises what the input and the journal raise."""
        if not self._ready and not self._stopped:
            self._look_up(most)
        if not self._ready:
            return Batch([])
        batch = self._ready[0]
        if batch.known is not None or len(batch.items) <= most:
            return self._ready.popleft()
        assert batch.keys is not None
        self._ready[0] = Batch(batch.items[most:], batch.keys[most:])
        return Batch(batch.items[:most], batch.keys[:most])

    def close(self) -> None:
        """No more will be taken."""
        self._source.close()

    def _look_up(self, most: int) -> None:
        """Have what is ready: one look-up's answer, which is bounded in items and in the bytes of known values."""
        block = self._recorder.block
        items = self._rest or list(
            self._source.take(block if self._ahead else min(max(most, 1), block)).items
        )
        if not items:
            return
        try:
            keys, known = self._recorder.look_up(self._base, items[:block])
        except BaseException:
            self._stopped = True
            raise
        start = 0
        for is_known, group in groupby(outcome is not None for outcome in known):
            stop = start + len(list(group))
            outcomes = [outcome for outcome in known[start:stop] if outcome] if is_known else None
            self._ready.append(Batch(items[start:stop], keys[start:stop], outcomes))
            start = stop
        self._base += len(keys)
        self._rest = items[len(keys) :]
