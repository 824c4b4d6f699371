"""Semaphore and BoundedSemaphore for processes. What dead processes had of them comes back."""

from __future__ import annotations

from types import TracebackType
from typing import ClassVar, Self

from okazja.sync import faces
from okazja.sync.shared import counter
from okazja.sync.shared.counted import Counted, deadline_of
from okazja.sync.shared.layout import GIVEN, HIGH, PERMITS, SEMAPHORE_KIND, SIGNALS, SLOTS, TAKEN, WORD
from okazja.sync.shared.recovery import held
from okazja.sync.shared.region import Region
from okazja.sync.shared.slots import Place

__all__ = ["SharedBoundedSemaphore", "SharedSemaphore"]


class SharedSemaphore(Counted, faces.Semaphore):
    """`threading.Semaphore` for the threads of all processes of an executor.

    The permits of a process that ends come back. Not so those of a semaphore that counts events rather than permits:
    one that began at 0, or was released by some thread when nobody had a permit.
    """

    kind = SEMAPHORE_KIND
    bounded: ClassVar[bool] = False  # there are never more permits than at first

    def __init__(self, region: Region, place: int) -> None:
        words = region.words
        super().__init__(region, place, words[place + PERMITS] if self.bounded else counter.MOST)
        self._taken, self._given = words[place + TAKEN] - 1, words[place + GIVEN] - 1  # to be indexed by mark

    @classmethod
    def create(cls, region: Region, value: int = 1) -> Self:
        """A new one with so many permits. Raises ValueError for a negative number."""
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        taken, given = (region.allocate(SLOTS * WORD) // WORD for _ in range(2))
        signals = int(value == 0 and not cls.bounded)
        return cls(
            region, cls._place(region, value, PERMITS=value, SIGNALS=signals, TAKEN=taken, GIVEN=given)
        )

    def _note(self, mark: int) -> None:
        self._words[self._taken + mark] += 1

    def _held(self, mark: int) -> int:
        return int(self._words[self._taken + mark] - self._words[self._given + mark])

    def _give_up(self) -> None:
        self.release()

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking and timeout == -1:
            return self.__enter__()
        return self._acquire_slowly(blocking, deadline_of(blocking, timeout))

    def __enter__(self) -> bool:
        try:
            want, mark, _ = self._here.seat
            want.value = self._id
            if self._try(False):
                self._words[self._taken + mark] += 1
                want.value = 0
                return True
        except BaseException as error:
            self._unseated(error)
        return self._acquire_slowly(True, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            words, (want, mark, seat) = self._words, self._here.seat
            taken = words[self._taken + mark]
            if taken > words[self._given + mark]:
                want.value = self._id
                if self._gate.value:
                    self._window(want)
                words[self._taken + mark] = taken - 1
                self._post()
                want.value = 0
                if self._hint.value:
                    self._wake_next(seat)
                return
        except BaseException as problem:
            self._unseated(problem)
        self._release_many(self._slots.seat(), 1)

    def release(self, n: int = 1) -> None:
        """Give n permits back; those that this thread does not have are given back for another, or are new ones."""
        if n < 1:
            raise ValueError("n must be one or more")
        if n == 1:
            self.__exit__(None, None, None)
        else:
            self._release_many(self._slots.seat(), n)

    def _release_many(self, seat: Place, n: int) -> None:
        if self._words[self._id + SIGNALS]:
            for _ in range(n):
                self._post()
        else:
            self._region.guarded(self._give, seat, n)
        for _ in range(n):
            if self._hint.value:
                self._wake_next(seat[2])

    def _give(self, seat: Place, n: int) -> None:
        """Under the guard: give back first what this thread has, then what others have; the rest is new."""
        words, (want, mark, _) = self._words, seat
        self._check(held(self._slots, self._id), n)
        want.value = self._id
        own = max(0, self._held(mark))
        for step in range(n):
            if step < own:
                words[self._taken + mark] -= 1
            elif (slot := self._somebody_with_one()) is not None:
                words[self._given + slot + 1] += 1
            else:
                words[self._id + SIGNALS] = 1
            self._post()
        want.value = 0

    def _check(self, taken: int, n: int) -> None:
        """Raise where so many can't be given back."""

    def _somebody_with_one(self) -> int | None:
        for slot in range(self._words[HIGH]):
            if self._held(slot + 1) > 0:
                return slot
        return None

    def __repr__(self) -> str:
        return self._describe(f"{self._semaphore._get_value()} left")


class SharedBoundedSemaphore(SharedSemaphore, faces.BoundedSemaphore):
    """`threading.BoundedSemaphore` for the threads of all processes of an executor."""

    bounded = True

    def _check(self, taken: int, n: int) -> None:
        if taken < n:
            raise ValueError("Semaphore released too many times")
