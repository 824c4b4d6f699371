"""What a backend offers an executor that is asked for a primitive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from okazja.sync.carriers import Array, Connection, Queue, Value
from okazja.sync.faces import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    OnOwnerDeath,
    RLock,
    Semaphore,
)

__all__ = ["AnyLock", "Primitives"]

AnyLock: TypeAlias = Lock | RLock


class Primitives(Protocol):
    """One for each executor. What it makes can be passed to the tasks of this executor, and lives as long as it.

    ``on_owner_death``: what happens to the next who takes a lock whose owner died with it: ``"warn"``: it has the lock
    and gets an OwnerDiedWarning, ``"raise"``: it has OwnerDied raised and doesn't have the lock.
    """

    def Lock(self, *, on_owner_death: OnOwnerDeath = "warn") -> Lock: ...  # noqa: D102, N802

    def RLock(self, *, on_owner_death: OnOwnerDeath = "warn") -> RLock: ...  # noqa: D102, N802

    def Semaphore(self, value: int = 1) -> Semaphore: ...  # noqa: D102, N802

    def BoundedSemaphore(self, value: int = 1) -> BoundedSemaphore: ...  # noqa: D102, N802

    def Condition(  # noqa: D102, N802
        self, lock: AnyLock | None = None, *, on_owner_death: OnOwnerDeath = "warn"
    ) -> Condition: ...

    def Event(self) -> Event: ...  # noqa: D102, N802

    def Barrier(  # noqa: D102, N802
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> Barrier: ...

    def Queue(self, maxsize: int = 0) -> Queue: ...  # noqa: D102, N802

    def Pipe(self, duplex: bool = True) -> tuple[Connection, Connection]: ...  # noqa: D102, N802

    def Value(  # noqa: D102, N802
        self, typecode_or_type: Any, *args: Any, lock: bool | AnyLock = True
    ) -> Value: ...

    def Array(  # noqa: D102, N802
        self, typecode_or_type: Any, size_or_initializer: Any, *, lock: bool | AnyLock = True
    ) -> Array: ...
