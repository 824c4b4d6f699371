"""Lock and RLock for processes. They pass on when their owner dies."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any, Self

from okazja.errors import BadInput, OwnerDied, OwnerDiedWarning
from okazja.sync import faces
from okazja.sync.faces import OnOwnerDeath
from okazja.sync.shared import shares
from okazja.sync.shared.counted import Counted
from okazja.sync.shared.layout import DIED, LOCK_KIND, ORPHAN, PID, RLOCK_KIND
from okazja.sync.shared.region import Region
from okazja.sync.shared.shares import Share

__all__ = ["QuietLock", "SharedLock", "SharedRLock"]


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
        before, has, told = self._in_doubt(share), share.has, False
        try:
            pid = self._region.guarded(self._take_over, share)
            if pid:
                try:
                    self._tell_of(pid)
                except (OwnerDied, OwnerDiedWarning):
                    told = True
                    raise
        except BaseException:
            if told:
                self._words[self._id + DIED] = 0
                self._release_slowly()
            else:  # an orphan again: somebody else has to be told
                share.has = has
                if self._in_doubt(share) > before:
                    self._give_up(share)
            raise
        if pid:
            self._words[self._id + DIED] = 0
        return pid != 0

    def _tell_of(self, pid: int) -> None:
        """Tell the new owner that the last one has died."""
        message = f"process {pid} died while it had this lock: what the lock protects may be half changed"
        if self._on_owner_death == "raise":
            raise OwnerDied(message, pid)
        warnings.warn(message, OwnerDiedWarning, stacklevel=7)

    def _take_over(self, share: Share) -> int:
        """Under the guard: the process of the owner that died, 0 if somebody else was first."""
        words, orphan = self._words, self._id + ORPHAN
        pid = int(words[orphan])
        if pid:
            words[self._id + DIED] = pid
            share.took.value = share.said = (
                share.said + 1
            )  # whoever dies in here leaves it for those who count
            words[orphan] = 0
            share.has += 1
        return pid

    def _give_back(self, share: Share) -> None:
        share.settle()
        if share.has:
            self._post_own(share)
        elif self._semaphore._get_value():
            raise RuntimeError("release unlocked lock")
        else:
            self._post_for_others(share)

    def _attribute(self, share: Share) -> bool:
        orphan = self._id + ORPHAN
        if self._words[orphan]:
            self._words[orphan] = 0
            return True
        return super()._attribute(share)

    def locked(self) -> bool:
        """Whether some thread has it."""
        return not self._semaphore._get_value() and not self._words[self._id + ORPHAN]

    def _has_it(self) -> bool:
        """Whether the calling thread has it."""
        return self._share().has > 0

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

    def release(self) -> None:
        """Make it free; any thread may. Raises RuntimeError if nobody has it."""
        try:
            self.__exit__(None, None, None)
        except ValueError as error:  # by the sem_t: another thread has released it already
            raise RuntimeError("release unlocked lock") from error

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

    def _acquire_slowly(self, blocking: bool, deadline: float | None) -> bool:
        share = self._share()
        if share.has:
            share.has += 1
            return True
        return super()._acquire_slowly(blocking, deadline)

    def __enter__(self) -> bool:
        share = None
        try:
            share = self._mine.share
            if share.has:
                share.has += 1
                return True
            share.took.value = share.said = share.said + 1
            if not self._gate.value and (self._try(False) or self._spin()):
                share.has = 1
                return True
            share.took.value = share.said = share.said - 1
        except BaseException as error:
            self._broken_into(error, share)
        return self._acquire_slowly(True, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        share = None
        try:
            share = self._mine.share
            if share.has == 1:
                share.has = 0
                self._post()
                share.took.value = share.said = share.said - 1
            elif share.has:
                share.has -= 1
                return
            else:
                share = None
        except BaseException as problem:
            self._broken_into(problem, share)
        if share is None:
            self._release_slowly()
        elif self._hint.value:
            self._wake_next(share.seat)

    def _release_slowly(self) -> None:
        """In a thread that has used another copy of it, or that does not have it."""
        if not self._share().has:
            raise RuntimeError("cannot release un-acquired lock")
        self.__exit__(None, None, None)

    def _release(self) -> None:
        self.__exit__(None, None, None)

    def _in_doubt(self, share: Share) -> int:
        return share.said - bool(share.has)

    def _is_owned(self) -> bool:
        return self._has_it()

    @property
    def _identity(self) -> object:
        return self._region.ticket, self._id

    def _recursion_count(self) -> int:
        return self._share().has

    def _release_save(self) -> int:
        share = self._share()
        depth = share.has
        if not depth:
            raise RuntimeError("cannot release un-acquired lock")
        with self._whole(share):
            share.has = 1
            self._post_own(share)
        if self._hint.value:
            self._wake_next(share.seat)
        return depth

    def _acquire_restore(self, depth: int) -> None:
        share = self._share()
        try:
            self._acquire()
        finally:
            if share.has:
                share.has = depth


class QuietLock(SharedLock):
    """For the inside of other primitives, which know by themselves what to do after a death."""

    def _tell_of(self, pid: int) -> None:
        """Nobody needs to know."""
