"""`okazja.timer`: what it measures, how it nests, what it says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Generator
from types import SimpleNamespace
from typing import cast

import pytest

import okazja
from okazja import timer
from okazja.errors import BadInput


class Clocks:
    """Clocks that stand still until told otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.cpu = self.workers = 100.0  # seconds
        monkeypatch.setattr("okazja.measure.timer.perf_counter", lambda: self.wall)
        monkeypatch.setattr("okazja.measure.timer.process_time", lambda: self.cpu)
        ledger = SimpleNamespace(workers_cpu_seconds=lambda: self.workers)
        monkeypatch.setitem(sys.modules, "okazja._backends.ledger", ledger)

    def pass_by(self, wall: float, cpu: float = 0.0, workers: float = 0.0) -> None:
        self.wall += wall
        self.cpu += cpu
        self.workers += workers


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def times(one: timer) -> tuple[float, float, float, float]:
    return one.wall, one.cpu, one.workers_cpu, one.total_cpu


def test_measures_the_block_and_nothing_after_it(clocks: Clocks) -> None:
    with timer("sieve") as one:
        clocks.pass_by(2.0, cpu=0.5, workers=3.0)
    clocks.pass_by(1.0, cpu=1.0, workers=1.0)
    assert times(one) == (2.0, 0.5, 3.0, 3.5)
    assert not one.running


def test_shows_the_times_so_far_while_running(clocks: Clocks) -> None:
    one = timer("sieve")
    assert times(one) == (0.0, 0.0, 0.0, 0.0)
    with one:
        assert one.running
        clocks.pass_by(1.0, cpu=0.25, workers=2.0)
        assert times(one) == (1.0, 0.25, 2.0, 2.25)
        clocks.pass_by(1.0)
        assert one.wall == 2.0


def test_says_it_in_one_line(clocks: Clocks) -> None:
    one = timer("sieve")
    assert str(one) == "sieve: not started"
    with one:
        clocks.pass_by(2.0, cpu=0.5, workers=3.25)
        text = "sieve: 2.000 s wall, 0.500 s CPU here, 3.250 s CPU in workers (1.88 x)"
        assert str(one) == text + ", still running"
    assert str(one) == text
    assert repr(one) == f"<timer {text}>"


def test_does_not_speak_of_workers_where_there_are_none(clocks: Clocks) -> None:
    with timer("sieve") as one:
        clocks.pass_by(2.0, cpu=1.0)
    assert str(one) == "sieve: 2.000 s wall, 1.000 s CPU here (0.50 x)"


def test_a_block_that_takes_no_time_has_no_ratio(clocks: Clocks) -> None:
    with timer("nothing") as one:
        pass
    assert str(one) == "nothing: 0.000 s wall, 0.000 s CPU here"


