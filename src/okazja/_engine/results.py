"""What ``map`` and ``stream`` return: an iterator for plain code, and an asynchronous one for coroutines.

    for:        the caller ─▶ values ─▶ Run
    async for:  the caller ◀── ready ◀── _Pump, a thread ─▶ values ─▶ Run

In a coroutine nothing that may block happens in the caller's thread: a thread draws the input, pickles, sends and waits
instead, and has results ready, a bounded number of them.
"""

from __future__ import annotations

import _thread
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from contextvars import copy_context
from itertools import count
from time import monotonic
from typing import Generic, TypeVar

from okazja._backends.thread_limits import may_be_daemon, take
from okazja._engine.library import Bell, Library, library
from okazja._engine.run import Run
from okazja._worker.coroutines import close_loop
from okazja.errors import LoopRunning

__all__ = ["Results"]

T = TypeVar("T")

AHEAD = 256  # results that wait for the caller, at most; with a buffersize, one
MOST_BYTES = 1 << 22  # of these
TURN = 0.001  # seconds after which a caller that always finds results ready lets others have a turn

_numbers = count(1)


class Results(Generic[T]):
    """The results of a map or a stream: for ``for`` and for ``async for``. Taken in one of the two ways.

    Closing it early cancels what has not begun. So does the end of its last reference, and in a coroutine a
    cancellation that comes while it waits for the next.
    """

    def __init__(self, values: Generator[T, None, None], run: Run, weigh: Callable[[T], int]) -> None:
        self._values = values
        self._run = run
        self._weigh = weigh
        self._library = library()
        self._pump: _Pump[T] | None = None
        self._turn = 0.0  # since when the caller has not waited
        run.handed_out(values)
        self._begun = self._library is None or not run.runs_at_once
        if self._library is None:
            run.begin()
        elif (
            self._begun
        ):  # by the thread; where items run in whichever thread takes them, that is not known yet
            self._pump = _Pump(values, run, weigh)

    # --- plain code

    def __iter__(self) -> Iterator[T]:
        self._be_plain()
        return self._values  # in C from here on

    def __next__(self) -> T:
        self._be_plain()
        return next(self._values)

    def close(self) -> None:
        """Cancel what has not begun; with a stream, also end what runs. Takes no time if all is done."""
        if self._pump is not None:
            self._pump.close()
        else:
            self._values.close()

    def _be_plain(self) -> None:
        loop = self._run.needs_loop
        if loop is not None and loop.is_here():
            raise LoopRunning(
                "the input is asynchronous and needs the event loop that runs in this thread, so nobody may wait for "
                "results here: take them with `async for`"
            )
        if not self._begun:
            self._begun = True
            self._run.begin()
        pump, self._pump = self._pump, None
        if pump is not None and not pump.let_go():
            self._pump = pump
            raise LoopRunning("these results are being taken with `async for`: go on with that")

    # --- coroutines

    def __aiter__(self) -> Results[T]:
        return self

    async def __anext__(self) -> T:
        pump = self._pump
        if pump is None:
            if self._library is None:
                self._library = library()
            begun, self._begun = self._begun, True
            pump = self._pump = _Pump(self._values, self._run, self._weigh, begin=not begun)
        assert self._library is not None
        if pump.ready and monotonic() - self._turn > TURN:
            await self._library.breathe()
            self._turn = monotonic()
        while not pump.ready:  # again, where another task that takes from here was quicker
            if pump.is_over():
                raise pump.end()
            await pump.wait(self._library)
            self._turn = monotonic()
        return pump.take()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def __del__(self) -> None:
        pump = getattr(self, "_pump", None)
        if pump is not None and not pump.let_go():
            pump.close()


