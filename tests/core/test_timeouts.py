"""Whenever an item begins and ends, it is interrupted and given up at its times, once, and no other is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okazja._core.timeouts import LONGEST_PAUSE, Step, Timeouts, timeout_error

SECONDS = st.floats(0.001, 100.0)


def looks(
    timeouts: Timeouts, began: float, ends: float, limit: float, item: str = "item"
) -> list[tuple[float, Step]]:
    """Look as often as told to until an item has ended: what was to be done, and when."""
    done: list[tuple[float, Step]] = []
    now = began
    for _ in range(10):
        step, pause = timeouts.look("worker", item, began, limit, now)
        assert 0 < pause <= LONGEST_PAUSE
        if step is not Step.WAIT:
            done.append((now, step))
        now += pause
        if now >= ends:
            return done
    pytest.fail("it looks far too often")


@given(began=SECONDS, took=SECONDS, limit=SECONDS, grace=SECONDS)
def test_an_item_alone(began: float, took: float, limit: float, grace: float) -> None:
    done = looks(Timeouts(grace), began, began + took, limit)
    due = [(began + limit, Step.INTERRUPT), (began + limit + grace, Step.GIVE_UP)]
    expected = [(when, step) for when, step in due if when < began + took]
    assert [step for _, step in done] in (
        [step for _, step in expected],
        [step for _, step in due[: len(done)]],
    )
    for (when, _), (should, _) in zip(done, due, strict=False):
        assert when == pytest.approx(should), "neither early nor late"


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=20), SECONDS, SECONDS)
def test_items_one_after_the_other(items: list[tuple[float, float]], limit: float, grace: float) -> None:
    """Each item is judged by its own time, also after one that was interrupted or given up."""
    timeouts = Timeouts(grace)
    now = 1.0
    for number, (idle, took) in enumerate(items):
        done = looks(timeouts, now, now + took, limit, f"item {number}")
        assert all(when >= now + limit * 0.999 for when, _ in done)
        assert [step for _, step in done] == [Step.INTERRUPT, Step.GIVE_UP][: len(done)]
        now += took + idle


@given(limit=SECONDS, now=SECONDS)
def test_a_worker_that_has_begun_nothing_is_left_alone(limit: float, now: float) -> None:
    """What begins right after the look is not due before the next."""
    assert Timeouts().look("worker", None, 0.0, limit, now) == (Step.WAIT, limit)


def test_workers_do_not_share_their_items() -> None:
    timeouts = Timeouts(grace=1.0)
    assert timeouts.look("one", "item", 0.0, 5.0, 5.0) == (Step.INTERRUPT, 1.0)
    assert timeouts.look("two", "item", 3.0, 5.0, 5.0) == (Step.WAIT, 3.0)
    assert timeouts.look("one", "item", 0.0, 5.0, 5.5) == (Step.WAIT, 0.5)
    assert timeouts.gone("two") is None
    assert timeouts.gone("one") == ("item", False)
    assert timeouts.gone("one") is None


def test_what_is_remembered_of_a_dead_worker() -> None:
    timeouts = Timeouts(grace=1.0)
    timeouts.look("worker", "item", 0.0, 5.0, 6.0)
    assert timeouts.look("worker", "item", 0.0, 5.0, 7.0)[0] is Step.GIVE_UP
    assert timeouts.look("worker", "item", 0.0, 5.0, 8.0) == (Step.WAIT, LONGEST_PAUSE)
    assert timeouts.gone("worker") == ("item", True)


def test_the_next_item_is_no_longer_overdue() -> None:
    timeouts = Timeouts(grace=1.0)
    timeouts.look("worker", "first", 0.0, 5.0, 6.0)
    step, pause = timeouts.look("worker", "second", 5.9, 5.0, 7.5)
    assert step is Step.WAIT
    assert pause == pytest.approx(3.4)
    assert timeouts.gone("worker") is None


def test_very_long_limits_are_looked_at_in_steps() -> None:
    assert Timeouts().look("worker", "item", 0.0, 1e12, 0.0) == (Step.WAIT, LONGEST_PAUSE)


def test_the_error_names_function_limit_and_what_was_done() -> None:
    assert (
        str(timeout_error("work", 2.5, "was interrupted"))
        == "work took longer than item_timeout=2.5 s and was interrupted"
    )
