"""POSIX semaphores at any address, and the barrier that has every thread's writes seen.

`_multiprocessing.SemLock`, rebuilt without a name, takes an address for its handle: then ``acquire(False)`` is one call
into C of some 40 ns, where ctypes takes ten times as long, and waiting runs signal handlers.
"""

from __future__ import annotations

import ctypes
import platform
import time
from _multiprocessing import SemLock  # type: ignore[import-not-found]  # typeshed doesn't know it
from typing import Any

__all__ = ["MOST", "attach", "initialise", "register", "settle", "settle_soon"]

MOST = SemLock.SEM_VALUE_MAX
COUNTING = 1  # kind of a SemLock: as opposed to one that knows of an owner

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sem_init.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]

_MEMBARRIER = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}
_GLOBAL = 1  # MEMBARRIER_CMD_GLOBAL
_EXPEDITED = 2  # MEMBARRIER_CMD_GLOBAL_EXPEDITED: only for processes that have registered
_REGISTER = 4  # MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED
_DRAINED = 0.005  # seconds after which no processor still has a write to itself; far too many


def initialise(address: int, value: int) -> None:
    """Make a semaphore for all processes that map its memory. Nobody may use it yet."""
    if _libc.sem_init(address, 1, value):
        number = ctypes.get_errno()
        raise OSError(number, f"can't make a semaphore of {value}")


def attach(address: int, most: int = MOST) -> Any:
    """The semaphore at an address. ``release`` raises ValueError beyond ``most``."""
    return SemLock._rebuild(address, COUNTING, most, None)


def settle() -> None:
    """On return, all that running threads anywhere had written before the call can be seen by the caller.

    And what they read after it is not older than what the caller had written before the call.
    """
    number = _MEMBARRIER.get(platform.machine())
    if number is None or _libc.syscall(number, _GLOBAL, 0, 0) != 0:
        time.sleep(_DRAINED)


def register() -> bool:
    """Let `settle_soon` count for this process; False where that can't be had."""
    number = _MEMBARRIER.get(platform.machine())
    return number is not None and _libc.syscall(number, _REGISTER, 0, 0) == 0


def settle_soon() -> None:
    """As `settle`, for processes that have registered; takes microseconds, where that takes milliseconds."""
    number = _MEMBARRIER.get(platform.machine())
    if number is None or _libc.syscall(number, _EXPEDITED, 0, 0) != 0:
        settle()
