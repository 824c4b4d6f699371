"""What was put comes out, whole and in order, whatever its size, and when the counts begin anew."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from okazja.sync.shared.layout import WORD
from okazja.sync.shared.region import Region
from okazja.sync.shared.ring import COUNT, INLINE, RING_WORDS, SHIFT, Ring

KINDS = st.integers(0, 4).map(lambda number: number << 32)
SIZES = st.one_of(st.integers(0, 80), st.integers(0, INLINE), st.just(INLINE))
STEPS = st.lists(st.one_of(st.none(), st.tuples(KINDS, SIZES)), max_size=200)


def ring(region: Region, before: int) -> Ring:
    """A new one, of which so many records were put and taken."""
    ring = Ring(region, region.allocate(RING_WORDS * WORD) // WORD)
    ring.start()
    ring.head.value += before << SHIFT
    ring.tail.value += before << SHIFT
    return ring


def agree(kind: int, found: bytes, data: bytes) -> bool:
    return found == data if kind else found.startswith(data)  # what is marshalled says itself where it ends


@settings(deadline=None)
@given(before=st.sampled_from([0, COUNT >> 1, COUNT - 30, COUNT]), steps=STEPS)
def test_first_in_first_out(before: int, steps: list[tuple[int, int] | None]) -> None:
    records, expected = ring(Region.create(), before), deque[tuple[int, bytes]]()
    for number, step in enumerate(steps):
        if step is not None:
            kind, size = step
            data = bytes([number]) * size
            records.put(kind, data)
            expected.append((kind, data))
        elif expected:
            kind, found, records.head.value = records.at(records.head.value)
            wanted, data = expected.popleft()
            assert kind == wanted
            assert agree(kind, found, data)
        assert len(records) == len(expected)
        assert records.empty == (not expected)
    left = records.records()
    assert [kind for kind, _ in left] == [kind for kind, _ in expected]
    assert all(agree(*record, data) for record, (_, data) in zip(left, expected, strict=True))


def test_it_goes_round_in_the_same_memory() -> None:
    region = Region.create()
    records = ring(region, 0)
    places = set()
    for size in range(10_000):
        records.put(1 << 32, bytes(size % 500))
        kind, data, records.head.value = records.at(records.head.value)
        assert (kind, data) == (1 << 32, bytes(size % 500))
        places.add((records.head.value & (1 << SHIFT) - 1) >> 14)
    assert len(places) <= 3
