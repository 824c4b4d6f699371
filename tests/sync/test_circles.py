"""Who waits for whom: the pure part of finding deadlocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from okazja.sync.shared.deadlock import Wait, _circle, _stuck

SLOTS = st.integers(0, 6)
WAITS = st.dictionaries(SLOTS, st.frozensets(SLOTS, max_size=3)).map(
    lambda holders: {slot: (100 + slot, 1, held) for slot, held in holders.items()}
)


@given(WAITS)
def test_the_stuck_wait_for_the_stuck_alone(waits: dict[int, Wait]) -> None:
    stuck = _stuck(waits)
    assert all(wait[2] and wait[2] <= stuck.keys() for wait in stuck.values())


@given(WAITS)
def test_all_others_can_go_on_if_those_go_on_for_whom_they_wait(waits: dict[int, Wait]) -> None:
    stuck, going = _stuck(waits), set(range(7)) - waits.keys()
    while more := {s for s, w in waits.items() if s not in going and (not w[2] or w[2] & going)}:
        going |= more
    assert going.isdisjoint(stuck)
    assert going | stuck.keys() == set(range(7))


@given(WAITS, SLOTS)
def test_a_circle_leads_back(waits: dict[int, Wait], start: int) -> None:
    circle = _circle(_stuck(waits), start)
    assert not circle or start in circle
    assert all(wait[2] <= circle.keys() for wait in circle.values())


def test_two_that_take_in_turn() -> None:
    waits = {
        0: (1, 1, frozenset({1})),
        1: (2, 1, frozenset({0})),
        2: (1, 1, frozenset({1})),
    }
    assert _circle(_stuck(waits), 0).keys() == {0, 1}
    assert not _circle(_stuck(waits), 2)  # it waits behind them
