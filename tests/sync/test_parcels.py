"""An item arrives as what it was put as, whichever way its bytes were made."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from okazja import Executor


class Colour(enum.IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: float


class Text(str):
    __slots__ = ()


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor("processes", max_workers=1) as executor:
        yield executor


PLAIN: list[Any] = [
    0,
    -1,
    2**100,
    1.5,
    1j,
    "",
    "ż" * 30,
    "\ud800",
    b"",
    b"x" * 63,
    None,
    True,
    (),
    (1, "a"),
    [None, b"b"],
    {},
    {"b": 1, "a": 2.5, None: "c"},
]
PICKLED: list[Any] = [
    Colour.RED,
    (Colour.RED,),
    {"k": Colour.RED},
    {Colour.RED: 1},
    Point(1, 2.0),
    Text("t"),
    {"inner": {"list": [1]}},
    OrderedDict(a=1),
    {1, 2},
    bytearray(b"c"),
    "long" * 10_000,
    b"long" * 100_000,
    {"long": "x" * 40_000},
]


@pytest.mark.parametrize("item", PLAIN + PICKLED, ids=lambda item: repr(item)[:30])
def test_what_is_put_is_what_is_got(executor: Executor, item: Any) -> None:
    queue = executor.Queue()
    queue.put(item)
    queue.put(item, timeout=5)
    for got in (queue.get(), queue.get(timeout=5)):
        assert got == item
        assert type(got) is type(item)
        if isinstance(item, dict):
            assert list(got.items()) == list(item.items())
            assert [*map(type, got), *map(type, got.values())] == [
                *map(type, item),
                *map(type, item.values()),
            ]
    assert queue.empty()
