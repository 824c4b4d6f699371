"""What a backend is: the small protocol between the engine and whatever runs calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from okazja._core.messages import Call, Event, Port, Reply, Stop
from okazja._transport.arena import Arena
from okazja._transport.board import Board
from okazja.sync.provider import Primitives

__all__ = ["Backend", "Capabilities", "Deliver", "OwnPlacement", "Spec"]

# Takes replies by port and events; returns the seconds after which the backend is to call it again
# even if nothing has happened, or None.
Deliver = Callable[[Sequence[tuple[Port | None, Sequence[Reply]]], Sequence[Event]], float | None]


class Capabilities(NamedTuple):
    """What the engine must know about a backend."""

    places_calls: bool  # it decides itself which worker runs a call
    shares_memory: bool  # calls and results are not pickled
    can_kill: bool  # a running call can be ended by force
    times_items: bool  # an item that takes too long can be ended, or at least given up
    runs_at_once: bool = False  # a call is over when `send` returns
    cancels: bool = False  # what runs can be stopped at any time, without harm to anything else
    most_marked: int | None = None  # workers that have slots on the board; None: all of them
    threads_beside: int = 0  # threads, at most, that have slots of their own after those of the workers
    parameters: frozenset[str] = frozenset()  # parameters of Executor that it honours beyond the common ones


@dataclass(frozen=True, slots=True)
class Spec:
    """What an executor wants of its backend; checked before."""

    name: str
    max_workers: int
    board: Board
    first_slot: int = 0  # of the workers, on the board
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    thread_name_prefix: str = ""
    once: bool = False  # each worker runs one call; where calls are placed, the scheduler sees to that
    blocked_after: float | None = None  # seconds
    mp_context: Any = None
    memory_limit: int | None = None  # bytes
    inner_max_num_threads: int | Literal["auto"] | None = None


class Backend(Protocol):
    """Runs calls. Replies and events come back through ``deliver`` only, from any thread."""

    capabilities: Capabilities

    @property
    def arena(self) -> Arena | None:
        """Where large arguments are put; None: they travel in their pickles, or not at all."""

    @property
    def primitives(self) -> Primitives | None:
        """What makes locks, queues and the like that its tasks can use; made when it is first asked for. None: nothing.

        A backend may also leave this out.
        """

    def open(self, spec: Spec, deliver: Deliver) -> None:
        """Get ready; start nothing that is not needed yet."""

    def port(self, slot: int) -> Port | None:
        """A place for a new worker, None where calls are not placed. Quick: the engine's lock is held."""

    def send(self, port: Port | None, calls: Sequence[Call]) -> Sequence[Call]:
        """Have calls run, by the worker of ``port`` if calls are placed. Returns those it has no room for."""

    def reclaim(self, port: Port, running: int) -> list[int]:
        """Take back calls that the worker has not read, and ask it for those not started.

        Returns the ids of the former; the latter come as HandedBack. ``running`` is the call that is
        thought to keep it busy. A request may get lost: it is repeated until the worker answers.
        """

    def interrupt(self, port: Port, running: int, item: int | None = None) -> None:
        """Have the running call end with an exception, where calls are placed; of a stream's chunk, one item alone."""

    def wake(self) -> None:
        """Call ``deliver`` soon, where calls are placed: the time at which to call it has changed."""

    def linger(self, port: Port, take: Callable[[list[Reply]], bool]) -> None:
        """Where calls are placed: let the calling thread, which waits, hear this worker's replies for a moment.

        ``take`` says whether it took them. After an exception that breaks in (Ctrl-C) `stop_lingering` has to
        be called; then no reply is lost.
        """

    def stop_lingering(self, port: Port) -> None:
        """Hear as before, and call ``deliver`` soon."""

    def drop(self) -> list[Call]:
        """Give up calls that have not begun, where the backend places calls itself."""

    def stop(self, chosen: Callable[[Call], bool], stop: Stop) -> list[Call]:
        """Interrupt what runs of the chosen calls, where the backend places calls itself. Returns those not begun."""

    def stop_call(self, call: Call, stop: Stop) -> None:
        """Cancel one call if it runs, where the backend ``cancels``. In any thread."""

    def end_worker(self, port: Port) -> None:
        """Let this worker exit once it has run what it was sent."""

    def close(self, signal: int | None) -> None:
        """Let all workers exit once they have run what they were sent, or send them ``signal``. Never waits."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until everything that ``close`` asked for has happened, ``timeout`` seconds at most; True if it has."""

    def inside(self) -> bool:
        """Whether the calling thread is one that ``join`` waits for."""

    def after_fork(self) -> None:
        """In a child of a fork: nothing of this is the child's. Forget threads and processes."""

    @property
    def broken(self) -> BaseException | None:
        """Why no call can run, where the backend itself has found out."""


class OwnPlacement:
    """For backends that decide themselves which worker runs a call: what is asked about placed ones means nothing."""

    arena = None

    def port(self, slot: int) -> None:
        """See Backend."""

    def reclaim(self, port: Port, running: int) -> list[int]:
        """See Backend."""
        return []

    def interrupt(self, port: Port, running: int, item: int | None = None) -> None:
        """See Backend. Calls with a limit are looked after by the backend itself."""

    def wake(self) -> None:
        """See Backend."""

    def linger(self, port: Port, take: Callable[[list[Reply]], bool]) -> None:
        """See Backend."""

    def stop_lingering(self, port: Port) -> None:
        """See Backend."""

    def stop_call(self, call: Call, stop: Stop) -> None:
        """See Backend. What runs is not cancelled one by one."""

    def end_worker(self, port: Port) -> None:
        """See Backend."""
