"""One pass over an input: draws it lazily, sends it in chunks, and keeps what comes back.

``map`` and ``stream`` are two faces of one ``Run``. Input is drawn only in the thread that calls
``map``, ``next`` or ``shutdown``; what was drawn and not yet handed to the caller is bounded, in items
and in bytes. The run's condition guards its counters; it is never held while input is drawn or the
caller's code runs.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextvars import copy_context
from itertools import islice
from time import monotonic
from typing import Any

from okazja._core.chunking import Pace, chunk_size
from okazja._core.messages import Call, Function, Timing
from okazja._engine.chunk import Chunk
from okazja._engine.engine import Engine
from okazja._engine.future import report_lost
from okazja._transport import codec, pickling
from okazja._worker.task import name_of
from okazja.errors import ExecutorShutdown

__all__ = ["Run", "context_values"]

MOST_ITEMS = 1 << 15  # drawn and not yet handed to the caller
MOST_BYTES = 1 << 25  # of arguments and results of the same, as they travel
PER_WORKER = 4  # chunks that may be on their way for each worker; more input is drawn at half of it


class Run:
    """One map or stream over an input."""

    def __init__(
        self,
        engine: Engine,
        fn: Callable[..., Any],
        source: Iterator[Any] | range,
        *,
        star: bool,
        length: int | None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        ordered: bool = True,
        context_vars: tuple[Any, ...] = (),
    ) -> None:
        self._engine = engine
        self._source = iter(source) if engine.shares_memory else source
        self._star = star
        self._remaining = length  # items not yet drawn; None where nobody knows
        self._chunksize = 1 if engine.shares_memory else chunksize
        self.buffersize = buffersize
        self._ordered = ordered
        # Re-entrant, because the iterator may be finalized, and so closed, anywhere.
        self._changed = threading.Condition(threading.RLock())
        self._chunks: deque[Chunk] = deque()  # drawn and not handed over; unordered: those that are done
        self._pending = 0  # chunks without all of their outcomes
        self._held_items = 0  # drawn and not handed over
        self._held_bytes = 0
        self._drawing = False  # some thread draws input
        self._drawer = 0  # which one
        self._drawn = 0
        self._last = 0  # size of the last chunk
        self._input_ended = False
        self._input_error: BaseException | None = None
        self.closed = False
        self._high = PER_WORKER * engine.max_workers
        self._iterator: weakref.ref[Any] | None = None
        self._started = False  # somebody has asked for a result
        self._fn, self._context = self._prepare(fn, context_vars)
        self._pace = Pace(engine.functions.paces.get(self._fn.key, 0.0))
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
        with self._changed:
            if self._drawing or self._input_ended or self.closed:
                return
            if bounded and self._pending > self._high // 2:
                return
            self._drawing = True
            self._drawer = threading.get_ident()
        try:
            while self._has_room(bounded) and self._draw(bounded):
                pass
        finally:
            with self._changed:
                self._drawing = False
                self._changed.notify_all()
            self._end_if_drawn()

    def begin(self) -> None:
        """Draw the first of the input. Closes itself if an exception (Ctrl-C) breaks in: nobody has an iterator yet."""
        try:
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
        return self._pending < self._high and (
            not self._chunks or (self._held_items < MOST_ITEMS and self._held_bytes < MOST_BYTES)
        )

    def _draw(self, bounded: bool) -> bool:
        """Draw one chunk and send it; False at the end of the input."""
        size = self._size(bounded)
        items: list[Any] | range = []
        try:
            if type(self._source) is range:  # travels as one, at no cost an item
                items, self._source = self._source[:size], self._source[size:]
            else:
                assert type(items) is list
                items.extend(islice(self._source, size))
        except Exception as error:  # handed to the caller in its place, after what came before it
            self._input_error = error
        except BaseException:
            self.close()
            raise
        ended = len(items) < size
        if not items:
            self._input_ended = True
            return False
        if self._remaining is not None:
            self._remaining = max(self._remaining - len(items), 0)
        self._last = len(items)
        chunk = self._chunk(self._drawn, items)
        self._drawn += len(items)
        with self._changed:
            self._pending += 1
            self._held_items += len(items)
            if self._ordered:
                self._chunks.append(chunk)
        self._dispatch(chunk, items)
        self._input_ended = self._input_ended or ended  # now that nothing is left to be sent
        return not self._input_ended

    def _size(self, bounded: bool) -> int:
        size = self._chunksize or chunk_size(
            self._pace, self._last or 1, self._engine.max_workers, self._remaining
        )
        if bounded and self.buffersize is not None:
            # Chunks of a part of the buffer, so that the workers go on while the caller takes results.
            share = self._chunksize or max(self.buffersize // (2 * self._engine.max_workers), 1)
            size = min(size, share, max(self.buffersize - self._held_items, 1))
        return size

    def _dispatch(self, chunk: Chunk, items: list[Any] | range) -> None:
        engine = self._engine
        if engine.shares_memory:
            args = items[0] if self._star else (items[0],)
            engine.dispatch(self._call(codec.ARGS, (args, {}), chunk, 0, 1))
            return
        kind, payload, errors = codec.encode_items(items, self._star, engine.arena)
        chunk.bytes = chunk.sent = len(payload)
        with self._changed:
            self._held_bytes += chunk.sent
        lo = 0
        for bad in [*errors, len(items)]:
            if lo < bad:
                engine.dispatch(self._call(kind, payload, chunk, lo, bad))
            lo = bad + 1
        if errors:
            chunk._never(errors)

    def _chunk(self, base: int, items: Sequence[Any]) -> Chunk:
        """The chunk for the items that are drawn next."""
        return Chunk(self, base, len(items))

    def _call(self, kind: int, payload: Any, chunk: Chunk, lo: int, hi: int) -> Call:
        """A call for items of a chunk."""
        call = Call(self._engine.number_call(), self._fn, kind, payload, chunk, lo, hi)
        call.context = self._context.copy() if self._engine.shares_memory else self._context
        call.base = chunk.base
        return call

    # --- results ----------------------------------------------------------------------------------------

    def arrived(self, chunk: Chunk, items: int, seconds: float) -> None:
        """Items of a chunk have their outcomes."""
        with self._changed:
            chunk.left -= items
            if seconds:
                self._pace.measured(seconds, items)
            if chunk.left:
                return
            self._pending -= 1
            self._held_bytes += chunk.bytes - chunk.sent
            if self._pending <= self._high // 2 or (self._chunks and self._chunks[0] is chunk):
                self._changed.notify_all()

    def chunks(self, deadline: float | None) -> Iterator[Chunk]:
        """Done chunks, in order or as they come; draws input on the way. Ends with the input's error."""
        self._started = True
        try:
            while True:
                self.top_up()
                with self._changed:
                    chunk = self._next_done()
                    if chunk is None:
                        if not self._pending and self._input_ended and not self._drawing:
                            break
                        if self.closed:
                            break
                        if (
                            self._pending > self._high // 2
                            or self._input_ended
                            or self._drawing
                            or self._is_full()
                        ):
                            self._wait(deadline)
                        continue
                self.top_up()
                yield chunk
                del chunk
            if self._input_error is not None:
                error, self._input_error = self._input_error, None
                raise error
        finally:
            self.close()

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
            self._changed.wait()
        else:
            left = deadline - monotonic()
            if left <= 0 or not self._changed.wait(left):
                raise TimeoutError("the next result was not there in time")

    def took_one(self) -> None:
        """The caller takes a result: with a buffersize, exactly one more item may be drawn."""
        with self._changed:
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
                self._input_error = ExecutorShutdown(
                    f"the executor was shut down when {self._drawn} items of this input had been drawn; its length is "
                    f"unknown, so the rest was left alone. Take the results inside the with block, or pass a list"
                )
                self._input_ended = True
                with self._changed:
                    self._changed.notify_all()
            self._engine.run_ended(self)
            return
        if not wait:
            self.top_up(bounded=False)
            return
        while not self._input_ended and not self.closed:
            with self._changed:
                if self._drawing and self._drawer == threading.get_ident():
                    return  # this very input shuts the executor down
                while self._drawing:
                    self._changed.wait()
            self.top_up(bounded=False) if self._can_be_looked_at() else self._drain()

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
        if not self._input_ended:
            self._input_error = CancelledError()
            self._input_ended = True
        with self._changed:
            self._changed.notify_all()
        self._engine.run_ended(self)

    def after_fork(self) -> None:
        """In a child of a fork: nothing more will arrive, and some thread may have held the condition."""
        self._changed = threading.Condition(threading.Lock())
        self._input_error = self._engine.broken
        self._drawing = False
        self._input_ended = self.closed = self._started = True
        self._pending = 0
        self._chunks.clear()

    def close(self) -> None:
        """The caller wants no more: what has not begun never will."""
        if self._pace.seconds and self._fn.key:
            self._engine.functions.remember(self._fn.key, self._pace.seconds)
        with self._changed:
            early = not self.closed and bool(self._pending)
            self.closed = True
            self._input_ended = True
            self._chunks.clear()
            self._changed.notify_all()
        self._engine.run_ended(self)
        if early:
            self._engine.release(self)


def context_values(context_vars: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The variables that have a value here, with it."""
    missing = object()
    pairs = [(var, var.get(missing)) for var in context_vars]
    return [(var, value) for var, value in pairs if value is not missing]
