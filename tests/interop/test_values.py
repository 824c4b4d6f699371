"""What people pass to tasks and return from them arrives equal, whatever the backend."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import functools
import operator
import pathlib
import re
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from okazja import Executor


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0

    def mirrored(self) -> Point:
        return Point(self.y, self.x)


@dataclass(slots=True)
class Path:
    points: list[Point] = field(default_factory=list)


class Row(NamedTuple):
    name: str
    amount: int


Pair = namedtuple("Pair", "left right")  # noqa: PYI024  (both kinds are in use)


class Scale:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, x: int) -> int:
        return self.factor * x

    def times(self, x: int) -> int:
        return self.factor * x

    @classmethod
    def double(cls, x: int) -> int:
        return cls(2)(x)

    @staticmethod
    def triple(x: int) -> int:
        return 3 * x


def echo(value: Any) -> Any:
    return value


@functools.lru_cache
def cached_square(x: int) -> int:
    return x * x


def same_kind(value: Any) -> tuple[Any, type]:
    return value, type(value)


VALUES = [
    None,
    True,
    2**200,
    float("inf"),
    3 - 4j,
    "okazja ✓",
    b"\x00\xff" * 5,
    bytearray(b"abc"),
    (),
    [1, [2, [3]]],
    {"a": {1: 2}},
    {1, 2},
    frozenset({3}),
    range(3, 10, 2),
    slice(1, None, 2),
    Colour.GREEN,
    Access.READ | Access.WRITE,
    Point(1, 2),
    Path([Point(1), Point(2)]),
    Row("a", 1),
    Pair(1, 2),
    Counter("banana"),
    OrderedDict(b=1, a=2),
    defaultdict(list, {"k": [1]}),
    deque([1, 2], maxlen=5),
    dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    decimal.Decimal("1.10"),
    fractions.Fraction(1, 3),
    pathlib.PurePosixPath("/a/b"),
    re.compile("a+", re.IGNORECASE),
    uuid.UUID(int=5),
    int,
    Colour,
    ValueError,
]


def test_values_there_and_back(executor: Executor) -> None:
    expected = [(value, type(value)) for value in VALUES]
    assert list(executor.map(same_kind, VALUES)) == expected
    assert [executor.submit(same_kind, value).result() for value in VALUES] == expected
    assert executor.submit(same_kind, value=VALUES).result() == (VALUES, list)


def test_an_enum_member_stays_the_only_one(executor: Executor) -> None:
    assert executor.submit(echo, Colour.RED).result() is Colour.RED


FUNCTIONS: list[tuple[str, Callable[..., Any]]] = [
    ("partial", functools.partial(pow, 2)),
    ("partial with a keyword", functools.partial(int, base=10)),
    ("nested partial", functools.partial(functools.partial(max, 1), 2)),
    ("lambda", lambda x: x + 1),
    ("callable object", Scale(4)),
    ("bound method", Scale(5).times),
    ("class method", Scale.double),
    ("static method", Scale.triple),
    ("class", Point),
    ("operator", operator.neg),
    ("method of a built-in type", int.bit_length),
    ("bound method of a built-in", [7, 8, 9, 10].index),
    ("cached function", cached_square),
    ("NumPy ufunc", np.sqrt),
]


@pytest.mark.parametrize(("fn"), [fn for _, fn in FUNCTIONS], ids=[name for name, _ in FUNCTIONS])
def test_kinds_of_functions(executor: Executor, fn: Callable[..., Any]) -> None:
    items = ["7", "8"] if isinstance(fn, functools.partial) and fn.func is int else [7, 8]
    expected = [fn(item) for item in items]
    assert list(executor.map(fn, items)) == expected
    assert [executor.submit(fn, item).result() for item in items] == expected


def test_closures_keep_what_they_close_over(executor: Executor) -> None:
    def adder(n: int) -> Callable[[int], int]:
        def add(x: int) -> int:
            return x + n

        return add

    assert [list(executor.map(adder(n), range(3))) for n in range(3)] == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_recursive_closures(executor: Executor) -> None:
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert list(executor.map(fibonacci, range(10))) == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]


def test_classes_made_inside_a_function(executor: Executor) -> None:
    @dataclass
    class Local:
        n: int

        def doubled(self) -> Local:
            return Local(2 * self.n)

    results = list(executor.map(Local.doubled, [Local(1), Local(2)]))
    assert [result.n for result in results] == [2, 4]
    assert all(type(result) is Local for result in results)


def test_a_task_may_return_a_function(executor: Executor) -> None:
    def power(n: int) -> Callable[[int], int]:
        return lambda x: x**n

    assert executor.submit(power, 3).result()(2) == 8


ARRAYS = [
    np.arange(10),
    np.zeros((0, 3)),
    np.array(3.5),
    np.arange(12.0).reshape(3, 4)[:, ::2],
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.array(["a", "bcd"]),
    np.array([1, "x", None], dtype=object),
    np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
    np.arange(200_000, dtype=np.float32),  # 800 kB: may travel out of band
    np.array(["2026-01-01"], dtype="datetime64[D]"),
]


def test_numpy_arrays(executor: Executor) -> None:
    for array, back in zip(ARRAYS, executor.map(echo, ARRAYS), strict=True):
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(back, array)


def test_arrays_from_processes_can_be_written_on_both_sides() -> None:
    def fill(array: Any) -> Any:
        array[:] = 1
        return array

    for size in (10, 200_000):
        array = np.zeros(size)
        with Executor("processes", max_workers=1) as executor:
            back = executor.submit(fill, array).result()
        assert not array.any()  # a worker has a copy of its own
        assert back.all()
        back[0] = 2
        assert back[0] == 2


def test_numpy_scalars_keep_their_type(executor: Executor) -> None:
    back = executor.submit(echo, np.float32(1.5)).result()
    assert (type(back), back) == (np.float32, np.float32(1.5))


def test_masked_arrays_and_random_generators(executor: Executor) -> None:
    masked = np.ma.masked_greater(np.arange(5), 2)
    back = executor.submit(echo, masked).result()
    np.testing.assert_array_equal(back.mask, masked.mask)

    def draw(generator: np.random.Generator) -> list[int]:
        return [int(n) for n in generator.integers(100, size=5)]

    seeds = np.random.SeedSequence(7).spawn(3)
    expected = [draw(np.random.default_rng(seed)) for seed in seeds]
    assert list(executor.map(draw, [np.random.default_rng(seed) for seed in seeds])) == expected


def test_pandas_objects(executor: Executor) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"key": list("abab"), "value": [1, 2, 3, 4.5]})
    frame["when"] = pd.date_range("2026-01-01", periods=4)
    frame["kind"] = frame["key"].astype("category")
    pd.testing.assert_frame_equal(executor.submit(echo, frame).result(), frame)

    def total(group: Any) -> float:
        return float(group["value"].sum())

    groups = [group for _, group in frame.groupby("key")]
    assert list(executor.map(total, groups)) == [total(group) for group in groups] == [4.0, 6.5]
