"""The part of an Executor that makes primitives: locks, queues and the like for its tasks and its owner."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from okazja.errors import BadInput, UnsupportedHere

if TYPE_CHECKING:
    from okazja._engine import Engine
    from okazja.sync import (
        Array,
        Barrier,
        BoundedSemaphore,
        Condition,
        Connection,
        Event,
        Queue,
        Semaphore,
        Value,
    )
    from okazja.sync.faces import Lock as LockFace
    from okazja.sync.faces import OnOwnerDeath
    from okazja.sync.faces import RLock as RLockFace
    from okazja.sync.provider import AnyLock, Primitives

__all__ = ["Factories"]

MOST = 2**31 - 1  # permits, parties: what a semaphore of the system can count


class Factories:
    """Each method makes a primitive that this executor's tasks, and whoever has the executor, can use at once.

    They can be passed to tasks as arguments, also inside containers, at any time, and live as long as the executor. In
    a thread that runs an event loop their blocking methods return awaitables; see `okazja.sync`.

    All raise UnsupportedHere if the backend has no primitives, and ExecutorShutdown after shutdown.
    """

    _engine: Engine
    _made: Primitives | None = None

    @property
    def _primitives(self) -> Primitives:
        self._engine.check_open()
        if self._made is None:
            self._made = getattr(self._engine.backend, "primitives", None)
            if self._made is None:
                raise UnsupportedHere(
                    f"the backend {self._engine.backend_name!r} has no locks, queues and the like of its own: use "
                    f"'threads' or 'processes', or have the backend offer `primitives`"
                )
        return self._made

    def Lock(self, *, on_owner_death: OnOwnerDeath = "warn") -> LockFace:  # noqa: N802  (threading's name)
        """A lock, as ``threading.Lock``.

        on_owner_death: if a worker process dies that has it, the next who takes it has it and gets an
        OwnerDiedWarning (``"warn"``, default), or gets OwnerDied raised and doesn't have it (``"raise"``).
        Raises BadInput (a ValueError).
        """
        return self._primitives.Lock(on_owner_death=checked(on_owner_death))

    def RLock(self, *, on_owner_death: OnOwnerDeath = "warn") -> RLockFace:  # noqa: N802
        """A lock that its owner (a thread; in coroutines, a task) may take again, as ``threading.RLock``.

        on_owner_death: as for `Lock`. Raises BadInput (a ValueError).
        """
        return self._primitives.RLock(on_owner_death=checked(on_owner_death))

    def Semaphore(self, value: int = 1) -> Semaphore:  # noqa: N802
        """A semaphore with ``value`` permits at first, as ``threading.Semaphore``. Raises BadInput (a ValueError)."""
        return self._primitives.Semaphore(at_least(0, value, "a semaphore's initial value"))

    def BoundedSemaphore(self, value: int = 1) -> BoundedSemaphore:  # noqa: N802
        """A semaphore with never more than ``value`` permits; those of a worker that dies come back.

        As ``threading.BoundedSemaphore``. Raises BadInput (a ValueError).
        """
        return self._primitives.BoundedSemaphore(at_least(0, value, "a semaphore's initial value"))

    def Condition(  # noqa: N802
        self, lock: AnyLock | None = None, *, on_owner_death: OnOwnerDeath = "warn"
    ) -> Condition:
        """A condition variable, as ``threading.Condition``.

        lock: a Lock or an RLock of this executor; default: an RLock of its own. on_owner_death: of that one, as for
        `Lock`. Raises BadInput (a ValueError).
        """
        return self._primitives.Condition(lock, on_owner_death=checked(on_owner_death))

    def Event(self) -> Event:  # noqa: N802
        """A flag that can be waited for, down at first, as ``threading.Event``."""
        return self._primitives.Event()

    def Barrier(  # noqa: N802
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> Barrier:
        """A meeting point for ``parties``, as ``threading.Barrier``.

        action: called by one of them before all go on; default: nothing. timeout: seconds that each waits, unless told
        otherwise; default: for ever. Raises BadInput (a ValueError) for less than one party.
        """
        return self._primitives.Barrier(at_least(1, parties, "a barrier's parties"), action, timeout)

    def Queue(self, maxsize: int = 0) -> Queue:  # noqa: N802
        """A queue, first in, first out, as ``queue.Queue``; for processes items are pickled.

        maxsize: items that it holds at most; 0 (default) or below: any number. Raises BadInput (a ValueError).
        """
        return self._primitives.Queue(whole(maxsize, "a queue's maxsize"))

    def Pipe(self, duplex: bool = True) -> tuple[Connection, Connection]:  # noqa: N802
        """The two ends of a pipe, as ``multiprocessing.Pipe``; each may have any number of users.

        duplex: whether both send and receive (default); False: the first only receives, the second only sends.
        """
        return self._primitives.Pipe(duplex)

    def Value(self, typecode_or_type: Any, *args: Any, lock: bool | AnyLock = True) -> Value:  # noqa: N802
        """A C value that all see and change, as ``multiprocessing.Value``.

        typecode_or_type: a typecode as of ``array.array``, or a ctypes type; args: what it is made from, nothing is
        zero. lock: True (default): an RLock of its own; False: none; or a lock of this executor. Reading or setting it
        doesn't take the lock; whoever does more than one such step holds `get_lock()` around them.
        Raises BadInput (a ValueError), and what the ctypes type raises.
        """
        return self._primitives.Value(typecode_or_type, *args, lock=lock)

    def Array(  # noqa: N802
        self, typecode_or_type: Any, size_or_initializer: Any, *, lock: bool | AnyLock = True
    ) -> Array:
        """An array of C values that all see and change, as ``multiprocessing.Array``.

        size_or_initializer: how many elements, all zero, or a sequence of what they are at first. typecode_or_type,
        lock: as for `Value`. It has the buffer protocol: ``numpy.asarray(array)`` is a writable view without a copy.
        Raises BadInput (a ValueError), and what the ctypes type raises.
        """
        return self._primitives.Array(typecode_or_type, size_or_initializer, lock=lock)


def checked(on_owner_death: OnOwnerDeath) -> OnOwnerDeath:
    """What is to happen when an owner dies. Raises BadInput."""
    if on_owner_death not in ("warn", "raise"):
        raise BadInput(f"on_owner_death must be 'warn' or 'raise', got {on_owner_death!r}")
    return on_owner_death


def at_least(least: int, value: int, what: str) -> int:
    """A number that is neither too small nor too large. Raises BadInput."""
    number = whole(value, what)
    if not least <= number <= MOST:
        raise BadInput(f"{what} must be from {least} to {MOST:,}, got {value!r}")
    return number


def whole(value: int, what: str) -> int:
    """A whole number, of whatever type. Raises BadInput."""
    try:
        return operator.index(value)
    except TypeError:
        raise BadInput(f"{what} must be a whole number, got {value!r}") from None
