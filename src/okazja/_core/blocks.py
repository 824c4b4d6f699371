"""Which parts of a file are in use: blocks of whole pages, each at the lowest place where it fits.

Low places first keeps the pages that are written again and again few, so that they stay in caches, and
leaves what can be cut off at the end.
"""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["Blocks"]


class Blocks:
    """Blocks of a file of any length, known by where they start, in bytes. Pure: touches no file.

    Guarantees: blocks that are taken never overlap, start at a multiple of ``page`` and lie below
    ``end``, which is where the last of them ends.
    """

    def __init__(self, page: int) -> None:
        self._page = page  # bytes
        self._sizes: dict[int, int] = {}  # of the blocks taken, by their start
        self._gaps: list[tuple[int, int]] = []  # free ranges below ``end``, ascending, never adjacent
        self.end = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def take(self, size: int) -> int:
        """Take a block of at least ``size`` bytes; returns where it starts."""
        size = -(-max(size, 1) // self._page) * self._page
        for position, (start, stop) in enumerate(self._gaps):
            if stop - start >= size:
                self._gaps[position : position + 1] = [(start + size, stop)] if stop - start > size else []
                break
        else:
            start = self.end
            self.end += size
        self._sizes[start] = size
        return start

    def give(self, start: int) -> None:
        """Give back the block that starts at ``start``. Raises KeyError if there is none."""
        stop = start + self._sizes.pop(start)
        position = bisect_left(self._gaps, (start, stop))
        if position < len(self._gaps) and self._gaps[position][0] == stop:
            stop = self._gaps.pop(position)[1]
        if position and self._gaps[position - 1][1] == start:
            position -= 1
            start = self._gaps.pop(position)[0]
        if stop == self.end:
            self.end = start
        else:
            self._gaps.insert(position, (start, stop))
