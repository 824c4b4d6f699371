"""Pipe for processes: two queues. Any number of users at each end."""

from __future__ import annotations

import pickle
from queue import Empty
from time import monotonic
from typing import Any

from okazja.sync.carriers import Connection, ShutDown
from okazja.sync.coroutines import deadline_of
from okazja.sync.shared.layout import WORD
from okazja.sync.shared.parcels import BYTES, LARGE_BYTES, pack
from okazja.sync.shared.queue import SharedQueue
from okazja.sync.shared.region import Region, Ticket
from okazja.sync.shared.ring import INLINE
from okazja.sync.shared.users import USERS_WORDS, Users

__all__ = ["SharedConnection", "make_pipe"]

LOOK = 0.5  # seconds of waiting after which one looks whether those at the other end have died


class SharedConnection(Connection):
    """An end, as one process has it: a queue to read from and one to write to (None: not this way).

    ``here`` and ``there`` are the places of the tables of those who have this end, and the other.
    """

    _inward: SharedQueue | None
    _outward: SharedQueue | None

    def __init__(
        self,
        region: Region,
        here: int,
        there: int,
        inward: SharedQueue | None,
        outward: SharedQueue | None,
        *,
        came: bool = False,
    ) -> None:
        self._region, self._here, self._there = region, here, there
        self._inward, self._outward = inward, outward
        self._users = Users(region, here, came=came)
        self._others = Users.__new__(Users)  # to look at, not to be one of them
        self._others._region, self._others._words = region, region.words
        self._others._place, self._others._entry = there, 0
        self._closed = False

    def __reduce__(self) -> Any:
        if self.closed:
            raise OSError("handle is closed")
        self._users.send()
        return _arrive, (self._region.ticket, self._here, self._there, self._inward, self._outward)

    def __repr__(self) -> str:
        return f"<okazja.Connection {self._here:#x}: {'closed' if self.closed else 'open'}>"

    def _send(self, kind: int, item: Any) -> None:
        outward = self._open(self._outward, "read")
        if self._others.none_left():
            raise BrokenPipeError("the other end of the pipe is closed")
        if not kind:
            packed = pack(item)
        elif len(item) <= INLINE:
            packed = BYTES, item
        else:
            packed = LARGE_BYTES, [item]
        outward._put_packed(*packed)

    def _recv(self, kind: int) -> Any:
        while True:
            try:
                return self._recv_nowait(kind)
            except Empty:
                self._poll(None)

    def _recv_nowait(self, kind: int) -> Any:
        inward = self._open(self._inward, "write")
        over = self._others.none_left()  # looked at first: what was sent before comes before the end
        try:
            sent, data, _ = inward._get_record(False)
        except (Empty, ShutDown):
            if over:
                raise EOFError("the other end of the pipe is closed") from None
            raise Empty from None
        item = inward._opened(sent, data)
        if (sent in (BYTES, LARGE_BYTES)) == bool(kind):
            return item
        return pickle.dumps(item) if kind else pickle.loads(item)

    def _poll(self, timeout: float | None) -> bool:
        inward = self._open(self._inward, "write")
        ring, others = inward._ring, self._others

        def ready() -> bool:
            return not ring.empty or self._closed or others.none_left()

        if timeout is not None and timeout <= 0:
            return ready()
        deadline = deadline_of(timeout)
        while True:
            look = monotonic() + LOOK
            if inward._getters.glimpse(ready, look if deadline is None else min(look, deadline)):
                break
            if deadline is not None and monotonic() >= deadline:
                return False
            others.forget_dead()
        return True

    def close(self) -> None:
        """Close this end for this process. Once nobody has it, the other end receives what was sent, then EOFError."""
        self._closed = True
        self._users.leave()
        for queue in (self._inward, self._outward):
            if queue is not None:
                queue._getters.wake_all()


def make_pipe(region: Region, duplex: bool) -> tuple[SharedConnection, SharedConnection]:
    """The two ends; with ``duplex=False`` the first only receives, the second only sends."""
    there = SharedQueue.create(region)
    back = SharedQueue.create(region) if duplex else None
    one = region.allocate(2 * USERS_WORDS * WORD) // WORD
    two = one + USERS_WORDS
    return SharedConnection(region, one, two, there, back), SharedConnection(region, two, one, back, there)


def _arrive(
    ticket: Ticket, here: int, there: int, inward: SharedQueue | None, outward: SharedQueue | None
) -> SharedConnection:
    return SharedConnection(Region.attach(ticket), here, there, inward, outward, came=True)
