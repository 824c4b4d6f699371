"""A chunk: consecutive items of an input that travel together, and the sink of the calls they travel in."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import CancelledError
from typing import Any, Protocol

from okazja._core.messages import Call, Reply
from okazja._core.weight import weight
from okazja._transport import codec

__all__ = ["NO_ERRORS", "Chunk"]


NO_ERRORS: dict[int, BaseException] = {}  # of all chunks without one, for there are many; never changed


class Owner(Protocol):
    """The run that a chunk belongs to."""

    closed: bool

    def arrived(self, chunk: Chunk, items: int, seconds: float) -> None:
        """Items of a chunk have their outcomes."""


class Chunk:
    """Consecutive items of the input; the sink of the calls that they travel in."""

    __slots__ = ("base", "bytes", "errors", "left", "plain", "reported", "run", "sent", "size", "values")

    _runs_again = False

    def __init__(self, run: Owner, base: int, size: int) -> None:
        self.run = run
        self.base = base  # index of the first item
        self.size = size
        self.left = size  # items without an outcome
        self.values: list[Any] | None = None
        self.plain = (
            False  # all values are numbers, short strings and the like: nobody minds if they live on a little
        )
        self.errors = NO_ERRORS  # by position; added to by `note` alone
        self.sent = 0  # bytes of the arguments
        self.bytes = 0  # of arguments and results
        self.reported = 0  # errors that observers know of

    def _begin(self) -> bool:
        if self.run.closed:
            self.run.arrived(self, self.left, 0.0)
            return False
        return True

    def _refused(self, call: Call) -> None:
        """Nobody waits for it."""

    def _settle(self, call: Call, reply: Reply) -> None:
        self._read(call, reply)
        self.run.arrived(self, call.items, reply[3])

    def _read(self, call: Call, reply: Reply) -> None:
        """Take values and errors of a reply."""
        form, body = reply[1], reply[2]
        lo, hi = call.lo, call.hi
        if form == codec.VALUE:
            self.values = [body]
            self.bytes += weight(body)
        elif form == codec.RAISED:
            self.note({0: body})
        elif form == codec.ERROR:
            error = codec.decode_error(body)
            self.note(dict.fromkeys(range(lo, hi), error))
        else:
            self._take(form, body, lo, hi)
            self.note({position: codec.decode_error(problem) for position, problem in reply[5].items()})

    def note(self, errors: Mapping[int, BaseException]) -> None:
        """These items have failed."""
        if errors and self.errors is NO_ERRORS:
            self.errors = {}
        self.errors.update(errors)

    def _take(self, form: int, body: Any, lo: int, hi: int) -> None:
        errors: dict[int, BaseException] = {}
        values = codec.decode_values(form, body, errors)
        self.bytes += codec.size_of(form, body)
        self.note({lo + position: error for position, error in errors.items()})
        if hi - lo == self.size:
            self.values = values
            self.plain = form == 0
        else:
            if self.values is None:
                self.values = [None] * self.size
            self.values[lo:hi] = values

    def _fail(self, call: Call, error: BaseException, item: int | None = None) -> None:
        self.note(dict.fromkeys(range(call.lo, call.hi), error))
        self.run.arrived(self, call.items, 0.0)

    def _never(self, errors: dict[int, BaseException]) -> None:
        """Items that can't travel."""
        self.note(errors)
        self.run.arrived(self, len(errors), 0.0)

    def _drop(self, call: Call) -> None:
        self._fail(call, CancelledError())
