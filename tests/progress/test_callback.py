"""A function of the user's gets the progress, in a thread of its own, and can do the work no harm."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

import okazja
from okazja import Executor, Progress, TaskTypeError


def odd_only(n: int) -> int:
    if n % 2 == 0:
        raise ValueError(n)
    return n


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
def test_the_last_call_has_all_counts(backend: str) -> None:
    calls: list[Progress] = []
    with Executor(backend, max_workers=1) as executor:
        list(executor.stream(odd_only, range(10), retries=1, progress=calls.append))
    last = calls[-1]
    assert (last.total, last.done, last.failed, last.retried, last.known, last.ended) == (
        10,
        10,
        5,
        5,
        0,
        True,
    )
    assert last.seconds_left == 0
    assert last.rate == pytest.approx(10 / last.seconds)
    assert [call.ended for call in calls[:-1]] == [False] * (len(calls) - 1)


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
def test_a_map_counts_items_not_chunks(backend: str) -> None:
    calls: list[Progress] = []
    with Executor(backend, max_workers=1) as executor:
        assert sum(executor.map(abs, range(5000), progress=calls.append)) == 12497500
    assert (calls[-1].total, calls[-1].done, calls[-1].failed) == (5000, 5000, 0)
    calls.clear()
    okazja.map(abs, range(3), backend="serial", progress=calls.append)
    assert calls[-1].done == 3


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns all the time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_the_end_has_seen_every_item(backend: str, restless: None) -> None:
    with Executor(backend, max_workers=2) as executor:
        for _ in range(150):
            for way in (executor.map, executor.stream):
                calls: list[Progress] = []
                list(way(abs, range(3), progress=calls.append))
                assert calls[-1].done == 3


def test_there_are_calls_while_it_runs_and_a_length_that_nobody_knows() -> None:
    called = threading.Event()
    calls: list[Progress] = []

    def look(progress: Progress) -> None:
        calls.append(progress)
        called.set()

    with Executor("threads", max_workers=1) as executor:
        outcomes = executor.stream(abs, iter(range(8)), progress=look)
        next(outcomes)
        assert called.wait(30)
        assert not calls[0].ended
        assert calls[0].total is None
        assert calls[0].done >= 1
        list(outcomes)
    assert calls[-1].done == 8


def test_a_break_and_an_error_end_the_calls() -> None:
    calls: list[Progress] = []
    with Executor("threads", max_workers=1) as executor:
        outcomes = executor.stream(abs, range(100_000), progress=calls.append)
        next(outcomes)
        del outcomes
        assert calls[-1].ended
        calls.clear()
        with pytest.raises(ValueError, match="0"):
            list(executor.map(odd_only, range(10), progress=calls.append))
        assert calls[-1].ended


def test_calls_come_in_a_thread_of_their_own_and_in_the_callers_context() -> None:
    seen: list[tuple[str, str]] = []
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    variable.set("set")
    with Executor("threads", max_workers=1) as executor:
        list(
            executor.map(
                abs, [1], progress=lambda _: seen.append((threading.current_thread().name, variable.get()))
            )
        )
    assert set(seen) == {("okazja-progress-abs", "set")}
    assert "okazja-progress-abs" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("error", [LookupError("not found"), SystemExit(3)])
def test_what_it_raises_is_logged_once_and_the_work_goes_on(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Progress] = []

    def look(progress: Progress) -> None:
        calls.append(progress)
        raise error

    with caplog.at_level(logging.ERROR, "okazja"), Executor("threads", max_workers=1) as executor:
        outcomes = executor.stream(abs, iter(range(100)), progress=look)
        assert len(list(outcomes)) == 100
    assert len(calls) == 1
    [record] = caplog.records
    assert record.name == "okazja"
    assert "progress of abs" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_one_that_hangs_is_not_waited_for_for_long() -> None:
    release, entered = threading.Event(), threading.Event()
    calls: list[Progress] = []

    def look(progress: Progress) -> None:
        calls.append(progress)
        entered.set()
        release.wait(60)

    with Executor("threads", max_workers=1) as executor:
        outcomes = executor.stream(abs, range(3), progress=look)
        next(outcomes)
        assert entered.wait(30)
        assert len(list(outcomes)) == 2
    assert len(calls) == 1
    [thread] = [thread for thread in threading.enumerate() if thread.name == "okazja-progress-abs"]
    release.set()
    thread.join(30)
    assert calls[-1].ended


def test_the_results_end_after_the_last_call_also_where_a_shutdown_elsewhere_was_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("okazja.progress.views.PATIENCE", 60.0)
    ending, went_on = threading.Event(), threading.Event()
    too_early: list[bool] = []

    def look(progress: Progress) -> None:
        if progress.ended:
            ending.set()
            too_early.append(went_on.wait(0.5))

    executor = Executor("threads", max_workers=1)
    outcomes = executor.stream(abs, range(3), progress=look)
    closer = threading.Thread(target=executor.shutdown)
    closer.start()
    assert ending.wait(30)
    assert len(list(outcomes)) == 3
    went_on.set()
    closer.join(30)
    assert too_early == [False]


def test_one_that_uses_the_executor_itself_does_not_deadlock() -> None:
    results: list[int] = []
    with Executor("threads", max_workers=1) as executor:
        list(
            executor.map(
                abs, range(50), progress=lambda progress: results.append(executor.submit(abs, -1).result())
            )
        )
    assert set(results) == {1}


@pytest.mark.parametrize("wrong", ["yes", 1, [print]])
def test_what_makes_no_sense_is_an_error_at_once(wrong: object) -> None:
    with Executor("serial") as executor:
        for call in (executor.map, executor.stream):
            with pytest.raises(TaskTypeError, match="progress must be True, False or a callable"):
                call(abs, [1], progress=wrong)  # type: ignore[call-overload]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_child_of_a_fork_makes_no_calls() -> None:
    ours, theirs = os.pipe()
    with Executor("threads", max_workers=1) as executor:
        parent = os.getpid()

        def look(progress: Progress) -> None:
            if os.getpid() != parent:
                os.write(theirs, b"called")

        outcomes = executor.stream(abs, range(100), progress=look)
        next(outcomes)
        pid = os.fork()
        if not pid:
            try:
                outcomes.close()
            finally:
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert len(list(outcomes)) == 99
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        assert file.read() == b""


def test_without_progress_there_is_no_thread() -> None:
    with Executor("serial") as executor:
        results = executor.map(abs, range(3), progress=False)
        assert not [t for t in threading.enumerate() if t.name.startswith("okazja-progress")]
        list(results)
