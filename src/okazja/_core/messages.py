"""What travels through okazja: a ``Call`` goes out, a ``Reply`` comes back, a worker's life is told by events.

Executor → Call → scheduler → backend → worker → Reply → sink (a Future, or a chunk of a map)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

__all__ = [
    "BackendFailed",
    "Call",
    "Died",
    "Event",
    "Function",
    "HandedBack",
    "Port",
    "Ready",
    "Reply",
    "Sink",
    "StartFailed",
    "Stop",
    "Timing",
    "WornOut",
]

# What came of a call, a plain tuple because there are so many of them:
# (id of the call, form, body, seconds that it took, first item not run[, errors by item[, times, interrupted]]).
# ``form`` says how ``body`` is to be read (see okazja._transport.codec). Errors stand in replies to chunks, the last
# two in those of a stream: the ns that each item took, and where those stood that were interrupted, as text by item.
Reply = tuple[Any, ...]


class Timing:
    """How long calls of one function take, and so how many of them a worker may hold.

    ``seconds`` is a pessimistic average of one item: it rises fast and falls slowly. One measurement at
    most doubles it, since a quick call that the system interrupted for a moment looks a thousand times longer.
    """

    __slots__ = ("credit", "seconds")

    PATIENCE = 0.002  # seconds of work that may wait behind a running call
    LONG = 0.05  # seconds; a call as long as this loses nothing by being sent alone
    MOST = 128  # calls

    def __init__(self) -> None:
        self.seconds = 0.0  # 0: nothing measured yet
        self.credit = 1  # an unknown function gets one call a worker

    def measured(self, seconds: float) -> None:
        """Learn from one more item."""
        old = self.seconds
        if seconds <= old:
            new = old + (seconds - old) * 0.2
        elif old:
            new = min(seconds, old * 2)
        else:
            new = seconds
        self.seconds = new
        # One call beside the running one costs nobody anything (it can be taken back unread); more of
        # them only where they are over at once.
        if new > self.LONG:
            self.credit = 1
        else:
            self.credit = 2 + min(self.MOST - 2, int(self.PATIENCE / new)) if new else self.MOST

    def doubt(self) -> None:
        """A call goes on for longer than PATIENCE: until one has come back, none waits behind another."""
        self.credit = min(self.credit, 2)


class Function:
    """A callable with the way it travels.

    ``key`` is its pickled reference, where it pickles by reference; workers keep what they loaded for
    it. It is ``0`` where the function goes by value: then ``definition`` holds the pickled function,
    which is sent once a worker where ``token`` is not 0 (all items of one map) and with each call
    otherwise.
    """

    __slots__ = ("definition", "key", "name", "target", "timing", "token")

    def __init__(
        self,
        target: Any,
        name: str,
        timing: Timing,
        key: bytes = b"",
        token: int = 0,
        definition: bytes = b"",
    ) -> None:
        self.target = target
        self.name = name
        self.timing = timing
        self.key = key
        self.token = token
        self.definition = definition


class Sink(Protocol):
    """Where the replies to a call end up. Called by whatever thread brings them, with no lock held."""

    @property
    def _runs_again(self) -> bool:
        """Whether it may have the call run once more, for which the call needs its arguments."""

    def _begin(self) -> bool:
        """The call is about to be sent; False says that it was cancelled and must not be."""

    def _refused(self, call: Call) -> None:
        """The call was not sent, because ``_begin`` had said so."""

    def _settle(self, call: Call, reply: Reply) -> None:
        """Take the reply."""

    def _fail(self, call: Call, error: BaseException, item: int | None = None) -> None:
        """Report ``error`` for one item of the call, or for all of it."""

    def _drop(self, call: Call) -> None:
        """The call will never run."""


class Stop(NamedTuple):
    """Why a call that runs is to end, although it has not used up a limit of its own.

    since: when that was decided, in seconds of the monotonic clock. abandon: where it can't be ended, give it up.
    """

    since: float
    why: str
    abandon: bool


class Call:
    """One unit of scheduling: a submitted call, or items ``lo`` to ``hi - 1`` of one chunk of a map.

    ``payload`` is (args, kwargs) for backends that share memory with the caller, and what the codec
    made of them otherwise (``kind`` says which form). A chunk that has to be split keeps its payload:
    only ``lo`` and ``hi`` change. Where calls are many, a backend that shares memory lets go of the
    payload once the call has begun, if it is never to run again.
    """

    __slots__ = (
        "base",
        "context",
        "fn",
        "hi",
        "id",
        "kind",
        "limit",
        "lo",
        "payload",
        "sink",
        "slot",
        "spent",
        "stop",
        "stoppable",
        "urgent",
    )

    def __init__(
        self, number: int, fn: Function, kind: int, payload: Any, sink: Sink, lo: int = 0, hi: int = 1
    ) -> None:
        self.id = number
        self.fn = fn
        self.kind = kind
        self.payload = payload
        self.sink = sink
        self.lo = lo
        self.hi = hi
        self.base = -1  # index in the input of the chunk's first item; -1: a submitted call
        self.slot = -1  # the worker that holds it; -1: none
        self.context: Any = None  # contextvars: a Context in shared memory, pickled values otherwise
        self.limit: float | None = None  # seconds that each of its items may take
        self.spent = 0.0  # seconds that its item had run when it was ended with its worker
        self.stoppable = False  # somebody may want it to end while it runs
        self.stop: Stop | None = None  # somebody does
        self.urgent = False  # goes ahead of what waits

    @property
    def items(self) -> int:
        """How many items of the input this call stands for."""
        return self.hi - self.lo

    def part(self, number: int, lo: int, hi: int) -> Call:
        """A call for some of the items of this one."""
        call = Call(number, self.fn, self.kind, self.payload, self.sink, lo, hi)
        call.base = self.base
        call.context = self.context
        call.limit = self.limit
        call.stoppable = self.stoppable
        call.stop = self.stop
        return call


class Port(Protocol):
    """One incarnation of a worker, where calls can be sent to; a slot's next worker has another."""

    slot: int


