"""A run that goes on loads no more of what is known than it would hold of new values."""

from __future__ import annotations

from pathlib import Path

import pytest

import okazja

MB = 1 << 20
ITEMS = 60  # of one megabyte each: about twice what a run holds


def large(item: int) -> bytes:
    return bytes([item]) * MB


@pytest.mark.parametrize("ordered", [True, False])
def test_large_known_values_are_loaded_as_they_are_taken(path: Path, ordered: bool) -> None:
    named = []

    def name(item: int) -> int:
        named.append(item)
        return item

    with okazja.Executor("threads", 2) as executor:
        for outcome in executor.stream(large, range(ITEMS), journal=path, key=name):
            assert outcome.ok
        named.clear()
        known = executor.stream(large, range(ITEMS), journal=path, key=name, ordered=ordered)
        assert next(known).value == large(0)
        assert len(set(named)) < ITEMS
        assert [outcome.value for outcome in known] == [large(item) for item in range(1, ITEMS)]


def test_large_and_small_values_come_in_order(path: Path) -> None:
    def sized(item: int) -> str:
        return "x" * (item % 7 * 100_000)

    with okazja.Executor("serial") as executor:
        for outcome in executor.stream(sized, range(0, 200, 2), journal=path):
            assert outcome.ok
        lengths = [len(outcome.value or "") for outcome in executor.stream(sized, range(200), journal=path)]
    assert lengths == [item % 7 * 100_000 for item in range(200)]
