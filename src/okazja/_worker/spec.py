"""What a worker process is told before its first call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["WorkerSpec"]


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One executor's workers are all alike but for their slot."""

    executor: str  # name of the executor
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
    cpus: int  # this worker's share, the default for executors of its own
    authkey: bytes | None  # of multiprocessing, so that its connections to the parent work
    argv: tuple[str, ...]
    memory_limit: int | None = None  # bytes
    inner_max_num_threads: int | Literal["auto"] | None = None  # "auto": as many as `cpus`
