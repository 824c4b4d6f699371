"""Lock and RLock for processes. They pass on when their owner dies."""

from __future__ import annotations

import time
import warnings
from types import TracebackType
from typing import Any, Self

from okazja.errors import BadInput, OwnerDied, OwnerDiedWarning
from okazja.sync import faces
from okazja.sync.faces import OnOwnerDeath
from okazja.sync.shared import shares
from okazja.sync.shared.counted import Counted, deadline_of
from okazja.sync.shared.layout import LOCK_KIND, ORPHAN, PID, RLOCK_KIND
from okazja.sync.shared.region import Region
from okazja.sync.shared.shares import Share

__all__ = ["QuietLock", "SharedLock", "SharedRLock"]

LOOKS = 20  # at who has a lock that somebody else releases
GLANCE = 50e-6  # seconds between two of them


class _Owned(Counted):
    """One permit, and whose it is."""

    def __init__(self, region: Region, place: int, on_owner_death: OnOwnerDeath = "warn") -> None:
        super().__init__(region, place, 1)
        self._on_owner_death = on_owner_death

    @classmethod
    def create(cls, region: Region, *, on_owner_death: OnOwnerDeath = "warn") -> Self:
        """A new one, free. on_owner_death: see `okazja.OwnerDied`."""
        if on_owner_death not in {"warn", "raise"}:
            raise BadInput(f"on_owner_death must be 'warn' or 'raise', got {on_owner_death!r}")
        return cls(region, cls._place(region, 1, PERMITS=1), on_owner_death)

    def _options(self) -> tuple[Any, ...]:
        return (self._on_owner_death,)

    def _inherit(self, share: Share) -> bool:
        took = share.took.value
        pid = self._region.guarded(self._take_over, share)
        if pid:
            try:
                self._tell_of(pid)
            except BaseException:
                self._mend(share, took)
                raise
        return pid != 0

    def _tell_of(self, pid: int) -> None:
        """Tell the new owner that the last one has died."""
        message = f"process {pid} died while it had this lock: what the lock protects may be half changed"
        if self._on_owner_death == "raise":
            raise OwnerDied(message, pid)
        warnings.warn(message, OwnerDiedWarning, stacklevel=7)

    def _take_over(self, share: Share) -> int:
        """Under the guard: the process of the owner that died, 0 if somebody else was first."""
        orphan = self._id + ORPHAN
        pid = int(self._words[orphan])
        if pid:
            share.took.value += 1  # first: whoever dies in here leaves the permit for those who count
            self._words[orphan] = 0
            if self._on_owner_death == "raise":
                self._post()
                share.took.value -= 1
        return pid

    def locked(self) -> bool:
        """Whether some thread has it."""
        return not self._semaphore._get_value() and not self._words[self._id + ORPHAN]

    def _has_it(self) -> bool:
        """Whether the calling thread has it."""
        return self._share().count > 0

    def _owner(self) -> str:
        owners = shares.holders(self._words, self._id) if self.locked() else ()
        return f"owned by process {self._words[PID + next(iter(owners))]}" if owners else "free"

    def __repr__(self) -> str:
        return self._describe(self._owner())


class SharedLock(_Owned, faces.Lock):
    """`threading.Lock` for the threads of all processes of an executor.

    When the process that has it ends, the next thread to acquire it gets it, with an OwnerDiedWarning; or, with
    ``on_owner_death="raise"``, gets `OwnerDied` instead, once, and may acquire it again.
    """

    kind = LOCK_KIND

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking and timeout == -1:
            return self.__enter__()
        return self._acquire_slowly(blocking, deadline_of(blocking, timeout))

    def release(self) -> None:
        """Make it free; any thread may. Raises RuntimeError if nobody has it."""
        self.__exit__(None, None, None)

    def _give_back(self, share: Share) -> None:
        whose = share.word if share.count > 0 else self._whose()
        if self._semaphore._get_value() or not (whose or self._words[self._id + ORPHAN]):
            raise RuntimeError("release unlocked lock")
        self._post_for(share, whose)

    def _whose(self) -> int | None:
        """Under the guard: the share of the thread that has it. Others say so only as long as they try for it."""
        found: set[int] = set()
        for look in range(LOOKS):
            now = {
                share
                for share in shares.of_primitive(self._words, self._id)
                if shares.held(self._words[share]) > 0
            }
            found = found & now if look else now
            if len(found) <= 1:
                break
            time.sleep(GLANCE)
        return min(found, default=None)

    # What a Condition needs of it.

    def _recursion_count(self) -> int:
        return int(self.locked())

    def _release_save(self) -> int:
        self.release()
        return 1

    def _acquire_restore(self, depth: int) -> None:
        self._acquire()


class SharedRLock(_Owned, faces.RLock):
    """`threading.RLock` for the threads of all processes of an executor. When its owner dies: as `SharedLock`."""

    kind = RLOCK_KIND

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking and timeout == -1:
            return self.__enter__()
        return self._acquire_slowly(blocking, deadline_of(blocking, timeout))

    def _acquire_slowly(self, blocking: bool, deadline: float | None) -> bool:
        share = self._share()
        if share.depth:
            share.depth += 1
            return True
        took = share.took.value
        try:
            if super()._acquire_slowly(blocking, deadline):
                share.depth = 1
                return True
        except BaseException:
            self._mend(share, took)
            raise
        return False

    def __enter__(self) -> bool:
        share, took = None, 0
        try:
            share = self._mine.share
            if share.depth:
                share.depth += 1
                return True
            took = share.took.value
            share.took.value = took + 1
            if not self._gate.value and (self._try(False) or self._spin()):
                share.depth = 1
                return True
            share.took.value -= 1
        except BaseException as error:
            self._broken_into(error, share, took)
        return self._acquire_slowly(True, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        share, took = None, 0
        try:
            share = self._mine.share
            if share.depth == 1:
                took = share.took.value
                share.depth = 0
                self._post()
                share.took.value -= 1
                if self._hint.value:
                    self._wake_next(share.seat)
                return
        except BaseException as problem:
            self._broken_into(problem, share, took - 1)
        if share is None:  # now there is one, which another copy of this lock may have used
            self.__exit__(kind, error, trace)
        elif share.depth:
            share.depth -= 1
        else:
            raise RuntimeError("cannot release un-acquired lock")

    def _release(self) -> None:
        self.__exit__(None, None, None)

    def _give_back(self, share: Share) -> None:
        raise RuntimeError("cannot release un-acquired lock")

    def _is_owned(self) -> bool:
        return self._share().depth > 0

    def _has_it(self) -> bool:
        return self._is_owned()

    @property
    def _identity(self) -> object:
        return self._region.ticket, self._id

    def _recursion_count(self) -> int:
        return self._share().depth

    def _release_save(self) -> int:
        share = self._share()
        depth, took = share.depth, share.took.value
        if not depth:
            raise RuntimeError("cannot release un-acquired lock")
        try:
            share.depth = 0
            self._post()
            share.took.value -= 1
            if self._hint.value:
                self._wake_next(share.seat)
        except BaseException:
            self._mend(share, took - 1)
            raise
        return depth

    def _acquire_restore(self, depth: int) -> None:
        share = self._share()
        try:
            self._acquire()
        finally:
            if share.depth:
                share.depth = depth


class QuietLock(SharedLock):
    """For the inside of other primitives, which know by themselves what to do after a death."""

    def _tell_of(self, pid: int) -> None:
        """Nobody needs to know."""
