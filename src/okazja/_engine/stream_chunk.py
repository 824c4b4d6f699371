"""The chunk of a stream: of each item it knows the time, the worker, how often it ran, and whether it may again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from okazja._core.known import Known
from okazja._core.messages import Call, Reply, Stop
from okazja._core.timeouts import overdue_error
from okazja._engine.chunk import NO_ERRORS, Chunk
from okazja._transport import codec
from okazja.errors import RemoteTraceback, WorkerDied, describe

__all__ = ["StreamChunk", "retry_says"]


# What most chunks have in common, for there are many; never changed.
_ONLY = range(1)
_NONE_YET: list[int] = []
_NEVER: dict[int, int] = {}
_NOTHING: frozenset[int] = frozenset()


class StreamOwner(Protocol):
    """The run that a stream's chunk belongs to."""

    closed: bool
    halt: Stop | None
    retries: int
    keeps_order: bool
    lets_wait: bool

    def arrived(self, chunk: Chunk, items: int, seconds: float) -> None:
        """Items of a chunk have their outcomes."""

    def came(self, chunk: StreamChunk, done: Sequence[int], again: Sequence[Call], seconds: float) -> None:
        """Items have their outcomes, and others are to run again."""

    def is_worth_it(self, error: BaseException) -> bool:
        """Whether an item that failed like this may succeed the next time."""

    def number_call(self) -> int:
        """A number for a new call."""


