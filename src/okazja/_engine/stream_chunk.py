"""The chunk of a stream: of each item it knows the time, the worker, how often it ran, and whether it may again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from okazja._core.messages import Call, Reply
from okazja._core.timeouts import timeout_error
from okazja._engine.chunk import Chunk
from okazja.errors import RemoteTraceback, TaskTypeError, WorkerDied

__all__ = ["StreamChunk"]


class StreamOwner(Protocol):
    """The run that a stream's chunk belongs to."""

    closed: bool
    retries: int

    def arrived(self, chunk: Chunk, items: int, seconds: float) -> None:
        """Items of a chunk have their outcomes."""

    def came(self, chunk: StreamChunk, done: Sequence[int], again: Sequence[Call], seconds: float) -> None:
        """Items have their outcomes, and others are to run again."""

    def number_call(self) -> int:
        """A number for a new call."""


class StreamChunk(Chunk):
    """Consecutive items of a stream. Positions are those in the chunk."""

    __slots__ = ("extra", "failed", "failures", "items", "positions", "stream", "times", "told", "workers")

    def __init__(self, stream: StreamOwner, base: int, items: Sequence[Any]) -> None:
        super().__init__(stream, base, len(items))
        self.stream = stream
        self.items = items
        self.positions: Sequence[int] = range(len(items))  # of the items that this speaks of
        self.times = [0] * len(items)  # ns that the last attempt took
        self.workers = [-1] * len(items)
        self.extra: dict[int, int] = {}  # attempts beyond the first
        self.failures: dict[int, int] = {}  # so far, of items that ran again
        self.failed: dict[int, BaseException] = {}  # why they ran again
        self.told = 0  # bytes of results that are in pieces

    def piece(self, positions: Sequence[int]) -> StreamChunk:
        """A chunk that speaks of some of the items, all of which have their outcomes."""
        piece = StreamChunk.__new__(StreamChunk)
        piece.run, piece.stream, piece.base, piece.items = self.run, self.stream, self.base, self.items
        piece.values, piece.times, piece.workers, piece.extra = (
            self.values,
            self.times,
            self.workers,
            self.extra,
        )
        piece.positions, piece.size, piece.left = positions, len(positions), 0
        piece.errors = {p: self.errors[p] for p in positions if p in self.errors}
        piece.bytes = self.bytes - self.sent - self.told
        self.told += piece.bytes
        return piece

    # --- as the sink of its calls

    def _begin(self) -> bool:
        return not self.run.closed

    def _settle(self, call: Call, reply: Reply) -> None:
        self._read(call, reply)
        lo, hi = call.lo, call.hi
        seconds = reply[3]
        if len(reply) > 6 and len(reply[6]) == hi - lo:
            self.times[lo:hi] = reply[6]
            for position, text in reply[7].items():
                self.errors[position] = _interrupted(call, text)
                seconds -= reply[6][position - lo] / 1e9  # says nothing about the others
        else:
            self.times[lo:hi] = [int(seconds / (hi - lo) * 1e9)] * (hi - lo)
        self._came(call, max(seconds, 0.0))

    def _fail(self, call: Call, error: BaseException, item: int | None = None) -> None:
        began = isinstance(error, WorkerDied | TimeoutError)
        for position in range(call.lo, call.hi):
            # What was to run again and never did has failed for the reason it had.
            self.errors[position] = error if began else self.failed.get(position, error)
            if not began:
                self.extra[position] = self.extra.get(position, 0) - 1
        self.times[call.lo : call.hi] = [int(call.spent * 1e9)] * call.items
        self._came(call, 0.0, may_retry=began)

    def _lost(self, call: Call, end: int) -> None:
        """The items up to ``end`` had begun on a worker that died, and will begin once more."""
        for position in range(call.lo, end):
            self.extra[position] = self.extra.get(position, 0) + 1

    def _never(self, errors: dict[int, BaseException]) -> None:
        """Items that can't travel: they never began."""
        self.errors.update(errors)
        self.extra.update(dict.fromkeys(errors, -1))
        self.stream.came(self, [*errors], (), 0.0)

    def _came(self, call: Call, seconds: float, may_retry: bool = True) -> None:
        lo, hi = call.lo, call.hi
        self.workers[lo:hi] = [call.slot] * (hi - lo)
        if not self.errors:
            self.stream.came(self, range(lo, hi), (), seconds)
            return
        again = {p for p in range(lo, hi) if p in self.errors and may_retry and self._may_retry(p)}
        calls = [self._again(call, position) for position in sorted(again)]
        done = [p for p in range(lo, hi) if p not in again] if again else range(lo, hi)
        self.stream.came(self, done, calls, seconds)

    def _may_retry(self, position: int) -> bool:
        retries = 0 if self.run.closed else self.stream.retries
        return self.failures.get(position, 0) < retries and not isinstance(
            self.errors[position], TaskTypeError | KeyboardInterrupt
        )

    def _again(self, call: Call, position: int) -> Call:
        """A call for another attempt at one item."""
        self.failures[position] = self.failures.get(position, 0) + 1
        self.extra[position] = self.extra.get(position, 0) + 1
        self.failed[position] = self.errors.pop(position)
        again = call.part(self.stream.number_call(), position, position + 1)
        again.urgent = True
        return again


def _interrupted(call: Call, text: str) -> TimeoutError:
    assert call.limit is not None
    error = timeout_error(call.fn.name, call.limit, "was interrupted")
    error.__cause__ = RemoteTraceback(text)
    return error
