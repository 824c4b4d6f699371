"""How many CPUs this process may really use, and how many workers that makes.

A machine's count is often not a process's: its affinity may leave some CPUs out (``taskset``, batch
systems), and a container's CPU quota limits the time on them (Linux cgroups, version 1 and 2). The reading of
kernel files is apart from their parsing, which is pure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from math import ceil
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from okazja.errors import BadInput

__all__ = [
    "CpuController",
    "cpu_controllers",
    "cpu_count",
    "default_workers",
    "limit_share",
    "quota_v1",
    "quota_v2",
    "share_of_cpus",
]

_PROC = Path("/proc/self")

# CPUs that this process has for itself, if it is a worker: its part of what the owner of the executor has.
_share: int | None = None


def cpu_count() -> int:
    """The CPUs that this process may really use: at least 1.

    The smallest of: the machine's CPUs, those that the affinity of this process allows, and the CPU quota of
    its cgroup or any above it, rounded up. Read anew at each call, since all of them can change while the
    process runs. ``PYTHON_CPU_COUNT`` and ``-X cpu_count`` are honoured from CPython 3.13 on.
    """
    cpus = _scheduled_cpus()
    quota = min(_quotas(), default=None)
    return cpus if quota is None else max(1, min(cpus, ceil(quota)))


def default_workers(backend: str) -> int:
    """How many workers an executor gets when nobody says.

    The rule of the standard library: 1 for ``serial``, ``min(32, cpus + 4)`` for ``threads``, as many as CPUs
    for ``processes`` and all others; 100 for ``asyncio``, of which it says nothing.
    In a worker, CPUs are its share, so that nested executors do not crowd
    the machine.
    Whether there is a backend of that name is the caller's to check.
    """
    cpus = _own_cpus()
    match backend:
        case "serial":
            return 1
        case "threads":
            return min(32, cpus + 4)
        case "asyncio":
            return 100  # as many as the connections that HTTP clients keep open by default
        case _:
            return cpus


def share_of_cpus(workers: int) -> int:
    """The CPUs that each of ``workers`` workers of this process has for itself: at least 1."""
    if workers < 1:
        raise BadInput(f"workers must be at least 1, got {workers}")
    return max(1, _own_cpus() // workers)


def limit_share(cpus: int | None) -> None:
    """Say in a worker how many CPUs it has for itself; ``None`` lifts the limit.

    `cpu_count` stays as true as before; only `default_workers` and `share_of_cpus` go by the share.
    """
    global _share
    if cpus is not None and cpus < 1:
        raise BadInput(f"a share of CPUs must be at least 1, got {cpus}: use share_of_cpus() to compute it")
    _share = cpus


def _own_cpus() -> int:
    """The CPUs to plan with: all of them, or in a worker its share."""
    return cpu_count() if _share is None else min(cpu_count(), _share)


def _scheduled_cpus() -> int:
    """By machine and affinity, without quotas."""
    process_cpu_count = getattr(os, "process_cpu_count", None)  # CPython 3.13 and later
    if process_cpu_count is not None:
        return process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        try:
            return len(os.sched_getaffinity(0)) or 1
        except OSError:  # some sandboxes forbid the question
            pass
    return os.cpu_count() or 1


# --- cgroups ------------------------------------------------------------------------------------------


class CpuController(NamedTuple):
    """Where the CPU quota of a process is to be found.

    ``folder`` is its cgroup's, ``mount`` the topmost that can be seen; a quota of any between counts.
    """

    version: int
    mount: PurePosixPath
    folder: PurePosixPath

    def folders(self) -> Iterator[PurePosixPath]:
        """The cgroup's folder and those above it, up to the mount point."""
        yield self.folder
        for parent in self.folder.parents:
            if not parent.is_relative_to(self.mount):
                return
            yield parent


def cpu_controllers(cgroup: str, mountinfo: str) -> list[CpuController]:
    """From the texts of ``/proc/self/cgroup`` and ``/proc/self/mountinfo``.

    A machine in transition has both versions, of which at most one limits the CPU.
    """
    paths = _cgroup_paths(cgroup)
    found = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if not separator or len(left) < 5 or len(right) < 3:
            continue
        kind, options = right[0], right[2].split(",")
        if kind == "cgroup2":
            version = 2
        elif kind == "cgroup" and "cpu" in options:
            version = 1
        else:
            continue
        if version in paths:
            mount = PurePosixPath(_unescaped(left[4]))
            below = _below(paths[version], PurePosixPath(_unescaped(left[3])))
            found.append(CpuController(version, mount, mount / below))
    return found


def _cgroup_paths(cgroup: str) -> dict[int, PurePosixPath]:
    """The paths of the CPU controller inside its hierarchy, by version."""
    paths = {}
    for line in cgroup.splitlines():
        number, _, rest = line.partition(":")
        names, separator, path = rest.partition(":")
        if not separator:
            continue
        if number == "0" and not names:
            paths[2] = PurePosixPath(path)
        elif "cpu" in names.split(","):
            paths[1] = PurePosixPath(path)
    return paths


def _below(path: PurePosixPath, root: PurePosixPath) -> PurePosixPath:
    """``path`` as seen from a mount of ``root``.

    In a container without a cgroup namespace the mount shows the container's own cgroup while the path is
    the host's; and a path with ``..`` lies outside what is mounted. The mount point itself is then the best
    there is.
    """
    if ".." in path.parts or not path.is_relative_to(root):
        return PurePosixPath()
    return path.relative_to(root)


def _unescaped(field: str) -> str:
    """A path in mountinfo has blanks, tabs, line ends and backslashes as octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def quota_v1(quota_us: str, period_us: str) -> float | None:
    """CPUs, from ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us``; ``None`` if unlimited (-1) or unreadable."""
    try:
        quota, period = int(quota_us), int(period_us)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def quota_v2(cpu_max: str) -> float | None:
    """CPUs, from ``cpu.max`` (``max 100000`` or ``150000 100000``); ``None`` if unlimited or unreadable."""
    quota, _, period = cpu_max.strip().partition(" ")
    return quota_v1(quota, period or "100000")


def _quotas() -> Iterator[float]:
    cgroup, mountinfo = _text(_PROC / "cgroup"), _text(_PROC / "mountinfo")
    for controller in cpu_controllers(cgroup, mountinfo):
        for folder in controller.folders():
            quota = _quota_of(controller.version, Path(folder))
            if quota is not None:
                yield quota


def _quota_of(version: int, folder: Path) -> float | None:
    if version == 1:
        return quota_v1(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))
    return quota_v2(_text(folder / "cpu.max"))


def _text(path: Path) -> str:
    """What a kernel file holds; empty where there is none (other systems, the root cgroup) or no access."""
    try:
        return path.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