class Ready:
    """A worker has started and its initializer has run."""

    __slots__ = ("port",)

    def __init__(self, port: Port) -> None:
        self.port = port


class HandedBack:
    """A worker gave back calls that it had not started: pairs of call id and first item not run."""

    __slots__ = ("calls", "port")

    def __init__(self, port: Port, calls: Sequence[tuple[int, int]]) -> None:
        self.port = port
        self.calls = calls


class WornOut:
    """A worker asks to be replaced: it begins no call any more, and gives back what it is sent."""

    __slots__ = ("port",)

    def __init__(self, port: Port) -> None:
        self.port = port


class Waits:
    """A worker's task has waited for a primitive for long, and would wait for ever."""

    __slots__ = ("port",)

    def __init__(self, port: Port) -> None:
        self.port = port


class Died:
    """A worker has ended, expected or not, and all that it wrote has been read.

    ``call`` and ``item`` are its last mark on the board, ``call`` 0 where it ran nothing. ``span``: how many items
    after that one may be meant as well.
    """

    __slots__ = ("call", "exitcode", "item", "pid", "port", "reason", "seconds", "span")

    def __init__(
        self,
        port: Port,
        pid: int,
        exitcode: int | None,
        call: int,
        item: int,
        reason: str = "",
        seconds: float = 0.0,
        span: int = 0,
    ) -> None:
        self.span = span
        self.port = port
        self.pid = pid
        self.exitcode = exitcode
        self.call = call
        self.item = item
        self.reason = reason  # why it could not be started, where that is known
        self.seconds = seconds  # that the item had run


class StartFailed:
    """A worker can't work: its initializer raised, or it could not be started at all."""

    __slots__ = ("error", "port")

    def __init__(self, port: Port, error: BaseException) -> None:
        self.port = port
        self.error = error


class BackendFailed:
    """The backend itself can't go on: a defect, or a want of resources."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


Event = Ready | HandedBack | WornOut | Waits | Died | StartFailed | BackendFailed
