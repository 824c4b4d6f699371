"""Which process writes to a journal, told apart from later ones that get the same number."""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["birth", "host", "is_alive", "this"]


def host() -> str:
    """The name of this machine."""
    return socket.gethostname()


def birth(pid: int) -> str | None:
    """When the process began, in a form of this machine's; None where it is gone.

    On Linux in ticks since the machine was started, which, unlike a time of day, does not change with the clock.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _birth_elsewhere(pid)
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else f"{boot}:{fields[19]}"


def _birth_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.1f}"
    except psutil.Error:
        return None


def is_alive(pid: int, born: str, on: str) -> bool:
    """Whether that process still runs. Of other machines nothing can be seen: theirs counts as gone."""
    return on == host() and birth(pid) == born


def this() -> tuple[int, str, str]:
    """This process, as ``is_alive`` takes it."""
    pid = os.getpid()
    return pid, birth(pid) or "", host()
