"""The streams of an engine that may run items again, for which its workers have to stay."""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

__all__ = ["Retrying", "RetryingStream"]


class RetryingStream(Protocol):
    """A stream that may run items again."""

    @property
    def unsettled(self) -> bool:
        """Whether it may send more calls, although it has drawn all of its input."""

    def give_up_retries(self) -> None:
        """Run nothing again."""


class Retrying:
    """Those of one engine that somebody still knows. Thread-safe."""

    def __init__(self) -> None:
        # Re-entrant, because a stream may be finalized, and so closed, anywhere.
        self._lock = threading.RLock()
        self._streams: weakref.WeakSet[RetryingStream] = weakref.WeakSet()

    def add(self, stream: RetryingStream) -> None:
        """Mind this stream as long as it lives."""
        with self._lock:
            self._streams.add(stream)

    def give_up(self) -> None:
        """What fails from now on has failed for good."""
        for stream in self._listed():
            stream.give_up_retries()

    def unsettled(self) -> bool:
        """Whether some of them may send more calls."""
        return any(stream.unsettled for stream in self._listed())

    def _listed(self) -> list[RetryingStream]:
        with self._lock:
            return list(self._streams)
