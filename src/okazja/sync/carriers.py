"""What a queue, a connection, a shared value and a shared array are, whatever the backend behind them.

Names, arguments, results and errors are those of ``queue.Queue`` and ``multiprocessing``; the async face is that of
`okazja.sync.faces`.
"""

from __future__ import annotations

import queue
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from okazja.sync.coroutines import aside, check_seconds, deadline_of, in_loop
from okazja.sync.faces import Lock, RLock

__all__ = ["Array", "Connection", "Queue", "ShutDown", "Value"]

if hasattr(queue, "ShutDown"):
    ShutDown = queue.ShutDown
else:

    class ShutDown(Exception):  # type: ignore[no-redef]
        """Raised by ``put`` and ``get`` of a queue that was shut down; ``queue.ShutDown`` from Python 3.13 on."""


class Queue(ABC):
    """As ``queue.Queue``: first in, first out, bounded if ``maxsize`` is above 0."""

    __slots__ = ()

    @property
    @abstractmethod
    def maxsize(self) -> int:
        """How many items it holds at most; 0: any number."""

    @abstractmethod
    def _put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Plain put."""

    @abstractmethod
    def _get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Plain get."""

    @abstractmethod
    async def _put_soon(self, item: Any, timeout: float | None) -> None:
        """As ``_put``, in a coroutine."""

    @abstractmethod
    async def _get_soon(self, timeout: float | None) -> Any:
        """As ``_get``, in a coroutine."""

    @abstractmethod
    def _await_done(self, timeout: float | None) -> bool:
        """Wait until every item that was put is done."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> Any:
        """Put an item; wait for room if it is full, ``timeout`` seconds at most (default: for ever).

        In a thread that runs an event loop the result is an awaitable, except with ``block=False``. Raises queue.Full,
        ShutDown, ValueError for a timeout below zero, and NotPicklable where items are pickled.
        """
        if block and in_loop():
            return self._put_soon(item, timeout)
        if timeout is not None:
            check_seconds(timeout)
        self._put(item, block, timeout)
        return None

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the first item; wait for one if it is empty, ``timeout`` seconds at most (default: for ever).

        In a thread that runs an event loop the result is an awaitable, except with ``block=False``. Raises queue.Empty,
        ShutDown, and ValueError for a timeout below zero.
        """
        if timeout is not None:
            check_seconds(timeout)
        return self._get_soon(timeout) if block and in_loop() else self._get(block, timeout)

    def put_nowait(self, item: Any) -> None:
        """Put an item, or raise queue.Full."""
        self._put(item, False)

    def get_nowait(self) -> Any:
        """Take the first item, or raise queue.Empty."""
        return self._get(False)

    def join(self) -> Any:
        """Wait until every item was taken and said to be done. In a thread that runs an event loop: an awaitable."""
        if in_loop():
            return aside(self._await_done, None)
        self._await_done(None)
        return None

    @abstractmethod
    def task_done(self) -> None:
        """Say that an item that was taken is done. Raises ValueError if said more often than items were put."""

    @property
    @abstractmethod
    def unfinished_tasks(self) -> int:
        """How many items were put and not said to be done."""

    @property
    @abstractmethod
    def is_shutdown(self) -> bool:
        """Whether it was shut down."""

    @abstractmethod
    def qsize(self) -> int:
        """How many items wait; others may change it at once."""

    def empty(self) -> bool:
        """Whether none waits."""
        return not self.qsize()

    def full(self) -> bool:
        """Whether there is no room."""
        return 0 < self.maxsize <= self.qsize()

    @abstractmethod
    def shutdown(self, immediate: bool = False) -> None:
        """Let nobody put any more; ``get`` raises ShutDown once it is empty (immediate: from now on)."""


def checked(timeout: float | None) -> float | None:
    """A queue's timeout. Raises ValueError if it is below zero, or no number."""
    check_seconds(timeout)
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return timeout


Q = TypeVar("Q", bound=Queue)


