"""The CPUs to plan with. Workers need the same answers, so the code is theirs; backends look here."""

from __future__ import annotations

from okazja._worker.cpus import cpu_count, default_workers, limit_share, share_of_cpus

__all__ = ["cpu_count", "default_workers", "limit_share", "share_of_cpus"]
