"""Blocks never overlap, and what is given back is used again, the lowest place first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okazja._core.blocks import Blocks

PAGE = 4096

# A number takes a block of that size, None gives one back: the one that `choices` says.
steps = st.lists(st.tuples(st.none() | st.integers(0, 20 * PAGE), st.integers(0, 1 << 16)), max_size=60)


def pages(size: int) -> int:
    return max(-(-size // PAGE), 1) * PAGE


class Model:
    """The same, kept as the plain set of pages in use."""

    def __init__(self) -> None:
        self.used: set[int] = set()

    def lowest(self, size: int) -> int:
        start = 0
        while any(page in self.used for page in range(start, start + pages(size), PAGE)):
            start += PAGE
        return start


@given(steps)
def test_each_block_lies_at_the_lowest_place_where_it_fits(history: list[tuple[int | None, int]]) -> None:
    blocks, model = Blocks(PAGE), Model()
    taken: dict[int, int] = {}
    for size, choice in history:
        if size is not None:
            start = blocks.take(size)
            assert start == model.lowest(size)
            taken[start] = pages(size)
            model.used.update(range(start, start + pages(size), PAGE))
        elif taken:
            start = sorted(taken)[choice % len(taken)]
            blocks.give(start)
            model.used.difference_update(range(start, start + taken.pop(start), PAGE))
        assert len(blocks) == len(taken)
        assert blocks.end == max((start + size for start, size in taken.items()), default=0)


@given(st.lists(st.integers(0, 9 * PAGE), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_when_all_is_given_back_nothing_is_in_use(sizes: list[int], order: object) -> None:
    blocks = Blocks(PAGE)
    starts = [blocks.take(size) for size in sizes]
    order.shuffle(starts)  # type: ignore[attr-defined]  # a random.Random
    for start in starts:
        blocks.give(start)
    assert (len(blocks), blocks.end) == (0, 0)
    assert blocks.take(1) == 0


def test_a_block_is_given_back_once() -> None:
    blocks = Blocks(PAGE)
    start = blocks.take(10)
    blocks.take(10)
    blocks.give(start)
    with pytest.raises(KeyError):
        blocks.give(start)
