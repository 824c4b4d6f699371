"""Where the tasks of a group run: on the workers of an executor, or each on a worker of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from okazja._backends import find_backend
from okazja._core.messages import Stop
from okazja._engine import Engine
from okazja._engine.submission import submit
from okazja.group.member import Member

__all__ = ["OwnWorkers", "Place", "Pool"]

FIRST = 64  # workers of the first engine that a group opens for itself; each further one has twice as many
MOST = 1024  # workers of one engine


class Place(Protocol):
    """Runs the tasks of one group. Thread-safe."""

    name: str

    def enter(self, *, in_loop: bool) -> None:
        """The block begins, in an event loop (``async with``) or not."""

    def start(
        self, member: Member[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Have a task run. Raises, or sees to it that its future gets done."""

    def stop(self, group: object, stop: Stop) -> None:
        """Have the tasks of the group end: those not begun never begin. May be called again, by any thread."""

    def close(self) -> Callable[[], object] | None:
        """All tasks are done. What is left to wait for, if anything."""


class Pool:
    """An executor's workers, which others use as well."""

    def __init__(self, engine: Engine, context_vars: Sequence[ContextVar[Any]], owner: object) -> None:
        self.name = engine.name
        self._owner = owner  # the Executor: when nobody holds it any more, its engine takes no work
        self._engine = engine
        self._context_vars = context_vars

    def enter(self, *, in_loop: bool) -> None:
        """Raise if the executor takes no work."""
        self._engine.check_open()
        with self._engine.lock:
            self._engine.groups.add(self)

    def start(
        self, member: Member[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Submit to the executor."""
        submit(self._engine, member, fn, args, kwargs, self._context_vars)

    def stop(self, group: object, stop: Stop) -> None:
        """Withdraw what waits, interrupt what runs where that can be done."""
        _stop(self._engine, group, stop)

    def close(self) -> None:
        """The executor goes on."""
        with self._engine.lock:
            self._engine.groups.discard(self)  # again, where Ctrl-C broke in the last time


class OwnWorkers:
    """A thread or a process for each task. Nothing ever waits for a worker.

    They are the workers of engines each of which gets as many calls as it may have workers.
    """

    def __init__(self, backend: str, name: str) -> None:
        self.name = name or backend
        self._backend = backend
        self._prefix = name
        self._lock = threading.RLock()  # around these two; tasks may submit, too
        self._engines: list[Engine] = []
        self._room = 0  # calls that the last engine can still take

    def enter(self, *, in_loop: bool) -> None:
        """Workers start with the tasks."""

    def start(
        self, member: Member[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Start a worker for the task."""
        submit(self._engine(), member, fn, args, kwargs, ())

    def _engine(self) -> Engine:
        """One with room for a call, which is taken."""
        with self._lock:
            if self._room == 0:
                size = min(FIRST << len(self._engines), MOST)
                self._engines.append(self._open(size))
                self._room = size
            self._room -= 1
            return self._engines[-1]

    def _open(self, size: int) -> Engine:
        kind = find_backend(self._backend)
        options: dict[str, Any] = {"inner_max_num_threads": "auto"}
        if kind.capabilities.places_calls:
            options.update(once=True, thread_name_prefix=self._prefix)
        return Engine(kind(), self._backend, options, size, None if kind.capabilities.places_calls else 1)

    def stop(self, group: object, stop: Stop) -> None:
        """Withdraw what waits to begin, interrupt what runs where that can be done."""
        for engine in list(self._engines):
            _stop(engine, group, stop)

    def close(self) -> Callable[[], object] | None:
        """All workers end; to be waited for, as a ``join`` does."""
        if not self._engines:
            return None
        return self._join

    def _join(self) -> None:
        for engine in self._engines:
            engine.shutdown(wait=False, cancel_futures=False)
        for engine in self._engines:
            engine.join()


def _stop(engine: Engine, group: object, stop: Stop) -> None:
    for call in engine.stop(group, stop):
        call.sink._drop(call)
