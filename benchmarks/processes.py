"""What the kernel knows of this process and those below it: memory, CPU time; and the end of what was left behind."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ["adopt_orphans", "clocks", "cpu_seconds", "end_descendants", "memory_below", "peak_memory"]

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 5.0  # seconds that a killed process has to be gone


def peak_memory() -> float:
    """Megabytes of this process. Not getrusage's figure, which a process inherits from the one that started it."""
    return kibibytes(Path("/proc/self/status"), "VmHWM:") * 1024 / 1e6


def memory_below() -> float:
    """Megabytes: the proportional set sizes of all descendants, in which shared pages are divided among their users."""
    return sum(kibibytes(proc / "smaps_rollup", "Pss:") for proc in descendants()) * 1024 / 1e6


def clocks() -> list[Path]:
    """Where the kernel counts the CPU time of the threads of all descendants, then of this process."""
    return [clock for proc in (*descendants(), Path("/proc/self")) for clock in proc.glob("task/*/schedstat")]


def cpu_seconds(clock: Path) -> float:
    """What a clock shows, to the nanosecond."""
    return int(clock.read_text("ascii").split()[0]) / 1e9


def descendants() -> Iterator[Path]:
    return (Path(f"/proc/{child.pid}") for child in psutil.Process().children(recursive=True))


def kibibytes(file: Path, field: str) -> int:
    return next(
        int(line.split()[1]) for line in file.read_text("ascii").splitlines() if line.startswith(field)
    )


def adopt_orphans() -> None:
    """From now on a descendant whose parent ends becomes this process's child, so that none can get away."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> int:
    """Kill all that still run below this process, whoever started it; how many there were."""
    count = 0
    while left := psutil.Process().children(recursive=True):
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        gone, alive = psutil.wait_procs(left, timeout=PATIENCE)
        count += len(gone)
        if alive:
            raise RuntimeError(f"processes that can't be killed: {[process.pid for process in alive]}")
    return count
