"""How many items of a map to send at once.

A chunk is long enough that the cost of sending it vanishes and short enough that one worker isn't
left with it when the others are done: guided self-scheduling (Polychronopoulos and Kuck, 1987),
bounded by time.
"""

from __future__ import annotations

__all__ = ["CHUNK_SECONDS", "MOST_ITEMS", "Pace", "chunk_size"]

CHUNK_SECONDS = 0.004  # a chunk's overhead of some tens of µs is about 1 % of this
# of chunks in the middle of a long input: each one also evicts what its worker has in caches
LONG_SECONDS = 0.03
PART = 1 / 32  # of the time that all chunks so far took, which a chunk may take beyond CHUNK_SECONDS
FLOOR_SECONDS = 0.0005  # towards the end chunks get shorter, but not than this: it would cost more
GROWTH = 8  # a chunk has at most that many times the items of the one before: one quick item proves nothing
FEW = 128  # items for each worker
MOST_ITEMS = 8192  # keeps a chunk of tiny items, and the memory it takes, small


class Pace:
    """A recent average of the seconds that an item takes, learned chunk by chunk.

    Unlike ``Timing`` it follows the trend both ways: the items of one map often grow steadily. Chunks count by
    their items, so that what a chunk costs besides does not pass for the cost of its one item.

    expected: the seconds that an item of the same function took the last time, 0 where nobody knows.
    """

    __slots__ = ("_items", "_sum", "expected", "seconds", "spent")

    FADES = 0.7  # weight of the chunks before, at each new one

    def __init__(self, expected: float = 0.0) -> None:
        self.expected = expected
        self.seconds = 0.0  # 0: nothing measured yet
        self.spent = 0.0  # by all items so far
        self._sum = 0.0
        self._items = 0.0

    def measured(self, seconds: float, items: int) -> None:
        """Learn that ``items`` items took ``seconds`` in all."""
        self.spent += seconds
        self._sum = self._sum * self.FADES + seconds
        self._items = self._items * self.FADES + items
        self.seconds = max(self._sum / self._items, 1e-8)


def chunk_size(pace: Pace, last: int, workers: int, remaining: int | None) -> int:
    """Items to put into the next chunk, at least 1.

    last: the size of the chunk before. workers: that share the rest. remaining: items not yet drawn, None where
    nobody knows.
    """
    seconds = pace.seconds
    if not seconds:
        return _first_size(pace.expected, workers, remaining)
    length = min(max(CHUNK_SECONDS, pace.spent * PART), LONG_SECONDS)
    size = min(int(length / seconds), last * GROWTH, MOST_ITEMS)
    if remaining is not None:
        size = min(size, remaining, max(-(-remaining // (workers * 3)), int(FLOOR_SECONDS / seconds)))
    return max(size, 1)


def _first_size(expected: float, workers: int, remaining: int | None) -> int:
    """Before anything was measured: 1 for an unknown function, and for few items, which may wait for each other."""
    if not expected or remaining is None or remaining < FEW * workers:
        return 1
    share = max(remaining // (workers * 4), min(int(FLOOR_SECONDS / expected), -(-remaining // workers)))
    return max(min(int(CHUNK_SECONDS / 4 / expected), share, MOST_ITEMS), 1)
