"""How many items of a map to send at once.

A chunk is long enough that the cost of sending it vanishes and short enough that one worker isn't
left with it when the others are done: guided self-scheduling (Polychronopoulos and Kuck, 1987),
bounded by time.
"""

from __future__ import annotations

__all__ = ["CHUNK_SECONDS", "MOST_ITEMS", "Pace", "chunk_size"]

CHUNK_SECONDS = 0.004  # a chunk's overhead of some tens of µs is about 1 % of this
FLOOR_SECONDS = 0.00025  # towards the end of an input chunks get shorter, but not than this: it would cost more
GROWTH = 8  # a chunk has at most that many times the items of the one before: one quick item proves nothing
MOST_ITEMS = 8192  # keeps a chunk of tiny items, and the memory it takes, small


class Pace:
    """A recent average of the seconds that an item takes, learned chunk by chunk.

    Unlike ``Timing`` it follows the trend both ways: the items of one map often grow steadily.
    """

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0  # 0: nothing measured yet

    def measured(self, seconds: float, items: int) -> None:
        """Learn that ``items`` items took ``seconds`` in all."""
        mean = max(seconds / items, 1e-8)
        self.seconds = mean if not self.seconds else self.seconds + (mean - self.seconds) * 0.3


def chunk_size(seconds: float, last: int, workers: int, remaining: int | None) -> int:
    """Items to put into the next chunk, at least 1.

    seconds: measured for one item, 0 where nothing was measured yet. last: the size of the chunk
    before. workers: that share the rest. remaining: items not yet drawn, None where nobody knows.
    """
    if not seconds:
        return 1
    size = min(int(CHUNK_SECONDS / seconds), last * GROWTH, MOST_ITEMS)
    if remaining is not None:
        floor = min(int(FLOOR_SECONDS / seconds), -(-remaining // workers))
        size = min(size, max(-(-remaining // (workers * 3)), floor))
    return max(size, 1)
