"""What this process holds, and the processes below it."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil

__all__ = ["Resources"]

M_ARENA_MAX = -8  # of glibc's malloc.h
PATIENCE = 10.0  # seconds that things have to be given back
RSS_BOUND = 64.0  # MB that the resident set may have grown by: fragments that the allocator can't give back


@dataclass(frozen=True)
class Resources:
    """descriptors and memory_files: of this process and all below it. memory: the resident set, in MB."""

    descriptors: int
    memory_files: int
    named_shared_memory: int
    threads: int
    processes: int
    memory: float

    @staticmethod
    def keep_memory_honest() -> None:
        """Have all threads allocate from one arena, now: glibc gives the ends of others never back."""
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)

    @classmethod
    def now(cls) -> Resources:
        """A snapshot."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator merely keeps is no leak
        below = psutil.Process().children(recursive=True)
        targets = [
            target for pid in ("self", *(child.pid for child in below)) for target in links(f"/proc/{pid}/fd")
        ]
        return cls(
            descriptors=len(targets),
            memory_files=sum("memfd:" in target for target in targets),
            named_shared_memory=len([*Path("/dev/shm").iterdir()]),  # noqa: S108  (it is looked at, not written to)
            threads=threading.active_count(),
            processes=len(below),
            memory=round(psutil.Process().memory_info().rss / 1e6, 1),
        )

    @classmethod
    def settled(cls, before: Resources) -> Resources:
        """As soon as they are back at what they were; else as they are when patience ends."""
        deadline = time.monotonic() + PATIENCE
        while (now := cls.now()).exceed(before) and time.monotonic() < deadline:
            time.sleep(0.05)
        return now

    def exceed(self, before: Resources) -> list[str]:
        """What there is more of than before."""
        return [
            f"{field.name}: {now:g} after, {then:g} before"
            for field, now, then in zip(fields(self), astuple(self), astuple(before), strict=True)
            if now > then + (RSS_BOUND if field.name == "memory" else 0)
        ]


def links(folder: str) -> list[str]:
    """What the descriptors of a process stand for, but for the one that reads them."""
    found = []
    try:
        for link in Path(folder).iterdir():
            try:
                found.append(str(link.readlink()))
            except FileNotFoundError:
                continue
    except (FileNotFoundError, PermissionError):
        return []
    return found
