"""A value comes back as it was: equal, and of the same type at every level; JSON and bytes without unpickling."""

from __future__ import annotations

import collections
import json
import math
import pickle
import sqlite3
import tempfile
import threading
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.journal.passes import entries, one_pass

from okazja.errors import NotPicklable
from okazja.journal import Pickled, encoding

SURROGATES = st.characters(categories=["Cs"])
TEXTS = st.text() | st.text(SURROGATES) | st.text(SURROGATES | st.characters(), max_size=5)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
EXACT = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
VALUES = st.recursive(
    SCALARS | st.binary() | st.dates() | st.integers().map(lambda n: n << 3000),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(TEXTS | st.integers(), inner, max_size=4)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    return bool(one == other)


@settings(max_examples=300)
@given(VALUES)
def test_any_value_comes_back(value: Any) -> None:
    stored, form = encoding.encode(value, "value")
    back = encoding.decode(stored, form)
    if form == encoding.PICKLE:
        back = pickle.loads(back)
    assert same(back, value)


def has_no_number_or_pair_that_json_changes(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return bool(json.loads(json.dumps(value)) == value)
    if isinstance(value, dict):
        return all(map(has_no_number_or_pair_that_json_changes, [*value, *value.values()]))
    return not isinstance(value, list) or all(map(has_no_number_or_pair_that_json_changes, value))


@settings(max_examples=300)
@given(EXACT.filter(has_no_number_or_pair_that_json_changes))
def test_what_json_can_say_is_json(value: Any) -> None:
    stored, form = encoding.encode(value, "value")
    assert form == encoding.JSON
    assert isinstance(stored, int | float | str)
    assert same(json.loads(stored) if isinstance(stored, str) else stored, value)


@settings(max_examples=15)
@given(st.lists(VALUES, max_size=5))
def test_values_come_back_from_the_file(values: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.db")
        first = one_pass(path, range(len(values)), values.__getitem__)
        again = one_pass(path, range(len(values)), values.__getitem__)
        read = entries(path, unpickle=True)
    assert not first.unkept
    assert again.ran == []
    assert same([known.value for _, known in again.known], values)
    assert same([entry.value for entry in read], values)


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        Text("a"),
        (1, 2),
        [(1, 2)],
        {1: 2},
        {"a": {1}},
        float("inf"),
        [float("nan")],
        collections.OrderedDict(a=1),
        date(2026, 11, 24),
        "\ud83d\ude00",
        1 << 20_000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_would_change_is_pickled(value: Any) -> None:
    assert encoding.encode(value, "value")[1] == encoding.PICKLE


def test_lists_that_hold_themselves_or_each_other_many_times_are_pickled() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert encoding.encode(ring, "value")[1] == encoding.PICKLE
    doubled: list[Any] = []
    for _ in range(60):
        doubled = [doubled, doubled]
    assert encoding.encode(doubled, "value")[1] == encoding.PICKLE
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    assert encoding.encode(deep, "value")[1] == encoding.PICKLE
    assert encoding.encode([[1]] * 50, "value")[1] == encoding.JSON


def test_arrays_come_back(path: Path) -> None:
    one_pass(path, range(3), np.arange)
    again = one_pass(path, range(3), np.arange)
    assert [known.value.tolist() for _, known in again.known] == [[], [0], [0, 1]]
    assert all(isinstance(entry.value, Pickled) for entry in entries(path))


def test_a_value_that_changes_afterwards_is_kept_as_it_was(path: Path) -> None:
    made: list[list[int]] = []

    def make(number: int) -> list[int]:
        made.append([number])
        return made[-1]

    one_pass(path, range(3), make)
    for value in made:
        value.append(-1)
    assert [entry.value for entry in entries(path)] == [[0], [1], [2]]


def lock_at_one(number: int) -> Any:
    return threading.Lock() if number == 1 else number


def test_a_value_that_cannot_be_kept_fails_its_item(path: Path) -> None:
    first = one_pass(path, range(3), lock_at_one)
    assert [*first.unkept] == [1]
    assert isinstance(first.unkept[1], NotPicklable)
    assert "the value of item 1, of type lock, can't be kept in a journal" in str(first.unkept[1])
    read = entries(path)
    assert [entry.ok for entry in read] == [True, False, True]
    assert read[1].error_type == "okazja.errors.NotPicklable"
    assert one_pass(path, range(3), lock_at_one).ran == [1]


def test_a_value_that_no_row_can_hold_fails_its_item(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "LIMIT", 1000)
    first = one_pass(path, [10, 2000, 20], bytes)
    assert "2,000 bytes, over the limit of 1,000" in str(first.unkept[1])
    assert [entry.value for entry in entries(path)] == [bytes(10), None, bytes(20)]


def test_another_program_reads_items_and_values_as_json(path: Path) -> None:
    items = [1, "word", "a long text " * 10, [1, {"a": None}], 2.5, True, 1 << 100]
    one_pass(path, items, lambda item: item)
    db = sqlite3.connect(path)
    rows = db.execute("SELECT item, value, form, status FROM results ORDER BY position").fetchall()
    db.close()
    for (item, value, form, status), expected in zip(rows, items, strict=True):
        assert (form, status) == ("json", "done")
        assert (json.loads(item) if isinstance(item, str) else item) == expected
        assert (json.loads(value) if isinstance(value, str) else value) == expected
