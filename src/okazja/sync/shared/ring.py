"""Records of bytes in shared memory, first in, first out, in a ring of segments that grows.

Two words say everything: TAIL, which only the one who puts writes, and HEAD, which only the one who takes writes (each
is made one by a lock of the queue's). Each holds a place and the number of records so far, so that one store puts a
record or takes one: whoever is killed before that store has done nothing, whoever is killed after it has done all.

A record is a word (its kind, and its length in the lower half) and its bytes. Segments are linked to a ring: whoever
puts goes on to the next one unless the other end is still in there; then it links a new one in between.

Stores are seen in the order in which they were made: so it is on x86, and elsewhere the release of the lock is between.
"""

from __future__ import annotations

import struct

from okazja.sync.shared.region import Region

__all__ = ["INLINE", "RING_WORDS", "Record", "Ring"]

SEGMENT = 1 << 17  # bytes, aligned to as many
HEAD_ROOM = 64  # bytes at the start of a segment; the first word names the next segment
TAIL_ROOM = 64  # bytes at the end of a segment, for the way to the next one; as many as READ reads
INLINE = SEGMENT // 4  # bytes of a record, at most

PLACES = (1 << 33) - 1  # the lower bits: a place, in words
SHIFT = 33
COUNT = (1 << 31) - 1  # the upper bits: records so far, modulo 2**31
ONE = 1 << SHIFT  # one record more; beyond the last one the word begins anew
WORD_OF_ONES = (1 << 64) - 1
SIZE = (1 << 32) - 1  # the lower bits of a record's word: its length; the upper ones: its kind
JUMP = 1 << 63  # stands at the end of a segment for such a word; the place of the next segment follows

# Small records are written with one call, and the smallest are read with one.
SMALL = 64  # bytes
WRITE = tuple(struct.Struct(f"=Q{size}s").pack_into for size in range(SMALL + 1))  # word and bytes, by length
READ = struct.Struct("=Q56s").unpack_from
READABLE = 56  # bytes
STEP = tuple(ONE + 1 + (size + 7 >> 3) for size in range(SMALL + 1))  # what one more adds to TAIL, by length
WITHIN = SEGMENT - 1
LAST = SEGMENT - TAIL_ROOM - 8 - SMALL  # a place in a segment up to which any small record fits

TAIL, HEAD = 0, 8  # words of the ring, a cache line each
RING_WORDS = 16

Record = tuple[int, bytes, int]  # kind, bytes, and what HEAD says once it is taken


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
        """Records that were ever put, modulo 2**31."""
        return int(self.tail.value >> SHIFT & COUNT)

    @property
    def taken_so_far(self) -> int:
        """Records that were ever taken, modulo 2**31."""
        return int(self.head.value >> SHIFT & COUNT)

    def put(self, kind: int, data: bytes) -> None:
        """Put a record of at most `INLINE` bytes, its kind a multiple of 2**32. With the lock of those who put."""
        size = len(data)
        tail = self.tail.value
        place = (tail & PLACES) << 3
        if size <= SMALL and place & WITHIN <= LAST:
            WRITE[size](self._memory, place, kind + size, data)
            self.tail.value = tail + STEP[size]
            return
        words = self._words
        end = place + 8 + (size + 7 & ~7)
        if end > (place | SEGMENT - 1) + 1 - TAIL_ROOM:
            following = self._following(place & -SEGMENT)
            words[(place >> 3) + 1] = following
            words[place >> 3] = JUMP
            place = following + HEAD_ROOM
            end = place + 8 + (size + 7 & ~7)
        self._memory[place + 8 : place + 8 + size] = data
        words[place >> 3] = kind + size
        self.tail.value = (tail & ~PLACES) + ONE | end >> 3

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

    def at(self, head: int) -> Record:
        """Kind and bytes of the record that HEAD says is the first, and what HEAD says once it is taken.

        Bytes of kind 0 say themselves where they end: more may follow. With the lock of those who take.
        """
        place = (head & PLACES) << 3
        word, data = READ(self._memory, place)
        if word <= READABLE:
            return 0, data, head + STEP[word]
        if word == JUMP:
            place = self._words[(place >> 3) + 1] + HEAD_ROOM
            word = self._words[place >> 3]
        size = word & SIZE
        start = place + 8
        after = (head & ~PLACES) + ONE | (start + (size + 7 & ~7)) >> 3
        return word - size, self._memory[start : start + size], after

    def records(self) -> list[tuple[int, bytes]]:
        """All that are in it, to look at. With both locks."""
        found = []
        head, tail = self.head.value, self.tail.value
        while (tail - head) & WORD_OF_ONES:
            kind, data, head = self.at(head)
            found.append((kind, data))
        return found
