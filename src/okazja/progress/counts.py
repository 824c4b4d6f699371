"""How far a map or a stream is: counts from many threads, and what follows from them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Counter", "Progress"]

RECENT = 30.0  # seconds that the rate looks back, if so many items as FEW came in them
FEW = 10
SPACING = 1.0  # seconds between two samples of the past, at least
MOST_SAMPLES = 128


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a map or a stream is. All counts are of items.

    total: of the input; None where nobody knows. done: that have their final outcome; the next three are about the
    same items: failed: that have an error; known: whose outcome came from the journal of an earlier run. retried:
    further attempts at items that had failed. seconds: since the start of this run. rate: items a second, of this run
    only, lately, or at the end over all of it; None where nothing is done yet. seconds_left: at that rate; None where
    nobody knows. ended: nothing more will come, also after a break or an error; told once.
    """

    total: int | None
    done: int
    failed: int
    retried: int
    known: int
    seconds: float
    rate: float | None
    seconds_left: float | None
    ended: bool

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """What changes with news, and not just with time."""
        return self.done, self.failed, self.retried, self.known


class Counter:
    """Adds up news from any number of threads; one thread at a time looks at the sum."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock  # seconds
        self._start = clock()
        # Re-entrant: a finalizer that breaks in may bring news too.
        self._lock = threading.RLock()
        self._total: int | None = None
        self._settled = self._failed = self._retried = self._known = 0
        self._samples: list[tuple[float, int]] = [(0.0, 0)]  # seconds, items of this run; oldest first

    def begin(self, total: int | None) -> None:
        """The clock runs from here."""
        self._total = total
        self._start = self._clock()

    def settled(self, done: int, failed: int) -> None:
        """So many items have a value, so many an error, from this run."""
        with self._lock:
            self._settled += done + failed
            if failed:
                self._failed += failed

    def retried(self, items: int) -> None:
        """So many items failed and will run again."""
        with self._lock:
            self._retried += items

    def known(self, done: int, failed: int) -> None:
        """So many items have a value, so many an error, from a journal."""
        with self._lock:
            self._known += done + failed
            self._failed += failed

    def after_fork(self) -> None:
        """Some thread of the parent may have held the lock."""
        self._lock = threading.RLock()

    def look(self, ended: bool = False) -> Progress:
        """How far it is now."""
        with self._lock:
            settled, failed, retried, known = self._settled, self._failed, self._retried, self._known
        seconds = max(self._clock() - self._start, 0.0)
        done = settled + known
        # A length is a hint: one that proved too small says nothing.
        total = self._total if self._total is not None and done <= self._total else None
        rate = self._rate(seconds, settled, ended)
        left = None
        if total is not None and done == total:
            left = 0.0
        elif total is not None and rate:
            left = (total - done) / rate
        return Progress(total, done, failed, retried, known, seconds, rate, left, ended)

    def _rate(self, seconds: float, settled: int, ended: bool) -> float | None:
        then, items = (0.0, 0) if ended else self._past(seconds, settled)
        if settled == items or seconds <= then:
            return None
        return (settled - items) / (seconds - then)

    def _past(self, seconds: float, settled: int) -> tuple[float, int]:
        """The latest moment that is far enough back to tell the rate by."""
        samples = self._samples
        while len(samples) > 1 and seconds - samples[1][0] >= RECENT and settled - samples[1][1] >= FEW:
            del samples[0]
        if seconds - samples[-1][0] >= SPACING:
            samples.append((seconds, settled))
            if len(samples) > MOST_SAMPLES:
                del samples[1::2]
        return samples[0]
