"""A stream's pass over its input: as a map's, but items may have a limit and run again, and come as they are done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from okazja._core.messages import Call
from okazja._engine.chunk import Chunk
from okazja._engine.engine import Engine
from okazja._engine.run import Run
from okazja._engine.stream_chunk import StreamChunk
from okazja._transport import codec

__all__ = ["StreamRun"]


class StreamRun(Run):
    """One stream over an input.

    limit: seconds that an item may take, None for any. retries: how often an item that failed runs again.
    """

    def __init__(
        self,
        engine: Engine,
        fn: Callable[..., Any],
        source: Iterator[Any] | range,
        *,
        limit: float | None,
        retries: int,
        **options: Any,
    ) -> None:
        self.retries = retries
        self._waited_for = bool(retries)  # by an engine that closes
        self._limit = limit
        self._again: deque[Call] = deque()
        self._sending_again = False
        super().__init__(engine, fn, source, **options)
        if retries:
            engine.retrying.add(self)

    def number_call(self) -> int:
        """A number for a new call."""
        return self._engine.number_call()

    def _chunk(self, base: int, items: Sequence[Any]) -> Chunk:
        return StreamChunk(self, base, items)

    def _call(self, kind: int, payload: Any, chunk: Chunk, lo: int, hi: int) -> Call:
        call = super()._call(
            kind if self._engine.shares_memory else kind | codec.TIMED, payload, chunk, lo, hi
        )
        call.limit = self._limit
        return call

    # --- results

    def came(self, chunk: StreamChunk, done: Sequence[int], again: Sequence[Call], seconds: float) -> None:
        """Items have their outcomes, and others are to run again."""
        with self._changed:
            chunk.left -= len(done)
            if seconds and done:
                self._pace.measured(seconds, len(done) + len(again))
            if not chunk.left:
                self._pending -= 1
            if self._ordered:
                if not chunk.left:
                    self._held_bytes += chunk.bytes - chunk.sent
            elif done:
                self._put(chunk, done)
            self._changed.notify_all()
        if again:
            self._send_again(again)
        if self._waited_for and not self._pending:
            self._engine._close_if_done()

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

    def _send_again(self, calls: Sequence[Call]) -> None:
        """Send calls, one after the other: where a call runs at once, it fails inside of this."""
        with self._changed:
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

    def _next_again(self) -> Call | None:
        with self._changed:
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

    def abandon(self) -> None:
        """Draw no more, and run nothing again."""
        self.give_up_retries()
        super().abandon()

    def close(self) -> None:
        """The caller wants no more: what has not begun never will."""
        super().close()
        self._engine._close_if_done()
