"""How long a block takes, in wall time and in CPU time: that of this process and that of its workers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass
from time import perf_counter, process_time
from types import TracebackType
from typing import Self

from okazja.errors import BadInput

__all__ = ["timer"]

_LEDGER = "okazja._backends.ledger"

# The timers around the running code, outermost first. Each thread and each asyncio task has its own nesting;
# a task starts with that of the code that made it, and may outlive it: those that have ended don't count.
_around: ContextVar[tuple[timer, ...]] = ContextVar("okazja_timers", default=())


@dataclass(frozen=True, slots=True)
class _Reading:
    """The clocks at one moment, in seconds."""

    wall: float
    cpu: float
    workers_cpu: float

    @classmethod
    def now(cls) -> _Reading:
        # The workers' first: asking them takes longer than reading the two other clocks.
        workers = _workers_cpu_seconds()
        return cls(perf_counter(), process_time(), workers)

    def __sub__(self, earlier: _Reading) -> _Reading:
        return _Reading(
            self.wall - earlier.wall, self.cpu - earlier.cpu, max(0.0, self.workers_cpu - earlier.workers_cpu)
        )


_ZERO = _Reading(0.0, 0.0, 0.0)


def _workers_cpu_seconds() -> float:
    """CPU time of all workers so far. Nobody had any as long as their ledger was not even imported."""
    ledger = sys.modules.get(_LEDGER)
    seconds: Callable[[], float] | None = getattr(ledger, "workers_cpu_seconds", None)
    return 0.0 if seconds is None else seconds()


class timer:  # noqa: N801  (used like a function: ``with okazja.timer("load"):``)
    """Measure a block: ``with timer("load") as t: ...``, or ``async with`` in a coroutine.

    ``name`` is how it calls itself when printed. ``report`` is called with that text when the block ends,
    however it ends (``report=print``, or a logger's method); by default nothing is said.

    All times are floats in seconds. While the block runs they are the times so far; before it, zero:

    * ``wall``: time on the clock;
    * ``cpu``: CPU time of this process, all its threads, user and system;
    * ``workers_cpu``: CPU time of the worker processes of its executors, dead ones included;
    * ``total_cpu``: the sum of both.

    The CPU times are those of the whole process and all its workers: what runs at the same time elsewhere in
    the program counts as well.

    ``parent`` is the timer around this one in the same thread or asyncio task, ``depth`` how many there are;
    the text is indented by it. A timer that has ended can be used again and starts from zero. One that runs
    can't be entered: `RuntimeError`. A name that is not a string is a `okazja.errors.BadInput`.
    """

    __slots__ = ("_depth", "_parent", "_report", "_start", "_stop", "_token", "name")

    def __init__(self, name: str = "timer", *, report: Callable[[str], object] | None = None) -> None:
        if not isinstance(name, str):
            raise BadInput(f"a timer's name must be a string, got {name!r}: write timer(str(name))")
        if report is not None and not callable(report):
            raise BadInput(f"report must be a callable that takes a text, got {report!r}: write report=print")
        self.name = name
        self._report = report
        self._parent: timer | None = None
        self._depth = 0
        self._start: _Reading | None = None
        self._stop: _Reading | None = None
        self._token: Token[tuple[timer, ...]] | None = None

    def __enter__(self) -> Self:
        if self.running:
            raise RuntimeError(
                f"timer {self.name!r} is running already: make another one for the inner block"
            )
        around = tuple(other for other in _around.get() if other.running)
        self._parent, self._depth = (around[-1] if around else None), len(around)
        self._token = _around.set((*around, self))
        self._stop = None
        self._start = _Reading.now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stop = _Reading.now()
        if not self.running or self._token is None:
            raise RuntimeError(f"timer {self.name!r} is not running: enter it first")
        self._stop = stop
        token, self._token = self._token, None
        try:
            _around.reset(token)
        except ValueError:
            # Entered in another context than it is left in (an async generator or a fixture does so): that
            # context keeps its own nesting, and here there is nothing to undo.
            pass
        if self._report is not None:
            self._report(str(self))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    @property
    def running(self) -> bool:
        """Whether the block is being executed."""
        return self._start is not None and self._stop is None

    @property
    def parent(self) -> timer | None:
        """The timer around this one when it started, or None."""
        return self._parent

    @property
    def depth(self) -> int:
        """How many timers are around this one."""
        return self._depth

    @property
    def wall(self) -> float:
        """Time on the clock, in seconds."""
        return self._elapsed().wall

    @property
    def cpu(self) -> float:
        """CPU time of this process, in seconds."""
        return self._elapsed().cpu

    @property
    def workers_cpu(self) -> float:
        """CPU time of the worker processes, in seconds."""
        return self._elapsed().workers_cpu

    @property
    def total_cpu(self) -> float:
        """CPU time of this process and its workers, in seconds."""
        elapsed = self._elapsed()
        return elapsed.cpu + elapsed.workers_cpu

    def _elapsed(self) -> _Reading:
        if self._start is None:
            return _ZERO
        return (self._stop or _Reading.now()) - self._start

    def __str__(self) -> str:
        """``sieve: 1.234 s wall, 0.010 s CPU here, 2.400 s CPU in workers (1.95 x)``.

        The last figure is CPU time in all by wall time: how many CPUs were busy on average.
        """
        if self._start is None:
            return f"{self.name}: not started"
        elapsed = self._elapsed()
        text = f"{'  ' * self.depth}{self.name}: {elapsed.wall:.3f} s wall, {elapsed.cpu:.3f} s CPU here"
        if elapsed.workers_cpu:
            text += f", {elapsed.workers_cpu:.3f} s CPU in workers"
        if elapsed.wall > 0:
            text += f" ({(elapsed.cpu + elapsed.workers_cpu) / elapsed.wall:.2f} x)"
        return text + (", still running" if self.running else "")

    def __repr__(self) -> str:
        return f"<timer {str(self).strip()}>"