class Connection(ABC):
    """An end of a pipe, as ``multiprocessing.Pipe`` has it; any number of users at each end, messages stay whole."""

    __slots__ = ()

    # What it reads from and writes to; None: not this way.
    _inward: Queue | None
    _outward: Queue | None
    _closed: bool

    def _open(self, queue: Q | None, way: str) -> Q:
        """The queue for one way. Raises OSError if this end is closed, or is only for the other way."""
        if self._closed:
            raise OSError("handle is closed")
        if queue is None:
            raise OSError(f"connection is {way}-only")
        return queue

    @abstractmethod
    def _send(self, kind: int, item: Any) -> None:
        """Plain send of an object (0) or of bytes (1)."""

    @abstractmethod
    def _recv(self, kind: int) -> Any:
        """Plain receive."""

    @abstractmethod
    def _poll(self, timeout: float | None) -> bool:
        """Plain poll; None: for ever."""

    def send(self, obj: Any) -> Any:
        """Send an object to the other end. In a thread that runs an event loop the result is an awaitable.

        Raises BrokenPipeError if the other end is closed, OSError if this one is or only receives, and NotPicklable.
        """
        return self._send_soon(0, obj) if in_loop() else self._send(0, obj)

    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> Any:
        """Send bytes (``size`` of them from ``offset`` on) as one message; else as `send`. ValueError: out of range."""
        part = part_of(buf, offset, size)
        return self._send_soon(1, part) if in_loop() else self._send(1, part)

    def recv(self) -> Any:
        """The next object from the other end. In a thread that runs an event loop the result is an awaitable.

        Raises EOFError if nothing is left and the other end is closed, OSError if this one is or only sends.
        """
        return self._recv_soon(0, None) if in_loop() else self._recv(0)

    def recv_bytes(self, maxlength: int | None = None) -> Any:
        """The next message as bytes; else as `recv`. OSError if it is longer than ``maxlength``; then it is lost."""
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        return self._recv_soon(1, maxlength) if in_loop() else fitting(self._recv(1), maxlength)

    def recv_bytes_into(self, buf: Any, offset: int = 0) -> Any:
        """The next message, as bytes, into a writable buffer from ``offset`` on; how many they were. Else as `recv`.

        Raises multiprocessing.BufferTooShort, which has the message, if there is no room for it.
        """
        view = memoryview(buf).cast("B")
        if not 0 <= offset <= len(view):
            raise ValueError(f"offset must be within the buffer of {len(view)} bytes, got {offset}")
        if in_loop():
            return self._recv_into_soon(view[offset:])
        return put_into(view[offset:], self._recv(1))

    async def _recv_into_soon(self, view: memoryview) -> int:
        return put_into(view, await self._recv_soon(1, None))

    def poll(self, timeout: float | None = 0.0) -> Any:
        """Whether a message is there, or comes within ``timeout`` seconds (None: for ever), or never can.

        In a thread that runs an event loop the result is an awaitable, except with a timeout of 0.
        """
        check_seconds(timeout)
        if timeout is not None and timeout <= 0:
            return self._poll(0)
        return aside(self._poll, deadline_of(timeout)) if in_loop() else self._poll(timeout)

    async def _send_soon(self, kind: int, item: Any) -> None:
        self._send(kind, item)  # there is always room

    async def _recv_soon(self, kind: int, maxlength: int | None) -> Any:
        while True:
            try:
                return fitting(self._recv_nowait(kind), maxlength)
            except queue.Empty:
                await aside(self._poll, None)

    @abstractmethod
    def _recv_nowait(self, kind: int) -> Any:
        """Plain receive, or queue.Empty."""

    @abstractmethod
    def close(self) -> None:
        """Close this end. The other end receives what was sent, then EOFError.

        For worker processes: for this process; the other end has come to an end when no process has this one. Where it
        is shared by reference: for all who have it.
        """

    @property
    def closed(self) -> bool:
        """Whether this end is closed."""
        return self._closed

    @property
    def readable(self) -> bool:
        """Whether it can receive."""
        return self._inward is not None

    @property
    def writable(self) -> bool:
        """Whether it can send."""
        return self._outward is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def part_of(buf: Any, offset: int, size: int | None) -> bytes:
    """The bytes to send. Raises ValueError if they are not all there."""
    view = memoryview(buf).cast("B")
    if offset < 0:
        raise ValueError("offset is negative")
    if offset > len(view):
        raise ValueError("buffer length < offset")
    if size is not None and size < 0:
        raise ValueError("size is negative")
    if size is not None and offset + size > len(view):
        raise ValueError("buffer length < offset + size")
    return bytes(view[offset : None if size is None else offset + size])


def put_into(view: memoryview, message: bytes) -> int:
    """Copy a message into a buffer."""
    if len(message) > len(view):
        from multiprocessing import BufferTooShort

        raise BufferTooShort(message)
    view[: len(message)] = message
    return len(message)


def fitting(message: Any, maxlength: int | None) -> Any:
    """A received message. Raises OSError if it is longer than allowed."""
    if maxlength is not None and len(message) > maxlength:
        raise OSError(f"bad message length: {len(message)} bytes, at most {maxlength} were allowed")
    return message


class Shared(ABC):
    """What a shared value and a shared array have in common: memory, and a lock that guards it by convention."""

    __slots__ = ()

    @abstractmethod
    def get_lock(self) -> Lock | RLock | Any:
        """Its lock. Raises AttributeError if it was made with ``lock=False``."""

    @abstractmethod
    def get_obj(self) -> Any:
        """The ctypes object in the memory itself."""

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> Any:
        """Acquire its lock; see there."""
        return self.get_lock().acquire(blocking, timeout)

    def release(self) -> None:
        """Release its lock; see there."""
        self.get_lock().release()

    def __enter__(self) -> Any:
        return self.get_lock().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.get_lock().__exit__(kind, error, trace)


class Value(Shared):
    """As ``multiprocessing.Value``. ``value.value += 1`` is no single step: hold `get_lock` around it."""

    __slots__ = ()

    value: Any


class Array(Shared):
    """As ``multiprocessing.Array``; ``numpy.asarray(array)`` and ``array.view()`` are views of it without a copy."""

    __slots__ = ()

    @abstractmethod
    def view(self) -> memoryview:
        """Its memory: writable, one-dimensional, seen by all."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: Any) -> Any: ...

    @abstractmethod
    def __setitem__(self, index: Any, value: Any) -> None: ...

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))
