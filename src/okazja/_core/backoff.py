"""How long an item that failed waits before it runs again."""

from __future__ import annotations

__all__ = ["LONGEST", "pause"]

LONGEST = 60.0  # seconds
JITTER = 0.25  # of the pause, at most: items that failed together do not all come back together


def pause(backoff: float, failures: int, chance: float) -> float:
    """Seconds to wait after so many failures (1, 2, ...) of an item: doubled for each one after the first.

    backoff: seconds before the first further attempt. chance: from 0 to 1, at random.
    """
    doubled = backoff * 2.0 ** min(failures - 1, 64)
    return min(doubled * (1.0 + JITTER * chance), LONGEST)
