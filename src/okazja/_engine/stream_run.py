"""A stream's pass over its input: as a map's, but items may have a limit and run again, and come as they are done."""

from __future__ import annotations

import random
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from okazja._core import backoff
from okazja._core.messages import Call, Stop
from okazja._engine.alarm import Entry
from okazja._engine.chunk import Chunk
from okazja._engine.engine import Engine
from okazja._engine.run import Run
from okazja._engine.source import Batch, Source
from okazja._engine.stream_chunk import StreamChunk, retry_says
from okazja._transport import codec
from okazja.errors import TaskTypeError

__all__ = ["StreamOptions", "StreamRun"]

_chance = random.Random()  # a generator of our own: the caller's numbers stay as they would be


class StreamOptions(NamedTuple):
    """What a stream does besides running items; checked before.

    item_timeout, deadline: seconds, None for any. retries: how often an item that failed runs again.
    backoff: seconds before the first further attempt. retry_on: whether an error is worth one; None: any may be.
    """

    item_timeout: float | None = None
    deadline: float | None = None
    retries: int = 0
    backoff: float = 0.0
    retry_on: Callable[[BaseException], object] | None = None


class StreamRun(Run):
    """One stream over an input."""

    def __init__(
        self,
        engine: Engine,
        fn: Callable[..., Any],
        source: Source,
        *,
        options: StreamOptions,
        **run_options: Any,
    ) -> None:
        self.halt: Stop | None = None  # nothing begins any more, and what runs is to end
        self.retries = options.retries
        self.lets_wait = options.backoff > 0
        self._waited_for = bool(options.retries)  # by an engine that closes
        self._options = options
        self._again: deque[Call] = deque()
        self._sending_again = False
        self._waiting: dict[Call, Entry] = {}  # for the time to run again
        self._cut_some = False  # items never began, or were stopped
        self._settled = 0  # items that have their outcome
        self._alarm: Entry | None = None
        super().__init__(engine, fn, source, **run_options)
        self.keeps_order = self._ordered
        if options.retries:
            engine.retrying.add(self)

    def number_call(self) -> int:
        """A number for a new call."""
        return self._engine.number_call()

    # --- input

    def begin(self) -> None:
        """Draw the first of the input; from now on the deadline counts."""
        if self._options.deadline is not None:
            this = weakref.ref(self)

            def expire() -> None:
                run = this()
                if run is not None:
                    run._expire()

            try:
                self._alarm = self._engine.alarm.at(monotonic() + self._options.deadline, expire)
            except BaseException:  # no more threads
                self.close()
                raise
        super().begin()

    def _has_room(self, bounded: bool) -> bool:
        if bounded:
            if self._engine.runs_at_once and self._chunks and not self._chunks[0].left:
                return False  # nothing is gained by another item before the caller has this outcome
            if self.buffersize is not None and not self._fits():
                return False
        return super()._has_room(bounded)

    def _admit(self, base: int, batch: Batch) -> None:
        if batch.known is None:
            super()._admit(base, batch)
            if self.halt is not None:  # since the items were drawn
                self._withdraw()
            return
        chunk = StreamChunk(self, base, batch.items, batch.keys)
        chunk.remember(batch.known)
        failed = len(chunk.errors)
        self._reports.known(chunk.size - failed, failed)
        with self._lock:
            self._held_items += chunk.size
            self._held_bytes += chunk.bytes
            self._settled += chunk.size
            self._chunks.append(chunk)

    def _chunk(self, base: int, batch: Batch) -> Chunk:
        return StreamChunk(self, base, batch.items, batch.keys)

    def _call(self, kind: int, payload: Any, chunk: Chunk, lo: int, hi: int) -> Call:
        call = super()._call(
            kind if self._engine.shares_memory else kind | codec.TIMED, payload, chunk, lo, hi
        )
        call.limit = self._options.item_timeout
        call.stoppable = True
        return call

    # --- results

    def chunks(self, deadline: float | None) -> Iterator[Chunk]:
        """As those of a map; what went wrong while outcomes were recorded is raised as well."""
        try:
            for chunk in super().chunks(deadline):
                self._reports.check()
                yield chunk
                del chunk
            self._reports.check()
        finally:
            self.close()
            self._reports.said()

    def came(self, chunk: StreamChunk, done: Sequence[int], again: Sequence[Call], seconds: float) -> None:
        """Items have their outcomes, and others are to run again."""
        if self._reports.wanted and not self.closed:
            self._reports.outcomes(chunk, done, len(again))
        away = [call for call in again if call.sink is not chunk]
        with self._lock:
            self._settled += len(done)
            if seconds and done:
                self._pace.measured(seconds, len(done) + len(again))
            self._take_out(chunk, len(done), away)
            if self._ordered:
                if not chunk.left:
                    self._held_bytes += chunk.bytes - chunk.sent
            elif done:
                self._put(chunk, done)
            elif not chunk.left:
                self._held_bytes -= chunk.sent
            self._changed.notify_all()
        if again:
            self._let_wait(again) if self.lets_wait else self._send_again(again)
        if self._waited_for and not self._pending:
            self._engine._close_if_done()

    def _take_out(self, chunk: StreamChunk, done: int, away: Sequence[Call]) -> None:
        """Items of a chunk have their outcomes, and others wait as chunks of their own from now on."""
        chunk.left -= done + len(away)
        self._cut_some = self._cut_some or bool(chunk.cut)
        for call in away:
            self._pending += 1
            self._held_bytes += call.sink.sent  # type: ignore[attr-defined]  # a StreamChunk
        if not chunk.left:
            self._pending -= 1
            self._each_bytes = max(chunk.bytes - chunk.sent, chunk.sent) // chunk.size
        self._park(chunk)

    def _put(self, chunk: StreamChunk, done: Sequence[int]) -> None:
        """Have outcomes taken without a wait for the rest of their chunk."""
        piece = chunk if len(done) == len(chunk.items) else chunk.piece(done)
        if piece is chunk:
            self._held_bytes += chunk.bytes - chunk.sent
        else:
            self._held_bytes += piece.bytes
            if not chunk.left:
                piece.bytes += chunk.sent
        self._chunks.append(piece)

    # --- further attempts

    def is_worth_it(self, error: BaseException) -> bool:
        """Whether an item that failed like this may succeed the next time."""
        if isinstance(error, TaskTypeError | KeyboardInterrupt):
            return False
        check = self._options.retry_on
        return check is None or retry_says(check, error)

    def _let_wait(self, calls: Sequence[Call]) -> None:
        """Have calls sent when their time has come."""
        late = []
        for call in calls:
            chunk: Any = call.sink
            failures = chunk.failures[call.lo]
            when = monotonic() + backoff.pause(self._options.backoff, failures, _chance.random())
            with self._lock:
                if self.closed or self.halt is not None or not self.retries:
                    late.append(call)
                    continue
                try:
                    self._waiting[call] = self._engine.alarm.at(when, partial(self._due, call))
                except RuntimeError:  # no more threads: it fails for the reason it had
                    late.append(call)
                    continue
                chunk.waiting += 1
                self._park(chunk)
                self._changed.notify_all()
        self._let_fail(late)

    def _due(self, call: Call) -> None:
        """An item has waited long enough."""
        with self._lock:
            if self._waiting.pop(call, None) is None:
                return
            self._no_longer_waits(call)
            if self._engine.runs_at_once:  # in the caller's thread and no other
                self._chores.append(partial(self._send_again, [call]))
                self._changed.notify_all()
                return
        self._send_again([call])

    def _no_longer_waits(self, call: Call) -> None:
        chunk: Any = call.sink
        chunk.waiting -= 1
        self._park(chunk)

    def _park(self, chunk: StreamChunk) -> None:
        """Count a chunk among those that nobody works on, if it has become one."""
        parked = 0 < chunk.left == chunk.waiting
        if parked is not chunk.parked:
            chunk.parked = parked
            self._parked += 1 if parked else -1

    def _stop_waiting(self) -> list[Call]:
        """The calls that waited."""
        with self._lock:
            calls = list(self._waiting)
            for call, entry in self._waiting.items():
                self._engine.alarm.cancel(entry)
                self._no_longer_waits(call)
            self._waiting.clear()
        return calls

    def _let_fail(self, calls: Sequence[Call]) -> None:
        """What was to run again does not: it failed for the reason it had, or in time for the deadline."""
        for call in calls:
            if self.halt is not None:
                call.sink._refused(call)
            else:
                call.sink._drop(call)

    def _send_again(self, calls: Sequence[Call]) -> None:
        """Send calls, one after the other: where a call runs at once, it fails inside of this."""
        with self._lock:
            self._again.extend(calls)
            if self._sending_again:
                return
            self._sending_again = True
        try:
            while (call := self._next_again()) is not None:
                if self._engine.shares_memory:
                    call.context = self._context.copy()  # what the last attempt has set is gone
                self._engine.dispatch(call)
        except BaseException:
            self._sending_again = False
            raise
        if self.halt is not None:
            self._withdraw()

    def _next_again(self) -> Call | None:
        with self._lock:
            if self._again:
                return self._again.popleft()
            self._sending_again = False
            return None

    @property
    def unsettled(self) -> bool:
        """Whether items may yet run again, for which the workers must stay."""
        return self._pending > 0 and self.retries > 0 and not self.closed

    def give_up_retries(self) -> None:
        """What fails from now on has failed for good."""
        self.retries = 0
        self._let_fail(self._stop_waiting())

    # --- the end

    def _expire(self) -> None:
        """The deadline has passed: draw no more, end what runs, and say of each item what became of it."""
        with self._lock:
            if self.closed or (self._input_ended and not self._pending and not self._drawing):
                return
            seconds = self._options.deadline
            self.halt = Stop(monotonic(), f"the stream's deadline={seconds:g} s passed", abandon=True)
            error = TimeoutError(
                f"deadline={seconds:g} s passed when {self._settled} of the {self._drawn} items drawn so far had their "
                f"outcomes: give it more time, or more workers"
            )
            if self._input_error is None:
                self._input_error = error
        self._give_up_input(error)
        self._let_fail(self._stop_waiting())
        self._withdraw()
        self._engine.run_ended(self)

    def _withdraw(self) -> None:
        """Have what runs end, and what has not begun never begin."""
        assert self.halt is not None
        for call in self._engine.stop(self, self.halt):
            call.sink._refused(call)

    def _stop(self) -> None:
        self.halt = self.halt or Stop(monotonic(), "its stream was closed", abandon=False)
        self._engine.stop(self, self.halt)

    def abandon(self) -> None:
        """Draw no more, and run nothing again."""
        self.give_up_retries()
        super().abandon()

    def after_fork(self) -> None:
        """In a child of a fork: nothing more will arrive."""
        super().after_fork()
        self._waiting.clear()
        self._alarm = None

    def close(self) -> None:
        """The caller wants no more: what has not begun never will, and what runs is ended."""
        super().close()
        self._stop_waiting()
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            self._engine.alarm.cancel(alarm)
        self._engine._close_if_done()

    def _is_whole(self) -> bool:
        return super()._is_whole() and not self._cut_some

    def __del__(self) -> None:
        """Nobody has ever asked for an outcome, or will."""
        super().__del__()
        if self._alarm is not None:
            self._engine.alarm.cancel(self._alarm)
        self._source.close()
        self._reports.end(self._is_whole())
