"""CPU time of worker processes, the dead ones included."""

from __future__ import annotations

import os
import threading
import time

__all__ = ["ended", "started", "workers_cpu_seconds"]

_lock = threading.Lock()
_living: dict[int, float] = {}  # process id → CPU seconds when last seen
_of_the_dead = 0.0


def started(pid: int) -> None:
    """A worker process was started."""
    with _lock:
        _living[pid] = 0.0


def ended(pid: int, seconds: float | None) -> None:
    """A worker process has ended; ``seconds`` of CPU time, None if nobody could read them."""
    global _of_the_dead
    with _lock:
        seen = _living.pop(pid, 0.0)
        _of_the_dead += seen if seconds is None else seconds


def cpu_seconds(pid: int) -> float | None:
    """CPU time, user and system, of a process that has not been waited for yet, in seconds."""
    try:
        # The CPU clock of another process, as clock_getcpuclockid(3) computes its number.
        return time.clock_gettime((~pid << 3) | 2)
    except (OSError, OverflowError):
        return None


def workers_cpu_seconds() -> float:
    """CPU seconds, user and system, of all worker processes that this process has had so far."""
    with _lock:
        for pid in _living:
            seconds = cpu_seconds(pid)
            if seconds is not None:
                _living[pid] = seconds
        return _of_the_dead + sum(_living.values())


def _after_fork_in_child() -> None:
    global _lock, _of_the_dead
    _lock = threading.Lock()
    _living.clear()
    _of_the_dead = 0.0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
