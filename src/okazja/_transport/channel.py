"""The two ways between the parent and one worker.

Calls go through a ``SOCK_SEQPACKET`` pair, whose reads and writes are whole packets or nothing: no
write ever leaves half a packet behind, no two writers need a lock, and the parent, which keeps the
worker's end open too, can take back what the worker has not read, also from a worker that is stopped
or stuck in C code. Replies come through a stream, which the parent empties in large reads.
"""

from __future__ import annotations

import array
import marshal
import mmap
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any

from okazja._core.messages import Call
from okazja._transport import codec
from okazja._transport.arena import Large
from okazja._transport.patience import Patience

__all__ = ["DEFINE", "TIDY", "Channel", "WorkerEnd"]

DEFINE = "define"  # entry (0, DEFINE, token, pickled function, name)
TIDY = "tidy"  # entry (0, TIDY): the parent has let go of much of what is in the arena of results
INLINE = 1 << 16  # bytes; larger packets travel in an anonymous file of their own
BATCH = 1 << 15  # bytes of payload after which a packet of several calls is full
READ = 1 << 18  # bytes read at once
WHOLE = 1 << 12  # bytes of a frame that a stream takes whole or not at all
LENGTH = struct.Struct("<I")
FDS = socket.CMSG_SPACE(4) if hasattr(socket, "CMSG_SPACE") else 0


