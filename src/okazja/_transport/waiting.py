"""What a worker wants to be told of by primitives."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["before_wait"]

# Called without arguments by a thread that has waited for a primitive for a while, once for each wait. A worker
# gives back what it has not started, so that nothing that the wait is for can sit behind it.
before_wait: Callable[[], object] | None = None
