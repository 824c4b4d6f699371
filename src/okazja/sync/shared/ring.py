"""Records of bytes in shared memory, first in, first out, in a ring of segments that grows.

Two words say everything: TAIL, which only the one who puts writes, and HEAD, which only the one who takes writes (each
is made one by a lock of the queue's). Each holds a place and the number of records so far, so that one store puts a
record or takes one: whoever is killed before that store has done nothing, whoever is killed after it has done all.

A record is a word (its length and kind) and its bytes. Segments are linked to a ring: whoever puts goes on to the next
one unless the other end is still in there; then it links a new one in between.

Stores are seen in the order in which they were made: so it is on x86, and elsewhere the release of the lock is between.
"""

from __future__ import annotations

from okazja.sync.shared.region import Region

__all__ = ["INLINE", "RING_WORDS", "Ring"]

SEGMENT = 1 << 17  # bytes, aligned to as many
HEAD_ROOM = 64  # bytes at the start of a segment; the first word names the next segment
TAIL_ROOM = 16  # bytes at the end of a segment, for the way to the next one
INLINE = SEGMENT // 4  # bytes of a record, at most

PLACES = (1 << 33) - 1  # the lower bits: a place, in words
SHIFT = 33
COUNT = (1 << 30) - 1  # the upper bits: records so far; the sign stays 0
JUMP = 0xFF  # kind of the record at the end of a segment; no other has length 0 with it

TAIL, HEAD = 0, 8  # words of the ring, a cache line each
RING_WORDS = 16


class Ring:
    """One of them, at a place (the index of its first word)."""

    __slots__ = ("_memory", "_region", "_words", "head", "tail")

    def __init__(self, region: Region, place: int) -> None:
        self._region = region
        self._words = region.words
        self._memory = region.memory
        self.tail, self.head = region.cell(place + TAIL), region.cell(place + HEAD)

    def start(self) -> None:
        """Have a first segment. Nobody uses it yet."""
        first = self._segment()
        self._words[first >> 3] = first
        self.tail.value = self.head.value = (first + HEAD_ROOM) >> 3

    def __len__(self) -> int:
        return ((self.tail.value >> SHIFT) - (self.head.value >> SHIFT)) & COUNT

    @property
    def empty(self) -> bool:
        """Whether nothing is in it."""
        return bool(self.tail.value == self.head.value)

    @property
    def put_so_far(self) -> int:
        """Records that were ever put, modulo 2**30."""
        return int(self.tail.value >> SHIFT)

    @property
    def taken_so_far(self) -> int:
        """Records that were ever taken, modulo 2**30."""
        return int(self.head.value >> SHIFT)

    def put(self, kind: int, data: bytes) -> None:
        """Put a record of at most `INLINE` bytes. With the lock of those who put."""
        words, size = self._words, len(data)
        tail = self.tail.value
        place = (tail & PLACES) << 3
        end = place + 8 + (size + 7 & ~7)
        if end > (place | SEGMENT - 1) + 1 - TAIL_ROOM:
            following = self._following(place & -SEGMENT)
            words[(place >> 3) + 1] = following
            words[place >> 3] = JUMP
            place = following + HEAD_ROOM
            end = place + 8 + (size + 7 & ~7)
        self._memory[place + 8 : place + 8 + size] = data
        words[place >> 3] = size << 8 | kind
        self.tail.value = ((tail >> SHIFT) + 1 & COUNT) << SHIFT | end >> 3

    def _following(self, segment: int) -> int:
        """The segment to go on in."""
        words = self._words
        following = words[segment >> 3]
        if following != ((self.head.value & PLACES) << 3) & -SEGMENT:
            return int(following)
        new = self._segment()
        words[new >> 3] = following
        words[segment >> 3] = new
        return new

    def _segment(self) -> int:
        return self._region.allocate(2 * SEGMENT) + SEGMENT - 1 & -SEGMENT  # addresses cost nothing

    def at(self, head: int) -> tuple[int, bytes, int]:
        """Kind and bytes of the record that HEAD says is the first, and what HEAD says once it is taken.

        With the lock of those who take.
        """
        words = self._words
        place = (head & PLACES) << 3
        header = words[place >> 3]
        if header == JUMP:
            place = words[(place >> 3) + 1] + HEAD_ROOM
            header = words[place >> 3]
        size = header >> 8
        start = place + 8
        after = ((head >> SHIFT) + 1 & COUNT) << SHIFT | (start + (size + 7 & ~7)) >> 3
        return header & 0xFF, self._memory[start : start + size], after

    def records(self) -> list[tuple[int, bytes]]:
        """All that are in it, to look at. With both locks."""
        found = []
        head, tail = self.head.value, self.tail.value
        while head != tail:
            kind, data, head = self.at(head)
            found.append((kind, data))
        return found