class Channel:
    """The parent's side. ``send`` may be called by any thread, ``steal`` by one; ``reading`` guards the replies."""

    def __init__(self) -> None:
        self._calls, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._calls.setblocking(False)
        self._replies, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._replies.setblocking(False)
        self.replies, self._replies_far = self._replies.fileno(), far.detach()
        self.reading = threading.Lock()
        self._known: set[int] = set()  # tokens of functions that were defined
        self._buffer = bytearray()
        self._wanted = 0  # bytes that the buffer must hold before it is worth a look
        self._sight: select.poll | None = None  # of the replies, for `glance`
        self._seen = bytearray()
        self.closed = False

    def worker_fds(self) -> tuple[int, int]:
        """The descriptors to hand to the worker: its end of the calls, its end of the replies."""
        return self._far.fileno(), self._replies_far

    def handed_over(self) -> None:
        """The worker has its descriptors: end of file on the replies now means that it is gone."""
        if self._replies_far >= 0:
            os.close(self._replies_far)
            self._replies_far = -1

    # --- calls ------------------------------------------------------------------------------------

    def send(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Send calls in as few packets as fit. Never waits; returns those that found no room."""
        position = 0
        while position < len(calls):
            entries: list[tuple[Any, ...]] = []
            tokens: list[int] = []
            size, start = 0, position
            while position < len(calls) and (not entries or size < BATCH):
                call = calls[position]
                token = call.fn.token
                if token and token not in self._known and token not in tokens:
                    entries.append((0, DEFINE, token, call.fn.definition, call.fn.name))
                    tokens.append(token)
                    size += len(call.fn.definition)
                entries.append(codec.entry(call))
                size += _size(call)
                position += 1
            if not self._send(entries, [call.id for call in calls[start:position]]):
                return calls[start:]
            self._known.update(tokens)
        return ()

    def send_entry(self, entry: tuple[Any, ...]) -> None:
        """Send an entry that is no call, to a worker that may do without.

        It is lost where calls fill the socket, and `steal` loses it too: TIDY comes again with the next nudge.
        """
        self._send([entry], [])

    def _send(self, entries: list[tuple[Any, ...]], numbers: list[int]) -> bool:
        data = codec.packet(entries)
        try:
            if len(data) <= INLINE:
                self._calls.send(data)
            else:
                self._send_large(data, numbers)
        except BlockingIOError:
            return False
        except OSError:
            if not self.closed:
                raise
        return True  # to a closed channel: its calls are looked after by whoever closed it

    def _send_large(self, data: bytes, numbers: list[int]) -> None:
        fd = os.memfd_create("okazja-packet", os.MFD_CLOEXEC)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            socket.send_fds(self._calls, [marshal.dumps(tuple(numbers))], [fd])
        finally:
            os.close(fd)

    def forget(self, token: int) -> None:
        """The worker does not know this function (any more): define it again with its next call."""
        self._known.discard(token)

    def steal(self) -> list[int]:
        """Take back the packets that the worker has not read: the ids of their calls."""
        numbers: list[int] = []
        while not self.closed:
            try:
                data, ancillary, _, _ = self._far.recvmsg(INLINE, FDS, socket.MSG_DONTWAIT)
            except OSError:
                break
            for fd in _fds(ancillary):
                os.close(fd)
            if not data:
                break
            entries = marshal.loads(data)
            self._known.clear()  # a definition may have been among them
            numbers += entries if type(entries) is tuple else [e[0] for e in entries if e[0]]
        return numbers

    def end(self) -> None:
        """No more calls: the worker exits when it has read what was sent."""
        try:
            self._calls.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already

    # --- replies ----------------------------------------------------------------------------------

    def read(self) -> tuple[list[tuple[Any, ...]], bool]:
        """What has arrived, without waiting: whole replies, and whether the worker's end is closed."""
        try:
            data = os.read(self.replies, READ)
        except BlockingIOError:
            return [], False
        if not data:
            return [], True
        buffer = self._buffer
        if not buffer:
            frames, used = _frames(data)
            if used < len(data):
                buffer += memoryview(data)[used:]
                self._wanted = _wanted(buffer)
            return frames, False
        buffer += data
        if len(buffer) < self._wanted:
            return [], False
        frames, used = _frames(buffer)
        del buffer[:used]
        self._wanted = _wanted(buffer)
        return frames, False

    def glance(self, patience: Patience, take: Callable[[list[tuple[Any, ...]]], bool]) -> None:
        """Wait awake for replies, for a moment, with ``reading`` held, and show them to ``take``.

        Only when that has said that it took them are they removed: an exception that breaks in before
        (Ctrl-C) loses nothing, they are read once more.
        """
        if self._buffer or self.closed:
            return
        if self._sight is None:
            self._sight = select.poll()
            self._sight.register(self.replies, select.POLLIN)
            self._seen = bytearray(READ)
        if patience.awake(self._sight.poll):
            seen = self._replies.recv_into(self._seen, READ, socket.MSG_PEEK)
            with memoryview(self._seen) as view:
                frames, used = _frames(view[:seen])
            if used and take(frames):
                self._replies.recv_into(self._seen, used)

    @property
    def buffered(self) -> int:
        """Bytes of a reply of which the rest has not arrived."""
        return len(self._buffer)

    def leave(self) -> None:
        """In the worker itself, where it is a fork of the parent: give the parent's ends back."""
        self.closed = True
        os.close(self._calls.detach())
        os.close(self._replies.detach())
        self._far.detach()

    def close(self) -> None:
        """Give all descriptors back. Calls that are still unread are lost."""
        if not self.closed:
            self.closed = True
            self.handed_over()
            self._calls.close()
            self._far.close()
            self._replies.close()


class WorkerEnd:
    """The worker's side. Used by the worker's main thread alone."""

    def __init__(self, calls_fd: int, replies_fd: int) -> None:
        self._calls = socket.socket(fileno=calls_fd)
        self._replies = replies_fd
        self._packet = bytearray(INLINE)
        self._view = memoryview(self._packet)
        self._patience = Patience()
        self._poll = select.poll()
        self._poll.register(calls_fd, select.POLLIN)
        self.on_shortage: Callable[[], object] | None = None  # makes room for a packet, once

    def receive(self) -> list[tuple[Any, ...]] | None:
        """The next packet's entries, waiting for it; None when no more will come."""
        self._patience.awake(self._poll.poll)
        size, ancillary, _, _ = self._calls.recvmsg_into([self._packet], FDS)
        if not size:
            return None
        entries = marshal.loads(self._view[:size])
        for fd in _fds(ancillary):
            entries = self._load_file(fd)
        return entries  # type: ignore[no-any-return]

    def _load_file(self, fd: int) -> Any:
        try:
            with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as data:
                try:
                    return marshal.loads(data)
                except MemoryError:
                    if self.on_shortage is None:
                        raise
                    self.on_shortage()
                    return marshal.loads(data)
        finally:
            os.close(fd)

    def send(self, reply: tuple[Any, ...]) -> None:
        """Write one reply, all of it. The parent always reads, so this does not wait for long."""
        data = marshal.dumps(reply)
        frame = LENGTH.pack(len(data)) + data if len(data) < 1 << 32 else b""
        if not frame:
            raise ValueError(
                f"a reply of {len(data)} bytes is over the limit of 4 GiB for one chunk or result"
            )
        if len(frame) <= WHOLE:
            os.write(self._replies, frame)
        else:
            self._write(frame)

    def _write(self, frame: bytes) -> None:
        """Write all of a frame, or end this process: after half a frame nobody could read what follows.

        A signal handler of the task's may raise in here. It can't between a write and the note of its count,
        which are one call.
        """
        view, counts = memoryview(frame), [0]
        try:
            while (done := sum(counts)) < len(frame):
                counts.extend(map(os.write, (self._replies,), (view[done:],)))
        finally:
            if 0 < sum(counts) < len(frame):
                os._exit(1)

    def close(self) -> None:
        """Close both ways, in a child that a task forked: they belong to the worker."""
        self._calls.close()
        os.close(self._replies)


def _fds(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that came with a packet."""
    if not ancillary:
        return []
    data = ancillary[0][2]
    return list(array.array("i", data[: len(data) - len(data) % 4]))


def _frames(data: bytes | bytearray | memoryview) -> tuple[list[tuple[Any, ...]], int]:
    """The whole frames at the start of ``data``, and how many bytes they take."""
    frames = []
    start, end = 0, len(data)
    with memoryview(data) as view:
        while start + 4 <= end:
            stop = start + 4 + LENGTH.unpack_from(data, start)[0]
            if stop > end:
                break
            frames.append(marshal.loads(view[start + 4 : stop]))
            start = stop
    return frames, start


def _wanted(buffer: bytearray) -> int:
    return 4 + LENGTH.unpack_from(buffer)[0] if len(buffer) >= 4 else 4


def _size(call: Call) -> int:
    payload = call.payload
    if type(payload) is Large:
        payload = payload.reference
    return len(payload) if isinstance(payload, bytes) else 100
