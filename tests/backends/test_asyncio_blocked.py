# ruff: noqa: ASYNC110, ASYNC251  (blocking an event loop is the subject)
"""Blocked event loops are reported: which task, where it stands, once; a loop that only waits is left in peace."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Iterator

import pytest
from tests.faults.scripts import eventually

from okazja import Executor, Interrupted
from okazja._backends import coroutine_calls

pytestmark = pytest.mark.usefixtures("each_loop")

BLOCKED_AFTER = 0.05  # seconds


@pytest.fixture
def reports(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    messages: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "blocked the event loop" in record.getMessage():
                messages.append(record.getMessage())

    handler = Handler()
    logging.getLogger("okazja").addHandler(handler)
    yield messages
    logging.getLogger("okazja").removeHandler(handler)


class Blocker:
    """Blocks the loop until somebody has said so."""

    def __init__(self, reports: list[str], times: int = 1) -> None:
        self.reports = reports
        self.times = times

    def has(self, number: int) -> bool:
        return len(self.reports) == number

    async def block(self, _: object = None) -> None:
        for number in range(1, self.times + 1):
            assert eventually(functools.partial(self.has, number))
            await asyncio.sleep(0)


def test_the_task_and_the_line_are_named(reports: list[str]) -> None:
    async def compute_for_long() -> None:
        end = time.monotonic() + 20
        while not reports and time.monotonic() < end:
            time.sleep(0.001)  # this very line

    with Executor("asyncio", blocked_after=BLOCKED_AFTER) as executor:
        executor.submit(compute_for_long).result()
        [report] = reports
        assert "compute_for_long has blocked the event loop of asyncio-" in report
        assert f"of {__file__}, in compute_for_long" in report
        assert "time.sleep(0.001)  # this very line" in report or "while not reports" in report
        assert "coroutine_calls" not in report


def test_the_item_is_named(reports: list[str]) -> None:
    with Executor("asyncio", blocked_after=BLOCKED_AFTER) as executor:
        list(executor.stream(Blocker(reports).block, [None]))
        assert "Blocker.block (item 0) has blocked" in reports[0]


def test_once_for_each_blocking(reports: list[str]) -> None:
    async def block_for(seconds: float) -> None:
        time.sleep(seconds)

    with Executor("asyncio", blocked_after=BLOCKED_AFTER) as executor:
        executor.submit(Blocker(reports, times=3).block).result()
        assert len(reports) == 3
        executor.submit(block_for, 10 * BLOCKED_AFTER).result()
        assert len(reports) == 4


def test_plain_functions_and_waiting_coroutines_block_nothing(reports: list[str]) -> None:
    with Executor("asyncio", blocked_after=BLOCKED_AFTER) as executor:
        plain = executor.submit(time.sleep, 5 * BLOCKED_AFTER)
        executor.submit(asyncio.sleep, 5 * BLOCKED_AFTER).result()
        plain.result()
    assert reports == []


def test_a_busy_loop_that_takes_turns_is_not_blocked(reports: list[str]) -> None:
    async def spin(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(0)

    with Executor("asyncio", blocked_after=1.0) as executor:
        list(executor.map(spin, [2.5] * 3))
    assert reports == []


def test_never_with_infinity(reports: list[str]) -> None:
    async def block_for(seconds: float) -> None:
        time.sleep(seconds)

    before = threading.active_count()
    with Executor("asyncio", blocked_after=float("inf")) as executor:
        executor.submit(block_for, 0.3).result()
        assert threading.active_count() == before + 1  # the loop's, and nobody to watch it
    assert reports == []


def test_the_watcher_rests_while_nothing_runs() -> None:
    with Executor("asyncio", blocked_after=BLOCKED_AFTER) as executor:
        executor.submit(asyncio.sleep, 0).result()
        watch = executor._engine.backend._watch  # type: ignore[attr-defined]
        assert eventually(lambda: watch._rests)
        executor.submit(asyncio.sleep, 0.01).result()
        assert eventually(lambda: watch._rests)


def loop_for_ever(ended: list[int]) -> None:
    rounds = 0
    try:
        while True:
            rounds += 1
    finally:
        ended.append(1)


def test_a_task_that_blocks_for_longer_than_it_may_is_interrupted(reports: list[str]) -> None:
    ended: list[int] = []

    async def spin(number: int) -> int:
        if number == 1:
            loop_for_ever(ended)
        return number

    with Executor("asyncio", 4, blocked_after=BLOCKED_AFTER) as executor:
        outcomes = list(executor.stream(spin, range(4), item_timeout=0.3, ordered=True))
        assert [outcome.value for outcome in outcomes] == [0, None, 2, 3]
        assert isinstance(outcomes[1].error, TimeoutError)
        assert "in loop_for_ever" in str(outcomes[1].error.__cause__)
        assert ended == [1]
        assert executor.submit(spin, 5).result() == 5
    assert len(reports) == 1


def test_the_deadline_ends_a_stream_whose_task_blocks() -> None:
    async def spin(number: int) -> None:
        rounds = 0
        while True:
            rounds += 1

    with Executor("asyncio", 4, blocked_after=BLOCKED_AFTER) as executor:
        with pytest.raises(TimeoutError, match="deadline"):
            list(executor.stream(spin, [1], deadline=0.3))
        assert executor.submit(asyncio.sleep, 0, "done").result() == "done"


@pytest.mark.parametrize("cleans_up", [False, True])
def test_what_swallows_the_interrupt_of_its_limit_is_cancelled_later(
    monkeypatch: pytest.MonkeyPatch, cleans_up: bool
) -> None:
    monkeypatch.setattr(coroutine_calls, "GRACE", 0.2)
    seen: list[str] = []

    async def go_on(_: object) -> None:
        end = time.monotonic() + 20
        try:
            while time.monotonic() < end:
                time.sleep(0.001)  # around a bare loop, CPython 3.13 was seen to miss the handler
        except Interrupted:
            await asyncio.sleep(0.01 if cleans_up else 60)
            seen.append("cleaned up")

    with Executor("asyncio", 1, blocked_after=BLOCKED_AFTER) as executor:
        [outcome] = executor.stream(go_on, [0], item_timeout=0.1)
    assert isinstance(outcome.error, TimeoutError)
    assert seen == ["cleaned up"] * cleans_up
