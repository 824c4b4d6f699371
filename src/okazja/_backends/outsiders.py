"""Whether anything but the threads that are known could act: as Linux shows it, and where in doubt, yes.

In doubt is: a process or a thread that nobody knows, also one that a library has started; a signal handler, which may
do anything when its signal comes. Not seen are processes that neither are descendants nor have used a primitive yet.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection, Mapping

from okazja.sync.bystanders import has_handlers

__all__ = ["has_outsiders", "stdlib_helpers"]

_C_LIBRARY = 0b11 << 31  # signals 32 and 33, which it uses itself
_CTRL_C = 1 << signal.SIGINT - 1


def has_outsiders(threads: Mapping[int, int], helpers: Collection[int], own_signal: int) -> bool:
    """Whether there are others.

    threads: how many there ought to be, by process: this one and the workers. helpers: processes that run no code of
    the user's, which may have children among those. own_signal: the one that workers have a handler for.
    """
    try:
        return (
            has_handlers()
            or any(_others(pid, number, {*threads, *helpers}, own_signal) for pid, number in threads.items())
            or any(not _children(pid) <= {*threads, *helpers} for pid in helpers)
        )
    except (OSError, ValueError, IndexError):
        return True  # something has ended, or the system does not tell


def _others(pid: int, threads: int, known: set[int], own_signal: int) -> bool:
    if len(os.listdir(f"/proc/{pid}/task")) != threads or not _children(pid) <= known:  # noqa: PTH208
        return True
    return pid != os.getpid() and bool(_caught(pid) & ~(_C_LIBRARY | _CTRL_C | 1 << own_signal - 1))


def _children(pid: int) -> set[int]:
    """Of all its threads. Raises OSError where the system does not tell."""
    found: set[int] = set()
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            found.update(map(int, file.read().split()))
    return found


def _caught(pid: int) -> int:
    """The signals that a process has handlers for, as bits."""
    with open(f"/proc/{pid}/status") as file:
        return int(next(line for line in file if line.startswith("SigCgt:")).split()[1], 16)


def stdlib_helpers() -> set[int]:
    """Processes that multiprocessing has started for itself in this one."""
    found = set()
    for module, holder, name in (
        ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
        ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ):
        pid = getattr(getattr(sys.modules.get(module), holder, None), name, None)
        if pid:
            found.add(pid)
    return found
