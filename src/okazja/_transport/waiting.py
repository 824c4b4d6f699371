"""Threads that wait: what a worker wants to be told of them, and what others have to know to find a standstill."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["before_wait", "for_calls", "still_waits"]

# Called without arguments by a thread that has waited for a primitive for a while, once for each wait. A worker
# gives back what it has not started, so that nothing that the wait is for can sit behind it.
before_wait: Callable[[], object] | None = None

# The same, about once a second, by a thread that has waited for long and would wait for ever.
still_waits: Callable[[], object] | None = None

# By thread, what it waits for of an executor's: a future, a map, the end. None: for a limited time. Each thread writes
# its own entry, where it waits; an interrupt may leave one behind, so whoever reads it looks at the thread as well.
for_calls: dict[int, object] = {}