def test_reports_at_the_end_and_only_if_asked(clocks: Clocks, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with timer("outer", report=said.append):
        with timer("inner", report=said.append):
            clocks.pass_by(1.0, cpu=1.0)
        with timer("silent"):
            assert len(said) == 1
        clocks.pass_by(1.0, cpu=1.0)
    assert said == [
        "  inner: 1.000 s wall, 1.000 s CPU here (1.00 x)",
        "outer: 2.000 s wall, 2.000 s CPU here (1.00 x)",
    ]
    assert capsys.readouterr().out == ""
    with timer("printed", report=print):
        pass
    assert capsys.readouterr().out == "printed: 0.000 s wall, 0.000 s CPU here\n"


def test_knows_the_timer_around_it() -> None:
    with timer("outer") as outer, timer("middle") as middle:
        with timer("inner") as inner:
            pass
        with timer("second") as second:
            pass
    with timer("after") as after:
        pass
    assert [one.parent for one in (outer, middle, inner, second, after)] == [
        None,
        outer,
        middle,
        middle,
        None,
    ]
    assert [one.depth for one in (outer, middle, inner, second, after)] == [0, 1, 2, 2, 0]


def test_an_error_in_the_block_stops_the_clock_and_passes(clocks: Clocks) -> None:
    said: list[str] = []
    one = timer("broken", report=said.append)

    def fail() -> None:
        with one:
            clocks.pass_by(1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    clocks.pass_by(5.0)
    assert one.wall == 1.0
    assert len(said) == 1
    with timer("after") as after:
        assert after.parent is None


def test_entering_a_running_timer_is_an_error_and_does_no_harm(clocks: Clocks) -> None:
    with timer("sieve") as one:
        clocks.pass_by(1.0)
        with pytest.raises(RuntimeError, match="timer 'sieve' is running already"), one:
            pass
        clocks.pass_by(1.0)
    assert one.wall == 2.0


def test_leaving_a_timer_that_does_not_run_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="timer 'sieve' is not running"):
        timer("sieve").__exit__(None, None, None)


def test_a_finished_timer_starts_anew(clocks: Clocks) -> None:
    one = timer("sieve")
    with timer("outer"), one:
        clocks.pass_by(1.0, cpu=1.0, workers=1.0)
    with one:
        assert times(one) == (0.0, 0.0, 0.0, 0.0)
        clocks.pass_by(3.0)
    assert times(one) == (3.0, 0.0, 0.0, 0.0)
    assert (one.parent, one.depth) == (None, 0)


def test_tasks_of_an_event_loop_nest_apart() -> None:
    async def branch(name: str, mine: asyncio.Event, other: asyncio.Event) -> tuple[timer, timer]:
        async with timer(name) as outer:
            mine.set()
            await other.wait()  # both have entered theirs before either goes on
            async with timer(f"{name}-inner") as inner:
                pass
        return outer, inner

    async def main() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        async with timer("main") as whole:
            pairs = await asyncio.gather(branch("a", first, second), branch("b", second, first))
        for outer, inner in pairs:
            assert (outer.parent, inner.parent, inner.depth) == (whole, outer, 2)

    asyncio.run(main())


def test_a_task_that_outlives_the_timer_around_it_has_no_parent() -> None:
    async def late(go: asyncio.Event) -> timer:
        await go.wait()
        with timer("late") as one:
            pass
        return one

    async def main() -> None:
        go = asyncio.Event()
        with timer("short"):
            task = asyncio.create_task(late(go))
            await asyncio.sleep(0)
        go.set()
        one = await task
        assert (one.parent, one.depth) == (None, 0)

    asyncio.run(main())


def test_threads_nest_apart() -> None:
    parents: list[timer | None] = []

    def other() -> None:
        with timer("other") as one:
            parents.append(one.parent)

    with timer("main"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    # A free-threaded build hands the context on to new threads; there the nesting follows it.
    inherits = getattr(sys.flags, "thread_inherit_context", 0)
    assert [parent is None for parent in parents] == [not inherits]


def test_can_be_left_in_another_context_than_it_was_entered() -> None:
    def block() -> Generator[timer]:
        with timer("generator") as one:
            yield one

    async def step(blocks: Generator[timer]) -> timer | None:
        return next(blocks, None)

    async def main() -> timer:
        blocks = block()
        one = await asyncio.create_task(step(blocks))
        assert one is not None
        await asyncio.create_task(step(blocks))
        return one

    assert not asyncio.run(main()).running


def test_real_clocks_count_the_cpu_time_of_all_threads() -> None:
    ran = threading.Event()

    def spin() -> None:
        with timer("thread") as mine:
            while mine.cpu < 0.05:
                pass
        ran.set()

    with timer("main") as whole:
        thread = threading.Thread(target=spin)
        thread.start()
        thread.join()
    assert ran.is_set()
    assert whole.cpu >= 0.05
    assert whole.total_cpu >= whole.cpu
    assert whole.wall > 0


def test_does_not_import_the_ledger_of_the_workers() -> None:
    code = """
import sys, okazja
with okazja.timer("nothing") as one:
    pass
assert one.workers_cpu == 0.0
assert "okazja._backends.ledger" not in sys.modules
assert "okazja._backends.processes" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("wrong", [None, 3, b"sieve"])
def test_a_name_is_a_string(wrong: object) -> None:
    with pytest.raises(BadInput, match="name must be a string, got"):
        okazja.timer(cast(str, wrong))


def test_a_report_is_a_callable() -> None:
    with pytest.raises(BadInput, match=r"report must be a callable.*got True.*report=print"):
        timer("sieve", report=True)  # type: ignore[arg-type]