class _Pump(Generic[T]):
    """Takes results in a thread of its own. It holds no reference to what the caller has.

    The caller never waits for a lock: a thread that loses the GIL while it holds one would have the loop stand still.
    What only one of the two may do, does who takes the token for it, which is one step.
    """

    def __init__(
        self,
        values: Generator[T, None, None],
        run: Run,
        weigh: Callable[[T], int],
        *,
        begin: bool = True,
    ) -> None:
        self.ready: deque[tuple[T, int]] = deque()  # results, and bytes that each takes
        self._given = self._taken = 0  # bytes so far, by the thread and by the caller
        self._values = values
        self._run = run
        self._weigh = weigh
        self._most = AHEAD if run.buffersize is None else 1
        self._unasked = deque([None])  # nobody has said yet whether results are wanted here
        self._asked = _held_lock()  # the thread waits for that
        self._full: deque[None] = deque()  # one in it: the thread waits for room
        self._room = _held_lock()
        self._bells: deque[Bell] = deque()  # of tasks that wait for a result
        self._gone = False  # nobody wants results here any more
        self._over = False
        self._error: BaseException | None = None
        threading.Thread(
            target=copy_context().run,
            args=(self._work, begin),
            name=f"okazja-results-{next(_numbers)}",
            daemon=may_be_daemon(),
        ).start()

    # --- the caller

    async def wait(self, library: Library) -> None:
        """Until a result is ready, or none will be."""
        if take(self._unasked):
            self._asked.release()
        bell = library.bell()
        self._bells.append(bell)
        if self.ready or self._over:  # since the caller has looked
            with suppress(ValueError):  # it rings already
                self._bells.remove(bell)
            return
        try:
            await bell
        except library.cancelled:
            self.close()
            raise

    def is_over(self) -> bool:
        """Whether no result will be ready any more, but for those that are."""
        return self._over and not self.ready

    def take(self) -> T:
        """A result; only where one is ready."""
        value, bytes_ = self.ready.popleft()
        self._taken += bytes_
        if self._full and self._is_low() and take(self._full):
            self._room.release()
        return value

    def end(self) -> BaseException:
        """What ends the iteration: an error, the first time, or StopAsyncIteration."""
        error, self._error = self._error, None
        return StopAsyncIteration() if error is None else error

    def let_go(self) -> bool:
        """Leave the values to somebody else; False if some were asked for."""
        if not take(self._unasked):
            return False
        self._gone = True
        self._asked.release()
        return True

    def close(self) -> None:
        """Nobody wants more."""
        self._gone = self._over = True
        self._error = None
        self.ready.clear()
        self._run.close()
        if take(self._unasked):
            self._asked.release()
        if take(self._full):
            self._room.release()
        self._ring_all()

    # --- the thread

    def _work(self, begin: bool) -> None:
        error: BaseException | None = None
        try:
            if begin:
                self._run.begin()
            self._asked.acquire()
            if not self._gone:
                for value in self._values:
                    if not self._put(value):
                        break
                    del value
        except BaseException as problem:
            error = problem
        close_loop()  # on serial, coroutines have run in this thread
        if not self._gone:
            self._error = error
        error = None  # its frames lead here
        self._over = True
        self._ring_all()

    def _put(self, value: T) -> bool:
        """Have a result ready, then wait for room; False if nobody wants more."""
        bytes_ = self._weigh(value)
        if self._gone:
            return False
        self._given += bytes_
        self.ready.append((value, bytes_))
        del value
        self._ring()
        if len(self.ready) >= self._most or self._given - self._taken >= MOST_BYTES:
            self._full.append(None)
            if not ((self._is_low() or self._gone) and take(self._full)):  # else there was no need to wait
                self._room.acquire()
        return not self._gone

    def _ring(self) -> bool:
        """Wake up one task that waits; False if none does."""
        try:
            bell = self._bells.popleft()
        except IndexError:
            return False
        bell.ring()
        return True

    def _ring_all(self) -> None:
        """Nothing more comes. Who begins to wait after this has seen that it is over."""
        while self._ring():
            pass

    def _is_low(self) -> bool:
        return len(self.ready) <= self._most // 2 and self._given - self._taken <= MOST_BYTES // 2


def _held_lock() -> _thread.LockType:
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock
