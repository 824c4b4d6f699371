"""Pipe for processes: two queues. Any number of users at each end."""

from __future__ import annotations

import pickle
from typing import Any

from okazja.sync.carriers import Connection, ShutDown
from okazja.sync.coroutines import deadline_of
from okazja.sync.shared.parcels import BYTES, LARGE_BYTES, pack
from okazja.sync.shared.queue import SharedQueue
from okazja.sync.shared.region import Region
from okazja.sync.shared.ring import INLINE

__all__ = ["SharedConnection", "make_pipe"]


class SharedConnection(Connection):
    """An end: the queue to read from, the one to write to (None: not this way), and the word that says it is closed."""

    def __init__(
        self, region: Region, closed: int, inward: SharedQueue | None, outward: SharedQueue | None
    ) -> None:
        self._region, self._closed = region, closed
        self._inward, self._outward = inward, outward

    def __reduce__(self) -> Any:
        return _arrive, (self._region.ticket, self._closed, self._inward, self._outward)

    def __repr__(self) -> str:
        return f"<okazja.Connection {self._closed:#x}: {'closed' if self.closed else 'open'}>"

    def _open(self, queue: SharedQueue | None, way: str) -> SharedQueue:
        if self.closed:
            raise OSError("handle is closed")
        if queue is None:
            raise OSError(f"connection is {way}-only")
        return queue

    def _send(self, kind: int, item: Any) -> None:
        outward = self._open(self._outward, "read")
        if not kind:
            packed = pack(item)
        elif len(item) <= INLINE:
            packed = BYTES, item
        else:
            packed = LARGE_BYTES, [item]
        try:
            outward._put_packed(*packed)
        except ShutDown:
            raise BrokenPipeError("the other end of the pipe is closed") from None

    def _recv(self, kind: int) -> Any:
        return self._received(kind, block=True)

    def _recv_nowait(self, kind: int) -> Any:
        return self._received(kind, block=False)

    def _received(self, kind: int, block: bool) -> Any:
        inward = self._open(self._inward, "write")
        try:
            sent, data = inward._get_record(block)
        except ShutDown:
            if self.closed:
                raise OSError("handle is closed") from None
            raise EOFError("the other end of the pipe is closed") from None
        item = inward._opened(sent, data)
        if (sent in (BYTES, LARGE_BYTES)) == bool(kind):
            return item
        return pickle.dumps(item) if kind else pickle.loads(item)

    def _poll(self, timeout: float | None) -> bool:
        inward = self._open(self._inward, "write")
        if inward._has_item() or timeout == 0:
            return inward._has_item()
        found = inward._getters.wait(inward._has_item, deadline_of(timeout))
        if found and not inward._ring.empty:
            inward._getters.wake_one()  # it takes nothing: the wake-up is for another, too
        return found

    def close(self) -> None:
        """Close this end for all its users. The other end receives what was sent, then EOFError."""
        self._region.words[self._closed] = 1
        if self._outward is not None:
            self._outward.shutdown()
        if self._inward is not None:
            self._inward.shutdown(immediate=True)

    @property
    def closed(self) -> bool:
        """Whether this end is closed."""
        return bool(self._region.words[self._closed])

    @property
    def readable(self) -> bool:
        """Whether it can receive."""
        return self._inward is not None

    @property
    def writable(self) -> bool:
        """Whether it can send."""
        return self._outward is not None


def make_pipe(region: Region, duplex: bool) -> tuple[SharedConnection, SharedConnection]:
    """The two ends; with ``duplex=False`` the first only receives, the second only sends."""
    there = SharedQueue.create(region)
    back = SharedQueue.create(region) if duplex else None
    closed = region.allocate(64) // 8
    return SharedConnection(region, closed, there, back), SharedConnection(region, closed + 1, back, there)


def _arrive(
    ticket: Any, closed: int, inward: SharedQueue | None, outward: SharedQueue | None
) -> SharedConnection:
    return SharedConnection(Region.attach(ticket), closed, inward, outward)
