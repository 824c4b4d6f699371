"""Lock and RLock for processes. They pass on when their owner dies."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from types import TracebackType
from typing import Any, Self

from okazja.errors import BadInput, OwnerDied, OwnerDiedWarning
from okazja.sync import faces
from okazja.sync.faces import OnOwnerDeath
from okazja.sync.shared.counted import Counted, deadline_of
from okazja.sync.shared.layout import (
    DEPTH,
    FOREIGN,
    HOLDER,
    LOCK_KIND,
    ORPHAN,
    PID,
    RLOCK_KIND,
)
from okazja.sync.shared.region import Cell, Region
from okazja.sync.shared.slots import Place

__all__ = ["QuietLock", "SharedLock", "SharedRLock"]


class _Owned(Counted):
    """One permit, and whose it is."""

    def __init__(self, region: Region, place: int, on_owner_death: OnOwnerDeath = "warn") -> None:
        super().__init__(region, place, 1)
        self._on_owner_death = on_owner_death
        self._holder = region.cell(place + HOLDER)
        self._depth = region.cell(place + DEPTH)

    @classmethod
    def create(cls, region: Region, *, on_owner_death: OnOwnerDeath = "warn") -> Self:
        """A new one, free. on_owner_death: see `okazja.OwnerDied`."""
        if on_owner_death not in {"warn", "raise"}:
            raise BadInput(f"on_owner_death must be 'warn' or 'raise', got {on_owner_death!r}")
        return cls(region, cls._place(region, 1), on_owner_death)

    def _options(self) -> tuple[Any, ...]:
        return (self._on_owner_death,)

    def _note(self, mark: int) -> None:
        self._depth.value = 1
        self._holder.value = mark

    def _held(self, mark: int) -> int:
        return int(self._holder.value == mark)

    def _inherit(self, mark: int) -> bool:
        pid = self._region.guarded(self._take_over, self._slots.seat())
        if pid:
            try:
                self._tell_of(pid)
            except BaseException:
                if self._held(mark):
                    self._let_go(self._slots.seat())
                raise
        return pid != 0

    def _tell_of(self, pid: int) -> None:
        """Tell the new owner that the last one has died."""
        message = f"process {pid} died while it had this lock: what the lock protects may be half changed"
        if self._on_owner_death == "raise":
            raise OwnerDied(message, pid)
        warnings.warn(message, OwnerDiedWarning, stacklevel=7)

    def _take_over(self, seat: Place) -> int:
        """Under the guard: the process of the owner that died, 0 if somebody else was first."""
        words, orphan = self._words, self._id + ORPHAN
        want, mark, _ = seat
        pid = int(words[orphan])
        if pid:
            want.value = self._id
            if self._on_owner_death == "raise":
                words[orphan] = 0
                self._post()
            else:
                self._note(mark)
                words[orphan] = 0
            want.value = 0
        return pid

    def _give_up(self) -> None:
        self._let_go(self._slots.seat())

    def _let_go(self, seat: Place) -> None:
        """Make it free, whoever has it."""
        try:
            self._window(seat[0])
            self._holder.value = 0
            self._post()
            seat[0].value = 0
            if self._hint.value:
                self._wake_next(seat[2])
        except BaseException:
            self._mend(seat)
            raise

    @abstractmethod
    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Plain acquire. Raises Deadlock where that would wait for ever, in a circle."""

    def locked(self) -> bool:
        """Whether some thread has it."""
        return not self._semaphore._get_value() and not self._words[self._id + ORPHAN]

    def _is_owned(self) -> bool:
        mark = self._slots.seat()[1]  # first of all: the slot that is taken now may have been a dead owner's
        return bool(self._holder.value == mark)

    def _owner(self) -> str:
        holder = self._holder.value
        return f"owned by process {self._words[PID + holder - 1]}" if holder else "free"

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

    def __enter__(self) -> bool:
        try:
            want, mark, _ = self._here.seat
            want.value = self._id
            if self._try(False):
                self._holder.value = mark
                want.value = 0
                return True
        except BaseException as error:
            self._unseated(error)
        return self._acquire_slowly(True, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            want, mark, seat = self._here.seat
            if self._holder.value == mark:
                want.value = self._id
                if self._gate.value:
                    self._window(want)
                self._holder.value = 0
                self._post()
                want.value = 0
                if self._hint.value:
                    self._wake_next(seat)
                return
        except BaseException as problem:
            self._unseated(problem)
        self._release_foreign(self._slots.seat())

    def release(self) -> None:
        """Make it free; any thread may. Raises RuntimeError if nobody has it."""
        self.__exit__(None, None, None)

    def _release_foreign(self, seat: Place) -> None:
        if not self._region.guarded(self._disown, seat[0]):
            raise RuntimeError("release unlocked lock")
        if self._hint.value:
            self._wake_next(seat[2])

    def _disown(self, want: Cell) -> bool:
        """Under the guard. Whoever dies in here leaves the permit for those who count."""
        words, orphan = self._words, self._id + ORPHAN
        if not self._holder.value and not words[orphan]:
            return False
        want.value = self._id
        words[self._id + FOREIGN] = 1
        self._holder.value = 0
        words[orphan] = 0
        self._post()
        want.value = 0
        return True

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
        deadline = deadline_of(blocking, timeout)
        if self._is_owned():
            self._depth.value += 1
            return True
        return self._acquire_slowly(blocking, deadline)

    def __enter__(self) -> bool:
        try:
            want, mark, _ = self._here.seat
            if self._holder.value == mark:
                self._depth.value += 1
                return True
            want.value = self._id
            if self._try(False):
                self._depth.value = 1
                self._holder.value = mark
                want.value = 0
                return True
        except BaseException as error:
            self._unseated(error)
        return self._acquire_slowly(True, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            want, mark, seat = self._here.seat
            if self._holder.value == mark:
                depth = self._depth.value
                if depth > 1:
                    self._depth.value = depth - 1
                    return
                want.value = self._id
                if self._gate.value:
                    self._window(want)
                self._holder.value = 0
                self._post()
                want.value = 0
                if self._hint.value:
                    self._wake_next(seat)
                return
        except BaseException as problem:
            self._unseated(problem)
        raise RuntimeError("cannot release un-acquired lock")

    def _release(self) -> None:
        self.__exit__(None, None, None)

    @property
    def _identity(self) -> object:
        return self._region.ticket, self._id

    def _recursion_count(self) -> int:
        return int(self._depth.value) if self._is_owned() else 0

    def _release_save(self) -> int:
        depth = self._recursion_count()
        if not depth:
            raise RuntimeError("cannot release un-acquired lock")
        self._let_go(self._slots.seat())
        return depth

    def _acquire_restore(self, depth: int) -> None:
        self._acquire()
        self._depth.value = depth


class QuietLock(SharedLock):
    """For the inside of other primitives, which know by themselves what to do after a death."""

    def _tell_of(self, pid: int) -> None:
        """Nobody needs to know."""
