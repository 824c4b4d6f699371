"""Items that hold themselves, functions without a name of their own, readers while positions change."""

from __future__ import annotations

from concurrent.futures import CancelledError
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import okazja
from okazja import BadInput


def label(item: Any) -> str:
    return str(item.label)


def double(item: int) -> int:
    return 2 * item


def ring(name: str) -> SimpleNamespace:
    item = SimpleNamespace(label=name)
    item.itself = item
    return item


def test_items_that_hold_themselves_have_names(path: Path) -> None:
    with okazja.Executor("serial") as executor:
        first = [o.value for o in executor.stream(label, [ring("a"), ring("b")], journal=path)]
        again = [(o.value, o.worker) for o in executor.stream(label, [ring("b"), ring("a")], journal=path)]
    assert first == ["a", "b"]
    assert again == [("b", -1), ("a", -1)]


def test_an_item_that_has_no_end_of_parts_needs_a_key(path: Path) -> None:
    tangled: list[Any] = [0]
    for _ in range(40):
        tangled = [tangled, tangled]
    pickled = SimpleNamespace(parts=tangled)
    with okazja.Executor("serial") as executor:
        for item in (tangled, pickled):
            with pytest.raises(BadInput, match="key="):
                list(executor.stream(repr, [item], journal=path))


def test_a_lambda_needs_a_version(path: Path) -> None:
    with okazja.Executor("serial") as executor:
        with pytest.raises(BadInput, match="version="):
            executor.stream(lambda item: item, [1], journal=path)
        assert not path.exists()
        assert [o.value for o in executor.stream(lambda item: -item, [1], journal=path, version="1")] == [-1]


def test_a_reader_sees_each_item_once_while_another_run_moves_them(path: Path) -> None:
    items = range(3_000)
    with okazja.Executor("serial") as executor:
        assert len(list(executor.stream(double, items, journal=path))) == len(items)
        with okazja.Journal(path) as journal:
            entries = iter(journal)
            begun = list(islice(entries, 1_200))
            assert len(list(executor.stream(double, [-1, *reversed(items)], journal=path))) == len(items) + 1
            read = [*begun, *entries]
            assert journal.status().done == len(items) + 1
    assert [entry.item for entry in begun] == list(items)[:1_200]
    assert sorted(entry.item for entry in read) == list(items)


def test_items_that_were_cut_short_are_nobodys_any_more(path: Path) -> None:
    """They can come again in the same pass, and their names are not kept for ever."""
    with okazja.Executor("processes", 1) as executor:
        stream = executor.stream(double, [*range(50_000), 7], journal=path, ordered=True)
        assert next(stream).value == 0
        cut: list[Any] = []
        executor.kill_workers()
        with pytest.raises(CancelledError):  # of what was not drawn
            cut.extend(outcome for outcome in stream if not outcome.ok)
    assert cut
    with okazja.Executor("serial") as executor:
        outcomes = list(executor.stream(double, [*range(50_000), 7], journal=path, ordered=True))
    assert [o.value for o in outcomes] == [2 * n for n in [*range(50_000), 7]]
