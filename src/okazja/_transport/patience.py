"""Waiting awake for a moment before going to sleep.

Waking up a sleeping thread takes tens of µs, more than a short call and its way there and back. So whoever
waits looks again and again for a moment first. Where that is in vain a few times in a row, it is not tried
for a while: waiting for long calls, or for nothing, costs next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter

__all__ = ["Patience"]

AWAKE = 150e-6  # seconds to stay awake, at most
FAILURES = 3  # moments awake in vain, in a row, after which it is given up for a while
REST = 64  # waits until it is tried again


class Patience:
    """One waiter's. Not thread-safe."""

    __slots__ = ("_failures", "_resting")

    def __init__(self) -> None:
        self._failures = 0  # moments awake in vain, in a row
        self._resting = 0  # waits in which it is not tried

    def awake(self, look: Callable[[int], object]) -> bool:
        """Whether ``look(0)``, called for a moment, returned something true: what is waited for is there."""
        if self._resting:
            self._resting -= 1
            return False
        end = perf_counter() + AWAKE
        while True:
            os.sched_yield()
            if look(0):
                self._failures = 0
                return True
            if perf_counter() > end:
                break
        self._failures += 1
        if self._failures == FAILURES:
            self._failures, self._resting = 0, REST
        return False
