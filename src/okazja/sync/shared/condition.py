"""Condition for processes."""

from __future__ import annotations

from time import monotonic, monotonic_ns
from typing import Any, Self

from okazja.errors import BadInput, ExecutorShutdown
from okazja.sync import faces
from okazja.sync.coroutines import Enrolled, deadline_of, regained
from okazja.sync.faces import OnOwnerDeath
from okazja.sync.shared.layout import CONDITION_KIND, INSIDE, SEQ, WAITS
from okazja.sync.shared.lock import SharedLock, SharedRLock
from okazja.sync.shared.primitive import Primitive
from okazja.sync.shared.region import Region
from okazja.sync.tasks import depth_in_task

__all__ = ["SharedCondition"]


class SharedCondition(Primitive, faces.Condition):
    """`threading.Condition` for the threads of all processes of an executor.

    When a process ends that had its lock, or waited for it, all who wait go on, for a notification may have gone to
    the dead: look again at what was waited for, as `wait_for` does.
    """

    kind = CONDITION_KIND

    def __init__(self, region: Region, place: int, lock: SharedLock | SharedRLock) -> None:
        super().__init__(region, place)
        self._lock = lock

    @classmethod
    def create(cls, region: Region, lock: Any = None, *, on_owner_death: OnOwnerDeath = "warn") -> Self:
        """A new one. lock: a Lock or RLock of the same executor, by default an RLock of its own."""
        if lock is None:
            lock = SharedRLock.create(region, on_owner_death=on_owner_death)
        if not isinstance(lock, SharedLock | SharedRLock) or lock._region is not region:
            raise BadInput(
                f"the lock of a Condition must be a Lock or RLock of the same executor, got {lock!r}"
            )
        return cls(region, cls._place(region, LOCK=lock._id), lock)

    def _options(self) -> tuple[Any, ...]:
        return (self._lock,)

    @property
    def _face(self) -> SharedLock | SharedRLock:
        return self._lock

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def _release_save(self) -> int:
        return self._lock._release_save()

    def _acquire_restore(self, depth: int) -> None:
        self._lock._acquire_restore(depth)

    def _recursion_count(self) -> int:
        return self._lock._recursion_count()

    def _is_owned(self) -> bool:
        return self._lock._is_owned() if isinstance(self._lock, SharedRLock) else self._lock.locked()

    def _wait(self, timeout: float | None = None) -> bool:
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        deadline = None if timeout is None else monotonic() + timeout
        lock, words, slot = self._lock, self._words, self._slots.seat()[2].slot
        inside, waits = INSIDE + slot, WAITS + slot
        depth = lock._recursion_count()
        broke_in: BaseException | None = None
        try:
            words[inside] = (
                self._id
            )  # until the lock is back: whoever finds this thread dead tells the others
            token = self._enrol(timed=deadline is not None)
            lock._release_save()
            return self._sleep(token, deadline) or self._withdraw(token)
        finally:
            words[waits] = 0
            while not lock._has_it():
                try:
                    lock._acquire_restore(depth)
                except ExecutorShutdown as error:  # it may be held for a while yet, or its owner have died
                    broke_in = error
                    self._others_may_be_gone()
                except BaseException as error:  # an interrupt; or OwnerDied. The caller has to have the lock
                    broke_in = error
            words[inside] = 0
            if broke_in is not None:
                raise broke_in

    # --- in coroutines: a helper thread waits, and holds no lock -------------------------------------------

    async def _wait_soon(self, timeout: float | None) -> bool:
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        waiting = Enrolled(self._enrol, self._await_notify, self._withdraw, self._pass_on)
        deadline = None if timeout is None else deadline_of(max(timeout, 0))
        await waiting.begin(deadline)
        lock = self._face
        depth = (depth_in_task(lock._identity) if isinstance(lock, SharedRLock) else 0) or 1
        for _ in range(depth):
            lock.release()
        try:
            return await waiting.end()
        finally:
            await regained(lock._acquire_soon, depth)

    def _pass_on(self) -> None:
        """A notification has reached a waiter that had given up: it is another's."""
        with self:
            self.notify()

    def _enrol(self, *, timed: bool = False) -> int:
        return self._slots.enter(self._slots.seat()[2], self._id, monotonic_ns(), timed=timed)

    def _await_notify(self, token: int, timeout: float) -> bool:
        return self._sleep(token, monotonic() + timeout)

    def _withdraw(self, token: int) -> bool:
        seat = self._slots.seat()[2]
        self._words[WAITS + seat.slot] = 0
        self._slots.fence(seat)
        return self._slots.was_woken(seat, token)

    def _sleep(self, number: int, deadline: float | None) -> bool:
        slots, seat, naps = self._slots, self._slots.seat()[2], 0
        while not slots.was_woken(seat, number):
            if deadline is not None and monotonic() >= deadline:
                return False
            slots.sleep(seat, deadline, naps)
            naps += 1
            if self._words[SEQ + seat.slot] != number:
                return True  # a signal handler has waited in this thread: what it used up may have been for this wait
            if naps > 1 and not slots.was_woken(seat, number):
                self._others_may_be_gone()
        return True

    def notify(self, n: int = 1) -> None:
        """Wake the first n that wait. Raises RuntimeError if the lock is not held."""
        if not self._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        for slot, number in self._slots.sleepers(self._id)[:n]:
            self._slots.wake(slot, number)

    def notify_all(self) -> None:
        """Wake all that wait. Raises RuntimeError if the lock is not held."""
        self.notify(len(self._slots.sleepers(self._id)))

    def __repr__(self) -> str:
        return self._describe(f"{self._lock!r}, {len(self._slots.sleepers(self._id))} wait")
