"""Which items are the same in two runs, and which are not."""

from __future__ import annotations

import dataclasses
import enum
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.scripts import environment
from tests.journal.passes import entries, one_pass

from okazja.errors import BadInput
from okazja.journal import Recorder
from okazja.journal.keys import LONGEST, row_key

HASHABLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
ITEMS = st.recursive(
    HASHABLE | st.frozensets(HASHABLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=3)
    ),
    max_leaves=6,
)


@dataclasses.dataclass(frozen=True)
class Point:
    x: str
    y: str


class Color(enum.IntEnum):
    RED = 1


ALIKE: list[Any] = [
    1,
    True,
    1.0,
    "1",
    b"1",
    (1,),
    [1],
    {1},
    frozenset({1}),
    {1: None},
    {"1": None},
    None,
    "None",
    Color.RED,
    np.int64(1),
    [True],
    [1.0],
    ["1"],
    [[1]],
    [1, 1],
    ["ab"],
    ["a", "b"],
    "",
    b"",
    [],
    (),
    {},
    "1" * 1000,
    b"1" * 1000,
    1 << 63,
    -(1 << 63),
    1 << 1000,
    "\ud800",
    "a\0b",
    Point("a", "b"),
]


def test_items_that_look_alike_are_different() -> None:
    keys = [row_key(item) for item in ALIKE]
    assert len({(type(key), key) for key in keys}) == len(ALIKE)
    assert all(isinstance(key, int) or len(key) <= LONGEST for key in keys)


@given(ITEMS, ITEMS)
def test_two_items_have_one_key_only_if_they_are_equal(one: Any, other: Any) -> None:
    if row_key(one) == row_key(other) and type(row_key(one)) is type(row_key(other)):
        assert one == other


def test_order_of_dicts_and_sets_and_identity_of_parts_do_not_count() -> None:
    assert row_key({"a": 1, "b": 2}) == row_key({"b": 2, "a": 1})
    assert row_key({8, 16, 0}) == row_key({0, 8, 16})
    part = str(12345)
    assert row_key(Point(part, part)) == row_key(Point(str(12345), str(12345)))
    assert row_key(np.arange(5)) == row_key(np.arange(5))


def test_keys_are_the_same_in_another_process(tmp_path: Path) -> None:
    items = '[{"b", "a", "c"}, ("x", 1.5), {"k": ("v",)}, "long" * 50, (date(2026, 1, 1),)]'
    script = f"from datetime import date\nfrom okazja.journal.keys import row_key\nprint([row_key(i) for i in {items}])"
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**environment(), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(answers) == 1


@pytest.mark.parametrize("block", [1, 7, 512])
def test_items_of_all_kinds_are_known_again_in_any_order(path: Path, block: int) -> None:
    assert one_pass(path, ALIKE, repr, block=block).ran == ALIKE
    again = one_pass(path, ALIKE[::-1], repr, block=block)
    assert again.ran == []
    assert [known.value for _, known in again.known] == [repr(item) for item in ALIKE[::-1]]
    read = entries(path, unpickle=True)
    assert [entry.item for entry in read] == ALIKE[::-1]
    assert [type(entry.item) for entry in read] == [type(item) for item in ALIKE[::-1]]


def test_a_key_function_names_items(path: Path) -> None:
    files = [{"name": name, "content": object()} for name in ("a", "b", "c")]
    first = one_pass(path, files, lambda file: file["name"].upper(), key=lambda file: file["name"])
    assert first.ran == files
    other = [{"name": name, "content": None} for name in ("c", "a", "d")]
    again = one_pass(path, other, lambda file: file["name"].upper(), key=lambda file: file["name"])
    assert again.ran == [other[2]]
    assert [(entry.item, entry.value) for entry in entries(path)] == [
        ("c", "C"),
        ("a", "A"),
        ("b", "B"),
        ("d", "D"),
    ]


def test_what_a_key_function_gives_is_kept_in_place_of_the_item(path: Path) -> None:
    one_pass(path, range(3), key=lambda number: ("n", number))
    assert [entry.item for entry in entries(path, unpickle=True)] == [("n", 0), ("n", 1), ("n", 2)]


def fails_at_two(number: int) -> int:
    if number == 2:
        raise KeyError("two")
    return number


def test_an_error_of_the_key_function_names_it_and_the_item(path: Path) -> None:
    recorder = Recorder(path, function="tests:square", key=fails_at_two)
    keys, known = recorder.look_up(10, [0, 1, 2, 3])
    assert len(keys) == len(known) == 2
    with pytest.raises(
        BadInput, match=r"fails_at_two gave no name for the item at position 12.*KeyError: 'two'"
    ):
        recorder.look_up(12, [2, 3])
    recorder.close()


def test_an_item_that_has_no_name_says_what_to_do(path: Path) -> None:
    recorder = Recorder(path, function="tests:square")
    with pytest.raises(BadInput, match=r"the item at position 5, of type function.*pass key="):
        recorder.look_up(5, [lambda: None])
    recorder.close()