class StreamChunk(Chunk):
    """Consecutive items of a stream. Positions are those in the chunk."""

    __slots__ = (
        "cut", "extra", "failed", "failures", "items", "keys", "parked", "positions", "stream", "times", "told",
        "waiting", "workers",
    )  # fmt: skip

    def __init__(
        self, stream: StreamOwner, base: int, items: list[Any] | range, keys: list[Any] | None = None
    ) -> None:
        super().__init__(stream, base, len(items))
        self.stream = stream
        self.items = items
        self.keys = keys  # what a recorder calls the items
        # Of the items that this speaks of.
        self.positions: Sequence[int] = _ONLY if len(items) == 1 else range(len(items))
        # Times and workers are made with the first outcome, and what few items need when there is something to keep.
        self.times: list[int] = _NONE_YET  # ns that the last attempt took
        self.workers: list[int] = _NONE_YET
        self.extra = _NEVER  # attempts beyond the first; added to by `_ran` alone
        self.failures = _NEVER  # so far, of items that ran again
        self.failed = NO_ERRORS  # why they ran again
        self.cut: AbstractSet[int] = _NOTHING  # that never began or were stopped: no outcome of their own
        self.told = 0  # bytes of results that are in pieces
        self.waiting = 0  # items that wait for the time to run again
        self.parked = False  # all that is left waits

    def remember(self, known: Sequence[Known]) -> None:
        """Take the outcomes of an earlier run: nothing is left to be done."""
        self.values = [outcome.value for outcome in known]
        self.bytes = sum(outcome.size for outcome in known)
        self.times = [int(outcome.seconds * 1e9) for outcome in known]
        self.workers = [-1] * len(known)
        self.note({p: outcome.error for p, outcome in enumerate(known) if outcome.error is not None})
        self.extra = {p: outcome.attempts - 1 for p, outcome in enumerate(known) if outcome.attempts != 1}
        self.left = 0

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
        piece.cut = self.cut
        piece.positions, piece.size, piece.left = positions, len(positions), 0
        piece.errors = {p: self.errors[p] for p in positions if p in self.errors}
        piece.bytes = self.bytes - self.sent - self.told
        self.told += piece.bytes
        return piece

    @property
    def halt(self) -> Stop | None:
        """Why what runs is to end, if it is."""
        return self.stream.halt

    # --- as the sink of its calls

    @property
    def _runs_again(self) -> bool:  # type: ignore[override]  # it depends
        return self.stream.retries > 0

    def _begin(self) -> bool:
        return not self.stream.closed and self.stream.halt is None

    def _refused(self, call: Call) -> None:
        """The stream was stopped before the call had begun."""
        halt = self.stream.halt
        if self.stream.closed or halt is None:
            return
        for position in range(call.lo, call.hi):
            before = self.failed.get(position)
            error = TimeoutError(
                f"{call.fn.name} had {'not begun' if before is None else 'failed and not run again'} when {halt.why}"
            )
            error.__cause__ = before
            self.note({position: error})
        self._cut(call)

    def _settle(self, call: Call, reply: Reply) -> None:
        self._read(call, reply)
        lo, hi = call.lo, call.hi
        seconds = reply[3]
        if len(reply) > 6 and len(reply[6]) == hi - lo:
            self._took(lo, hi, reply[6])
            interrupted: Sequence[int] = [*reply[7]]
            for position, text in reply[7].items():
                self.note({position: _interrupted(call, text)})
                seconds -= reply[6][position - lo] / 1e9  # says nothing about the others
        else:
            self._took(lo, hi, [int(seconds / (hi - lo) * 1e9)] * (hi - lo))
            ended = TimeoutError | KeyboardInterrupt
            interrupted = [p for p in range(lo, hi) if isinstance(self.errors.get(p), ended)]
        if call.stop is not None:
            self._mark_cut(interrupted)
        self._came(call, max(seconds, 0.0))

    def _fail(self, call: Call, error: BaseException, item: int | None = None) -> None:
        self._took(call.lo, call.hi, [int(call.spent * 1e9)] * call.items)
        began = isinstance(error, WorkerDied | TimeoutError)
        # What was to run again and never did has failed for the reason it had.
        failed = NO_ERRORS if began else self.failed
        self.note({position: failed.get(position, error) for position in range(call.lo, call.hi)})
        if not began:
            self._cut(call)
            return
        if call.stop is not None:
            self._mark_cut(range(call.lo, call.hi))
        self._came(call, 0.0)

    def _cut(self, call: Call) -> None:
        """The call's items, which have their errors, never began this time and never will."""
        self._ran(range(call.lo, call.hi), -1)
        self._mark_cut(range(call.lo, call.hi))
        self._came(call, 0.0, may_retry=False)

    def _lost(self, call: Call, end: int) -> None:
        """The items up to ``end`` had begun on a worker that died, and will begin once more."""
        self._ran(range(call.lo, end), 1)

    def _never(self, errors: dict[int, BaseException]) -> None:
        """Items that can't travel: they never began."""
        self.note(errors)
        self._ran([*errors], -1)
        self._make_lists()
        self.stream.came(self, [*errors], (), 0.0)

    def _came(self, call: Call, seconds: float, may_retry: bool = True) -> None:
        lo, hi = call.lo, call.hi
        self._make_lists()
        self.workers[lo:hi] = [call.slot] * (hi - lo)
        if not self.errors:
            self.stream.came(self, range(lo, hi), (), seconds)
            return
        again = {p for p in range(lo, hi) if p in self.errors and may_retry and self._may_retry(p)}
        calls = [self._again(call, position) for position in sorted(again)]
        done = [p for p in range(lo, hi) if p not in again] if again else range(lo, hi)
        self.stream.came(self, done, calls, seconds)

    def _make_lists(self) -> None:
        if self.times is _NONE_YET:
            self.times = [0] * len(self.items)
            self.workers = [-1] * len(self.items)

    def _took(self, lo: int, hi: int, times: Sequence[int]) -> None:
        """So many ns an item."""
        self._make_lists()
        self.times[lo:hi] = times

    def _ran(self, positions: Sequence[int], more: int) -> None:
        """Count attempts that were not to be expected, or did not come about."""
        if self.extra is _NEVER:
            self.extra = {}
        for position in positions:
            self.extra[position] = self.extra.get(position, 0) + more

    def _mark_cut(self, positions: Sequence[int]) -> None:
        if not isinstance(self.cut, set):
            self.cut = set()
        self.cut.update(positions)

    # --- further attempts

    def _may_retry(self, position: int) -> bool:
        retries = 0 if self.stream.closed or self.stream.halt is not None else self.stream.retries
        return (
            self.failures.get(position, 0) < retries
            and position not in self.cut
            and self.stream.is_worth_it(self.errors[position])
        )

    def _again(self, call: Call, position: int) -> Call:
        """A call for another attempt at one item."""
        if self.failures is _NEVER:
            self.failures, self.failed = {}, {}
        self.failures[position] = self.failures.get(position, 0) + 1
        self._ran((position,), 1)
        self.failed[position] = self.errors.pop(position)
        again = call.part(self.stream.number_call(), position, position + 1)
        again.urgent = True
        if self.stream.lets_wait and not self.stream.keeps_order and self.size > 1:
            self._send_away(again, position)
        return again

    def _send_away(self, call: Call, position: int) -> None:
        """Have an item that waits be a chunk of its own: what else travelled with it need not be kept."""
        payload = codec.one_item(call.kind, call.payload, self.items, position)
        if payload is None:
            return
        keys = None if self.keys is None else [self.keys[position]]
        alone = StreamChunk(self.stream, self.base + position, [self.items[position]], keys)
        alone.extra = {0: self.extra.pop(position)}
        alone.failures = {0: self.failures.pop(position)}
        alone.failed = {0: self.failed.pop(position)}
        alone.sent = alone.bytes = len(payload)
        call.payload, call.sink, call.base, call.lo, call.hi = payload, alone, alone.base, 0, 1


def retry_says(check: Callable[[BaseException], object], error: BaseException) -> bool:
    """What a caller's ``retry_on`` says; where it raises, no, and the error has a note of that."""
    try:
        return bool(check(error))
    except BaseException as problem:
        note = f"retry_on could not say whether this is worth a retry: it raised {describe(problem)}"
        with contextlib.suppress(Exception):  # some errors take no notes
            BaseException.add_note(error, note)
        return False


def _interrupted(call: Call, text: str) -> TimeoutError:
    error = overdue_error(call, "was interrupted")
    error.__cause__ = RemoteTraceback(text)
    return error
