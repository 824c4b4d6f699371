"""Lock and RLock for processes. They pass on when their owner dies."""

from __future__ import annotations

import warnings
from typing import Any, Self

from okazja.errors import BadInput, Deadlock, ExecutorShutdown, OwnerDied, OwnerDiedWarning
from okazja.sync import faces
from okazja.sync.faces import OnOwnerDeath
from okazja.sync.shared.counted import Counted, deadline_of
from okazja.sync.shared.layout import (
    DEPTH,
    FOREIGN,
    GATE,
    HOLDER,
    LOCK_KIND,
    ORPHAN,
    PID,
    RLOCK_KIND,
)
from okazja.sync.shared.region import Region
from okazja.sync.shared.slots import Seat

__all__ = ["QuietLock", "SharedLock", "SharedRLock"]


class _Owned(Counted):
    """One permit, and whose it is."""

    def __init__(self, region: Region, place: int, on_owner_death: OnOwnerDeath = "warn") -> None:
        super().__init__(region, place, 1)
        self._on_owner_death = on_owner_death
        self._holder = place + HOLDER
        self._depth = place + DEPTH

    @classmethod
    def create(cls, region: Region, *, on_owner_death: OnOwnerDeath = "warn") -> Self:
        """A new one, free. on_owner_death: see `okazja.OwnerDied`."""
        if on_owner_death not in {"warn", "raise"}:
            raise BadInput(f"on_owner_death must be 'warn' or 'raise', got {on_owner_death!r}")
        return cls(region, cls._place(region, 1), on_owner_death)

    def _options(self) -> tuple[Any, ...]:
        return (self._on_owner_death,)

    def _note(self, mark: int) -> None:
        self._words[self._depth] = 1
        self._words[self._holder] = mark

    def _held(self, mark: int) -> int:
        return int(self._words[self._holder] == mark)

    def _inherit(self, mark: int) -> bool:
        pid = self._region.guarded(self._take_over, self._here.seat)
        if pid:
            try:
                self._tell_of(pid)
            except BaseException:
                if self._held(mark):
                    self._let_go(self._here.seat)
                raise
        return pid != 0

    def _tell_of(self, pid: int) -> None:
        """Tell the new owner that the last one has died."""
        message = f"process {pid} died while it had this lock: what the lock protects may be half changed"
        if self._on_owner_death == "raise":
            raise OwnerDied(message, pid)
        warnings.warn(message, OwnerDiedWarning, stacklevel=7)

    def _take_over(self, seat: tuple[int, int, Seat]) -> int:
        """Under the guard: the process of the owner that died, 0 if somebody else was first."""
        words, orphan = self._words, self._id + ORPHAN
        want, mark, _ = seat
        pid = int(words[orphan])
        if pid:
            words[want] = self._id
            if self._on_owner_death == "raise":
                words[orphan] = 0
                self._post()
            else:
                self._note(mark)
                words[orphan] = 0
            words[want] = 0
        return pid

    def _give_up(self) -> None:
        self._let_go(self._here.seat)

    def _let_go(self, seat: tuple[int, int, Seat]) -> None:
        """Make it free, whoever has it."""
        words = self._words
        try:
            self._window(seat)
            words[self._holder] = 0
            self._post()
            words[seat[0]] = 0
            if words[self._hint]:
                self._wake_next(seat[2])
        except BaseException:
            self._mend(seat)
            raise

    def _retake(self) -> None:
        """Acquire it, whatever breaks in; that is raised when this is done."""
        broke_in: BaseException | None = None
        while True:
            try:
                self._acquire()
                break
            except (ExecutorShutdown, Deadlock):
                raise
            except BaseException as error:  # an interrupt; or OwnerDied, and the caller has to have the lock
                broke_in = error
        if broke_in is not None:
            raise broke_in

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Plain acquire. Raises Deadlock where that would wait for ever, in a circle."""
        raise NotImplementedError

    def locked(self) -> bool:
        """Whether some thread has it."""
        return not self._semaphore._get_value() and not self._words[self._id + ORPHAN]

    def _is_owned(self) -> bool:
        return bool(self._words[self._holder] == self._here.seat[1])

    def _owner(self) -> str:
        holder = self._words[self._holder]
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
        deadline = None if timeout == -1 else deadline_of(blocking, timeout)
        return self.__enter__(blocking, deadline)

    def __enter__(self, blocking: bool = True, deadline: float | None = None) -> bool:
        words = self._words
        seat = self._here.seat
        want, mark, _ = seat
        try:
            words[want] = self._id
            if self._try(False):
                words[self._holder] = mark
                words[want] = 0
                return True
        except BaseException:
            self._mend(seat)
            raise
        return self._acquire_slowly(blocking, deadline)

    def release(self) -> None:
        """Make it free; any thread may. Raises RuntimeError if nobody has it."""
        words = self._words
        seat = self._here.seat
        want, mark, _ = seat
        if words[self._holder] != mark:
            self._release_foreign(seat)
            return
        try:
            words[want] = self._id
            if words[GATE]:
                self._window(seat)
            words[self._holder] = 0
            self._post()
            words[want] = 0
            if words[self._hint]:
                self._wake_next(seat[2])
        except BaseException:
            self._mend(seat)
            raise

    def _release_foreign(self, seat: tuple[int, int, Seat]) -> None:
        if not self._region.guarded(self._disown, seat[0]):
            raise RuntimeError("release unlocked lock")
        if self._words[self._hint]:
            self._wake_next(seat[2])

    def _disown(self, want: int) -> bool:
        """Under the guard. Whoever dies in here leaves the permit for those who count."""
        words, orphan = self._words, self._id + ORPHAN
        if not words[self._holder] and not words[orphan]:
            return False
        words[want] = self._id
        words[self._id + FOREIGN] = 1
        words[self._holder] = 0
        words[orphan] = 0
        self._post()
        words[want] = 0
        return True

    # What a Condition needs of it.

    def _release_save(self) -> int:
        self.release()
        return 1

    def _acquire_restore(self, depth: int) -> None:
        self._retake()


class SharedRLock(_Owned, faces.RLock):
    """`threading.RLock` for the threads of all processes of an executor. When its owner dies: as `SharedLock`."""

    kind = RLOCK_KIND

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        deadline = None if timeout == -1 else deadline_of(blocking, timeout)
        return self.__enter__(blocking, deadline)

    def __enter__(self, blocking: bool = True, deadline: float | None = None) -> bool:
        words = self._words
        seat = self._here.seat
        want, mark, _ = seat
        if words[self._holder] == mark:
            words[self._depth] += 1
            return True
        try:
            words[want] = self._id
            if self._try(False):
                words[self._depth] = 1
                words[self._holder] = mark
                words[want] = 0
                return True
        except BaseException:
            self._mend(seat)
            raise
        return self._acquire_slowly(blocking, deadline)

    @property
    def _identity(self) -> object:
        return self._region.ticket, self._id

    def _release(self) -> None:
        words = self._words
        seat = self._here.seat
        if words[self._holder] != seat[1]:
            raise RuntimeError("cannot release un-acquired lock")
        depth = words[self._depth]
        if depth > 1:
            words[self._depth] = depth - 1
            return
        self._let_go(seat)

    def _recursion_count(self) -> int:
        return int(self._words[self._depth]) if self._is_owned() else 0

    def _release_save(self) -> int:
        depth = self._recursion_count()
        if not depth:
            raise RuntimeError("cannot release un-acquired lock")
        self._let_go(self._here.seat)
        return depth

    def _acquire_restore(self, depth: int) -> None:
        try:
            self._retake()
        finally:
            self._words[self._depth] = depth


class QuietLock(SharedLock):
    """For the inside of other primitives, which know by themselves what to do after a death."""

    def _tell_of(self, pid: int) -> None:
        """Nobody needs to know."""
