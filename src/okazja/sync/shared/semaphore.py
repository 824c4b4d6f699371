"""Semaphore and BoundedSemaphore for processes. What dead processes had of them comes back."""

from __future__ import annotations

from typing import ClassVar, Self

from okazja.sync import faces
from okazja.sync.shared import counter
from okazja.sync.shared.counted import Counted
from okazja.sync.shared.layout import MISSING, PERMITS, SEMAPHORE_KIND, SIGNALS
from okazja.sync.shared.region import Region
from okazja.sync.shared.shares import Share

__all__ = ["SharedBoundedSemaphore", "SharedSemaphore"]


class SharedSemaphore(Counted, faces.Semaphore):
    """`threading.Semaphore` for the threads of all processes of an executor.

    The permits of a process that ends come back. Not so those of a semaphore that counts events rather than permits:
    one that began at 0, or was released by some thread when nobody had a permit. Of such a one, an event is used up by
    who dies, or is interrupted, in the instant in which it gets it.
    """

    kind = SEMAPHORE_KIND
    bounded: ClassVar[bool] = False  # there are never more permits than at first

    def __init__(self, region: Region, place: int) -> None:
        super().__init__(region, place, region.words[place + PERMITS] if self.bounded else counter.MOST)

    @classmethod
    def create(cls, region: Region, value: int = 1) -> Self:
        """A new one with so many permits. Raises ValueError for a negative number."""
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        signals = int(value == 0 and not cls.bounded)
        return cls(region, cls._place(region, value, PERMITS=value, SIGNALS=signals))

    def release(self, n: int = 1) -> None:
        """Give n permits back; those that this thread does not have are given back for another, or are new ones."""
        if n < 1:
            raise ValueError("n must be one or more")
        if n > 1:
            self._region.guarded(self._check, n)
        for _ in range(n):
            self.__exit__(None, None, None)

    def _release_slowly(self) -> None:
        if self._words[self._id + SIGNALS]:
            self._post()
            if self._hint.value:
                self._wake_next(self._share().seat)
        else:
            super()._release_slowly()

    def _give_back(self, share: Share) -> None:
        self._check(1)
        share.settle()
        if share.has > 0:
            self._post_own(share)
        else:
            self._post_for_others(share)

    def _attribute(self, share: Share) -> bool:
        known = super()._attribute(share)
        if not known and not self._words[self._id + MISSING]:
            self._words[self._id + SIGNALS] = 1
        return known

    def _check(self, n: int) -> None:
        """Under the guard: raise where so many can't be given back."""

    def __repr__(self) -> str:
        return self._describe(f"{self._semaphore._get_value()} left")


class SharedBoundedSemaphore(SharedSemaphore, faces.BoundedSemaphore):
    """`threading.BoundedSemaphore` for the threads of all processes of an executor."""

    bounded = True

    def _check(self, n: int) -> None:
        if self._semaphore._get_value() + n > self._words[self._id + PERMITS]:
            raise ValueError("Semaphore released too many times")
