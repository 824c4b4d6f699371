"""Primitives of the backends whose tasks share memory: users have them by reference.

For ``serial`` the same, except that a wait which nobody could end is an error at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from okazja.errors import BadInput
from okazja.sync.faces import OnOwnerDeath
from okazja.sync.local.conditions import LocalCondition
from okazja.sync.local.locks import LocalLock, LocalRLock
from okazja.sync.local.meeting import LocalBarrier, LocalEvent
from okazja.sync.local.queues import LocalConnection, LocalQueue, make_pipe
from okazja.sync.local.semaphores import LocalBoundedSemaphore, LocalSemaphore
from okazja.sync.local.waiting import Home, refuse_pickling
from okazja.sync.memory import SharedValue, array_type, c_type, fill_array, length_for

__all__ = ["LocalPrimitives"]


class LocalPrimitives:
    """Makes the primitives of one executor. A thread can't die with a lock, so ``on_owner_death`` never matters."""

    def __init__(self, backend: str, alone: bool = False) -> None:
        self._home = Home(backend, alone)

    def Lock(self, *, on_owner_death: OnOwnerDeath = "warn") -> LocalLock:  # noqa: D102, N802
        return LocalLock(self._home)

    def RLock(self, *, on_owner_death: OnOwnerDeath = "warn") -> LocalRLock:  # noqa: D102, N802
        return LocalRLock(self._home)

    def Semaphore(self, value: int = 1) -> LocalSemaphore:  # noqa: D102, N802
        return LocalSemaphore(self._home, value)

    def BoundedSemaphore(self, value: int = 1) -> LocalBoundedSemaphore:  # noqa: D102, N802
        return LocalBoundedSemaphore(self._home, value)

    def Condition(  # noqa: D102, N802
        self, lock: Any = None, *, on_owner_death: OnOwnerDeath = "warn"
    ) -> LocalCondition:
        return LocalCondition(self._home, lock)

    def Event(self) -> LocalEvent:  # noqa: D102, N802
        return LocalEvent(self._home)

    def Barrier(  # noqa: D102, N802
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> LocalBarrier:
        return LocalBarrier(self._home, parties, action, timeout)

    def Queue(self, maxsize: int = 0) -> LocalQueue:  # noqa: D102, N802
        return LocalQueue(self._home, maxsize)

    def Pipe(self, duplex: bool = True) -> tuple[LocalConnection, LocalConnection]:  # noqa: D102, N802
        return make_pipe(self._home, duplex)

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> SharedValue:  # noqa: D102, N802
        return SharedValue(
            c_type(typecode_or_type)(*args),
            self._lock_for(lock),
            partial(refuse_pickling, "Value", self._home.backend),
        )

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:  # noqa: D102, N802
        length, initial = length_for(size_or_initializer)
        array = array_type(c_type(typecode_or_type), length)()
        fill_array(array, initial)
        array._lock = self._lock_for(lock)
        array._travel = partial(refuse_pickling, "Array", self._home.backend)
        return array

    def _lock_for(self, lock: Any) -> Any:
        """The lock of a value or an array."""
        if lock is True or lock is None:
            return LocalRLock(self._home)
        if lock is False:
            return None
        if not hasattr(lock, "acquire"):
            raise BadInput(f"lock must be True, False or a lock, got {lock!r}")
        return lock
