"""Semaphore and BoundedSemaphore for processes. What dead processes had of them comes back."""

from __future__ import annotations

from typing import ClassVar, Self

from okazja.sync import faces
from okazja.sync.shared import counter
from okazja.sync.shared.counted import Counted, deadline_of
from okazja.sync.shared.layout import GATE, GIVEN, HIGH, PERMITS, SEMAPHORE_KIND, SIGNALS, SLOTS, TAKEN, WORD
from okazja.sync.shared.recovery import held
from okazja.sync.shared.region import Region
from okazja.sync.shared.slots import Seat

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
        self._taken, self._given = words[place + TAKEN], words[place + GIVEN]

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
        self._words[self._taken + mark - 1] += 1

    def _held(self, mark: int) -> int:
        return int(self._words[self._taken + mark - 1] - self._words[self._given + mark - 1])

    def _give_up(self) -> None:
        self.release()

    def _acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        deadline = None if timeout == -1 else deadline_of(blocking, timeout)
        return self.__enter__(blocking, deadline)

    def __enter__(self, blocking: bool = True, deadline: float | None = None) -> bool:
        words = self._words
        want, mark, _ = self._here.seat
        try:
            words[want] = self._id
            if self._try(False):
                words[self._taken + mark - 1] += 1
                words[want] = 0
                return True
        except BaseException:
            self._mend(self._here.seat)
            raise
        return self._acquire_slowly(blocking, deadline)

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self, n: int = 1) -> None:
        """Give n permits back; those that this thread does not have are given back for another, or are new ones."""
        if n < 1:
            raise ValueError("n must be one or more")
        seat = self._here.seat
        if self._held(seat[1]) >= n:
            for _ in range(n):
                self._release_own(seat)
        else:
            self._release_many(seat, n)

    def _release_own(self, seat: tuple[int, int, Seat]) -> None:
        words = self._words
        want, mark, sleeper = seat
        try:
            words[want] = self._id
            if words[GATE]:
                self._window(seat)
            words[self._taken + mark - 1] -= 1
            self._post()
            words[want] = 0
            if words[self._hint]:
                self._wake_next(sleeper)
        except BaseException:
            self._mend(seat)
            raise

    def _release_many(self, seat: tuple[int, int, Seat], n: int) -> None:
        if self._words[self._id + SIGNALS]:
            for _ in range(n):
                self._post()
        else:
            self._region.guarded(self._give, seat, n)
        for _ in range(n):
            if self._words[self._hint]:
                self._wake_next(seat[2])

    def _give(self, seat: tuple[int, int, Seat], n: int) -> None:
        """Under the guard: give back first what this thread has, then what others have; the rest is new."""
        words, (want, mark, _) = self._words, seat
        self._check(held(self._slots, self._id), n)
        words[want] = self._id
        own = max(0, self._held(mark))
        for step in range(n):
            if step < own:
                words[self._taken + mark - 1] -= 1
            elif (slot := self._somebody_with_one()) is not None:
                words[self._given + slot] += 1
            else:
                words[self._id + SIGNALS] = 1
            self._post()
        words[want] = 0

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
