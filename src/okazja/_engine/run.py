"""One pass over an input: draws it lazily, sends it in chunks, and keeps what comes back.

``map`` and ``stream`` are two faces of one ``Run``. Items are taken from its source only in the thread that
calls ``map``, ``next`` or ``shutdown``; what was taken and not yet handed to the caller is bounded, in items
and in bytes. The run's lock guards its counters; it is never held while input is drawn or the
caller's code runs.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextvars import copy_context
from time import monotonic
from typing import Any

from okazja._core.chunking import Pace, chunk_size
from okazja._core.messages import Call, Function, Timing
from okazja._core.observer import Observer
from okazja._core.weight import weight
from okazja._engine.chunk import Chunk
from okazja._engine.engine import Engine
from okazja._engine.future import report_lost
from okazja._engine.input import NoInput, in_reader, news_for
from okazja._engine.library import Library
from okazja._engine.reports import Reports
from okazja._engine.source import Batch, Recorder, Source
from okazja._transport import codec, pickling, waiting
from okazja._worker.context import context_values
from okazja._worker.task import name_of
from okazja.errors import ExecutorShutdown, describe

__all__ = ["Run"]

MOST_ITEMS = 1 << 15  # drawn and not yet handed to the caller
MOST_BYTES = 1 << 25  # of arguments and results of the same, as they travel or as they are estimated
PER_WORKER = 4  # chunks that may be on their way for each worker; more input is drawn at half of it


_NO_KEYWORDS: dict[str, Any] = {}  # of all items; never changed


class Run:
    """One map or stream over an input."""

    def __init__(
        self,
        engine: Engine,
        fn: Callable[..., Any],
        source: Source,
        *,
        star: bool,
        length: int | None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        ordered: bool = True,
        context_vars: tuple[Any, ...] = (),
        observers: tuple[Observer, ...] = (),
        recorder: Recorder | None = None,
    ) -> None:
        self._engine = engine
        self._source = source
        self._reports = Reports(observers, recorder)
        self._total = length
        self._star = star
        self._remaining = length  # items not yet drawn; None where nobody knows
        self._chunksize = 1 if engine.shares_memory else chunksize
        self.buffersize = buffersize
        self._ordered = ordered
        # Re-entrant, because the iterator may be finalized, and so closed, anywhere. Entered by itself: a Condition's
        # methods are Python code, and a Ctrl-C that breaks into the one that lets go would leave it held.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._chunks: deque[Chunk] = deque()  # drawn and not handed over; unordered: those that are done
        self._pending = 0  # chunks without all of their outcomes
        self._parked = 0  # of them, those that nobody works on: what is left of them waits to be tried again
        self._held_items = 0  # drawn and not handed over
        self._held_bytes = 0
        self._each_bytes = 0  # of the arguments or the result of an item, whichever is more; the last seen
        self._drawing = False  # some thread draws input
        self._drawer = 0  # which one
        self._drawn = 0
        self._last = 0  # size of the last chunk
        self._starved = False  # the source had nothing when last asked, and has told no news since
        self._input_ended = False
        self._drawn_all = False  # the input came to its end
        self._input_error: BaseException | None = None
        self.needs_loop: Library | None = None  # the one that an asynchronous input is drawn on
        self.runs_at_once = engine.runs_at_once
        self.closed = False
        self._chores: deque[Callable[[], None]] = deque()  # to be done in the thread that takes results
        self._high = PER_WORKER * engine.max_workers
        self._iterator: weakref.ref[Any] | None = None
        self._started = False  # somebody has asked for a result
        self._fn, self._context = self._prepare(fn, context_vars)
        self._pace = Pace(engine.functions.paces.get(self._fn.key, 0.0))
        source.on_news = news_for(self)
        engine.runs.append(self)
        engine.all_runs.add(self)

    def _prepare(self, fn: Callable[..., Any], context_vars: tuple[Any, ...]) -> tuple[Function, Any]:
        name = name_of(fn)
        if self._engine.shares_memory:
            return Function(fn, name, Timing()), copy_context()
        context = pickling.dumps(context_values(context_vars), "the context") if context_vars else None
        return self._engine.functions.for_map(fn, name, self._engine.number_call()), context

    @property
    def sized(self) -> bool:
        """Whether it is known how many items there are."""
        return self._remaining is not None

    # --- input ----------------------------------------------------------------------------------------

    def top_up(self, *, bounded: bool = True) -> None:
        """Draw input and send it, as far as there is room. Does nothing while another thread does it."""
        with self._lock:
            if self._drawing or self._input_ended or self.closed:
                return
            if bounded and self._pending - self._parked > self._high // 2:
                return
            self._drawing = True
            self._drawer = threading.get_ident()
        try:
            while self._has_room(bounded) and self._draw(bounded):
                pass
        except BaseException as error:  # items may be lost: whoever takes results must not wait for them
            self._input_error = ExecutorShutdown(
                f"the input was drawn no further: {describe(error)} broke in"
            )
            self.close()
            raise
        finally:
            with self._lock:
                self._drawing = False
                self._changed.notify_all()
            self._end_if_drawn()

    def begin(self) -> None:
        """Draw the first of the input. Closes itself if an exception (Ctrl-C) breaks in: nobody has an iterator yet."""
        try:
            self._reports.began(self._total)
            self.top_up()
        except BaseException:
            self.close()
            raise

    def _end_if_drawn(self) -> None:
        if self._input_ended:
            self._engine.run_ended(self)

    def _has_room(self, bounded: bool) -> bool:
        if self.closed or self._input_ended:
            return False
        if not bounded:
            return True
        if self.buffersize is not None:
            return self._held_items < self.buffersize
        return self._pending - self._parked < self._high and self._fits()

    def _fits(self) -> bool:
        """Whether memory is left. Each worker may have one chunk, however large."""
        chunks = len(self._chunks) if self._ordered else len(self._chunks) + self._pending
        return chunks < self._engine.max_workers or (
            self._held_items < MOST_ITEMS and self._held_bytes < MOST_BYTES
        )

    def _draw(self, bounded: bool) -> bool:
        """Take what is there for one chunk and send it; False if there was nothing, or nothing more will come."""
        source = self._source
        self._starved = True  # from before the look: news that comes meanwhile is not missed
        try:
            batch = source.take(self._size(bounded))
        except Exception as error:  # handed to the caller in its place, after what came before it
            self._input_error = error
            self._input_ended = True
            return False
        if batch.items:
            self._starved = False
            if self._remaining is not None:
                self._remaining = max(self._remaining - len(batch.items), 0)
            self._last = len(batch.items)
            base = self._drawn
            self._drawn += len(batch.items)
            self._admit(base, batch)
        if source.ended:  # only now, when nothing is left to be sent
            with self._lock:
                self._drawn_all = not self._input_ended  # else somebody has closed the input
                self._input_ended = True
        return bool(batch.items) and not self._input_ended

    def _admit(self, base: int, batch: Batch) -> None:
        """Have items run that were drawn."""
        items = batch.items
        chunk = self._chunk(base, batch)
        if self._engine.shares_memory:
            chunk.bytes = chunk.sent = weight(items[0])
        with self._lock:
            self._held_bytes += chunk.sent
            self._pending += 1
            self._held_items += len(items)
            if self._ordered:
                self._chunks.append(chunk)
        self._dispatch(chunk, items)

    def news(self) -> None:
        """Items have become available, or the input has ended."""
        with self._lock:
            self._starved = False
            self._changed.notify_all()

    def _size(self, bounded: bool) -> int:
        size = self._chunksize or chunk_size(
            self._pace, self._last or 1, self._engine.max_workers, self._remaining
        )
        if self._each_bytes and self._chunksize is None:
            size = min(size, max(MOST_BYTES // self._high // self._each_bytes, 1))
        if bounded and self.buffersize is not None:
            # Chunks of a part of the buffer, so that the workers go on while the caller takes results.
            share = self._chunksize or max(self.buffersize // (2 * self._engine.max_workers), 1)
            size = min(size, share, max(self.buffersize - self._held_items, 1))
        return size

    def _dispatch(self, chunk: Chunk, items: list[Any] | range) -> None:
        engine = self._engine
        if engine.shares_memory:
            args = items[0] if self._star else (items[0],)
            engine.dispatch(self._call(codec.ARGS, (args, _NO_KEYWORDS), chunk, 0, 1))
            return
        kind, payload, errors = codec.encode_items(items, self._star, engine.arena)
        chunk.bytes = chunk.sent = len(payload)
        self._each_bytes = max(self._each_bytes, len(payload) // len(items))
        with self._lock:
            self._held_bytes += chunk.sent
        lo = 0
        for bad in [*errors, len(items)]:
            if lo < bad:
                engine.dispatch(self._call(kind, payload, chunk, lo, bad))
            lo = bad + 1
        if errors:
            chunk._never(errors)

    def _chunk(self, base: int, batch: Batch) -> Chunk:
        """The chunk for items that were drawn."""
        return Chunk(self, base, len(batch.items))

    def _call(self, kind: int, payload: Any, chunk: Chunk, lo: int, hi: int) -> Call:
        """A call for items of a chunk."""
        call = Call(self._engine.number_call(), self._fn, kind, payload, chunk, lo, hi)
        call.context = self._context.copy() if self._engine.shares_memory else self._context
        call.base = chunk.base
        return call

    # --- results ----------------------------------------------------------------------------------------

    def arrived(self, chunk: Chunk, items: int, seconds: float) -> None:
        """Items of a chunk have their outcomes."""
        if self._reports.wanted and not self.closed:
            self._report(chunk, items)
        with self._lock:
            chunk.left -= items
            if seconds:
                self._pace.measured(seconds, items)
            if not chunk.left:
                self._pending -= 1
                self._held_bytes += chunk.bytes - chunk.sent
                self._each_bytes = max(chunk.bytes - chunk.sent, chunk.sent) // chunk.size
                if self._pending <= self._high // 2 or (self._chunks and self._chunks[0] is chunk):
                    self._changed.notify_all()

    def _report(self, chunk: Chunk, items: int) -> None:
        """Tell of outcomes that nobody has seen yet: once the last is seen, the run may be over."""
        with self._lock:
            failed = len(chunk.errors) - chunk.reported
            chunk.reported += failed
        self._reports.settled(items - failed, failed)

    def chunks(self, deadline: float | None) -> Iterator[Chunk]:
        """Done chunks, in order or as they come; draws input on the way. Ends with the input's error."""
        self._started = True
        try:
            while True:
                while self._chores:
                    self._chores.popleft()()
                self.top_up()
                with self._lock:
                    chunk = self._next_done()
                    if chunk is None:
                        if self._is_over():
                            break
                        if self._has_to_wait():
                            self._wait(deadline)
                        continue
                if (
                    not self._engine.runs_at_once
                ):  # there the caller would wait for the next before it has this one
                    self.top_up()
                yield chunk
                del chunk
            if self._input_error is not None:
                error, self._input_error = self._input_error, None
                raise error
        finally:
            self.close()

    def _is_over(self) -> bool:
        return self.closed or not (self._pending or self._chores or self._drawing or not self._input_ended)

    def _has_to_wait(self) -> bool:
        """Whether nothing is to be done before something happens."""
        return not self._chores and (
            self._pending - self._parked > self._high // 2
            or self._input_ended
            or self._drawing
            or self._starved
            or self._is_full()
        )

    def _is_full(self) -> bool:
        return bool(self._pending) and not self._has_room(True)

    def _next_done(self) -> Chunk | None:
        if not self._chunks or self._chunks[0].left:
            return None
        chunk = self._chunks.popleft()
        if self.buffersize is None:
            self._held_items -= chunk.size
        self._held_bytes -= chunk.bytes
        return chunk

    def _wait(self, deadline: float | None) -> None:
        if deadline is None:
            waiting.for_calls[threading.get_ident()] = self
            try:
                self._changed.wait()
            finally:
                waiting.for_calls.pop(threading.get_ident(), None)
        else:
            left = deadline - monotonic()
            if left <= 0 or not self._changed.wait(left):
                raise TimeoutError("the next result was not there in time")

    def took_one(self) -> None:
        """The caller takes a result: with a buffersize, exactly one more item may be drawn."""
        with self._lock:
            self._held_items -= 1

    def handed_out(self, iterator: Any) -> None:
        """Remember which iterator shows this run, to know whether anybody can still look."""
        this = weakref.ref(self)  # no cycle: results are freed with their last reference

        def dropped(_: object) -> None:
            run = this()
            if run is not None:
                run._dropped()

        self._iterator = weakref.ref(iterator, dropped)

    def _dropped(self) -> None:
        if self._engine.forgotten:
            self.forgotten()

    def __del__(self) -> None:
        """Report failures, if nobody ever asked for a result."""
        errors = [error for chunk in self._chunks for error in chunk.errors.values()]
        quiet = self._started or self._engine.interrupted or not errors
        if not quiet and not isinstance(errors[0], KeyboardInterrupt):
            report_lost(errors[0], f"{len(errors)} items of a map failed and nobody looked; the first error")

    def forgotten(self) -> None:
        """The executor is gone. A long input goes on as before as long as somebody holds the iterator."""
        if self._can_be_looked_at() and (self._remaining is None or self._remaining > MOST_ITEMS):
            return
        if self.sized:
            self.finish(wait=False)
        else:
            self.abandon()

    # --- the end ------------------------------------------------------------------------------------------

    def finish(self, *, wait: bool) -> None:
        """At shutdown: see a sized input through, give up an unsized one."""
        if not self.sized:
            if not self._input_ended:
                self._give_up_input(
                    ExecutorShutdown(
                        f"the executor was shut down when {self._drawn} items of this input had been drawn; its "
                        f"length is unknown, so the rest was left alone. Take the results inside the with block, or "
                        f"pass a list"
                    )
                )
            self._engine.run_ended(self)
            return
        while not self._input_ended and not self.closed:
            with self._lock:
                if in_reader() or (self._drawing and self._drawer == threading.get_ident()):
                    return  # this very input shuts the executor down
                if self._drawing and not wait:
                    return
                while self._drawing or (self._starved and not self._input_ended):
                    self._changed.wait()
            if not wait or self._can_be_looked_at():
                self.top_up(bounded=False)
            else:
                self._drain()

    def _give_up_input(self, error: BaseException) -> None:
        """Draw no more; the caller gets the error after what was drawn."""
        with self._lock:
            if not self._input_ended:
                self._input_error = error
                self._input_ended = True
            self._changed.notify_all()
        self._source.close()

    def _can_be_looked_at(self) -> bool:
        return self._iterator is None or self._iterator() is not None

    def _drain(self) -> None:
        """Nobody can look at the results any more: run the rest in bounded memory, report a failure."""
        failures = 0
        first: BaseException | None = None
        for chunk in self.chunks(None):
            failures += len(chunk.errors)
            first = first or next(iter(chunk.errors.values()), None)
        if first is not None:
            report_lost(first, f"{failures} items of a map failed and nobody looked; the first error")

    def abandon(self) -> None:
        """Draw no more. What is on its way is waited for or cancelled by the engine."""
        self._give_up_input(CancelledError())
        self._engine.run_ended(self)

    def after_fork(self) -> None:
        """In a child of a fork: nothing more will arrive, and some thread may have held the condition."""
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._source = NoInput()  # some thread may hold its lock
        self._reports.after_fork()
        self._chores.clear()
        self._input_error = self._engine.broken
        self._drawing = False
        self._input_ended = self.closed = self._started = True
        self._pending = 0
        self._chunks.clear()

    def close(self) -> None:
        """The caller wants no more: what has not begun never will."""
        if self._pace.seconds and self._fn.key:
            self._engine.functions.remember(self._fn.key, self._pace.seconds)
        with self._lock:
            early = not self.closed and bool(self._pending)
            self.closed = True
            self._input_ended = True
            self._chunks.clear()
            self._chores.clear()
            self._changed.notify_all()
        self._source.close()
        self._engine.run_ended(self)
        if early:
            self._stop()
        self._reports.end(self._is_whole())

    def _stop(self) -> None:
        """Have nothing of this run begin any more."""
        self._engine.release(self)

    def shut(self) -> None:
        """The executor was shut down and has nothing left to do: nothing more will be reported."""
        with self._lock:
            over = self._input_ended and not self._pending and not self._drawing
        if over:
            self._reports.end(self._is_whole())

    def _is_whole(self) -> bool:
        """Whether the input came to its end and all of it has outcomes."""
        return self._drawn_all and not self._pending
