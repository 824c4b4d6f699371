"""What the process backend makes primitives with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from okazja.sync.faces import OnOwnerDeath
from okazja.sync.memory import SharedValue
from okazja.sync.shared.barrier import SharedBarrier
from okazja.sync.shared.condition import SharedCondition
from okazja.sync.shared.event import SharedEvent
from okazja.sync.shared.layout import CLOSED, HIGH, PID
from okazja.sync.shared.lock import SharedLock, SharedRLock
from okazja.sync.shared.pipe import SharedConnection, make_pipe
from okazja.sync.shared.queue import SharedQueue
from okazja.sync.shared.recovery import Recovery
from okazja.sync.shared.region import Region
from okazja.sync.shared.semaphore import SharedBoundedSemaphore, SharedSemaphore
from okazja.sync.shared.slots import Slots
from okazja.sync.shared.values import make_array, make_value

__all__ = ["SharedPrimitives"]


class SharedPrimitives:
    """The primitives of one executor. Made and closed by its process; see `okazja.sync.provider.Primitives`."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.slots = Slots.of(region)
        self._recovery = Recovery(self.slots)

    def worker_ended(self) -> None:
        """Have what it held given to others. Does not wait for that."""
        self._recovery.soon()

    def close(self) -> None:
        """The executor has ended: whoever waits for one of these gets ExecutorShutdown.

        What need not wait goes on as long as a process has the memory mapped.
        """
        self._recovery.close()
        words = self.region.words
        words[CLOSED] = 1
        for slot, pid in enumerate(words[PID : PID + words[HIGH]].tolist()):
            if pid:
                self.slots.park(slot).release()

    def Lock(self, *, on_owner_death: OnOwnerDeath = "warn") -> SharedLock:  # noqa: D102, N802
        return SharedLock.create(self.region, on_owner_death=on_owner_death)

    def RLock(self, *, on_owner_death: OnOwnerDeath = "warn") -> SharedRLock:  # noqa: D102, N802
        return SharedRLock.create(self.region, on_owner_death=on_owner_death)

    def Semaphore(self, value: int = 1) -> SharedSemaphore:  # noqa: D102, N802
        return SharedSemaphore.create(self.region, value)

    def BoundedSemaphore(self, value: int = 1) -> SharedBoundedSemaphore:  # noqa: D102, N802
        return SharedBoundedSemaphore.create(self.region, value)

    def Condition(self, lock: Any = None, *, on_owner_death: OnOwnerDeath = "warn") -> SharedCondition:  # noqa: D102, N802
        return SharedCondition.create(self.region, lock, on_owner_death=on_owner_death)

    def Event(self) -> SharedEvent:  # noqa: D102, N802
        return SharedEvent.create(self.region)

    def Barrier(  # noqa: D102, N802
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> SharedBarrier:
        return SharedBarrier.create(self.region, parties, action, timeout)

    def Queue(self, maxsize: int = 0) -> SharedQueue:  # noqa: D102, N802
        return SharedQueue.create(self.region, maxsize)

    def Pipe(self, duplex: bool = True) -> tuple[SharedConnection, SharedConnection]:  # noqa: D102, N802
        return make_pipe(self.region, duplex)

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> SharedValue:  # noqa: D102, N802
        return make_value(self.region, typecode_or_type, args, lock)

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:  # noqa: D102, N802
        return make_array(self.region, typecode_or_type, size_or_initializer, lock)
