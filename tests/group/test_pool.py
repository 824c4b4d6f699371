"""Groups on an executor: nothing outlives the block, the first failure ends the rest."""

from __future__ import annotations

import gc
import pickle
import threading
import traceback
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from tests.group import tasks

import okazja
from okazja import Executor, GroupCancelled, GroupClosed
from okazja.testing import Gate
from okazja.testing.gate import wait_at


def failures(caught: pytest.ExceptionInfo[BaseExceptionGroup[BaseException]]) -> list[BaseException]:
    return list(caught.value.exceptions)


def test_results_are_there_when_the_block_is_over(executor: Executor) -> None:
    with executor.group() as group:
        futures = [group.submit(tasks.square, n) for n in range(20)]
    assert all(future.done() for future in futures)
    assert [future.result() for future in futures] == [n * n for n in range(20)]
    assert executor.submit(tasks.square, 3).result() == 9  # the executor goes on


def test_a_group_keeps_its_executor() -> None:
    with Executor("threads").group() as group:
        gc.collect()
        future = group.submit(tasks.square, 3)
    assert future.result() == 9


def test_an_empty_block(executor: Executor) -> None:
    with executor.group():
        pass


def test_a_failure_comes_in_an_exception_group_with_its_remote_traceback(executor: Executor) -> None:
    with pytest.raises(ExceptionGroup) as caught, executor.group() as group:
        future = group.submit(tasks.fail, "once")
    (error,) = failures(caught)
    assert isinstance(error, LookupError)
    assert error.args == ("once",)
    assert future.exception() is error
    assert "in fail" in "".join(traceback.format_exception(error))


def test_the_first_failure_ends_what_waits_and_what_runs(
    concurrent: Executor, gate: Gate, tmp_path: Path
) -> None:
    sleep = tasks.wait_for_token if concurrent.backend != "processes" else tasks.sleep_and_note
    arguments = () if concurrent.backend != "processes" else (tmp_path / "notes",)
    with pytest.raises(ExceptionGroup) as caught, concurrent.group() as group:
        running = group.submit(sleep, gate.address, *arguments)
        assert gate.arrivals(1) == ["waits" if concurrent.backend != "processes" else "sleeps"]
        failing = group.submit(tasks.arrive_and_fail, gate.address)
        waiting = [group.submit(tasks.note, tmp_path / "late", "ran") for _ in range(20)]
        gate.arrivals(1)
        gate.open()
    assert [type(error) for error in failures(caught)] == [LookupError]
    assert isinstance(failing.exception(), LookupError)
    assert all(future.cancelled() for future in waiting)
    assert not (tmp_path / "late").exists()
    if concurrent.backend != "processes":
        assert running.result() == "told"
    else:
        assert running.cancelled()
        assert (tmp_path / "notes").read_text() == "cleaned up\n"


def test_what_goes_on_after_the_interrupt_is_killed(gate: Gate, tmp_path: Path) -> None:
    with Executor("processes", 2) as executor:
        with pytest.raises(ExceptionGroup) as caught, executor.group() as group:
            stubborn = group.submit(tasks.stubborn, gate.address, tmp_path / "notes")
            gate.arrivals(1)
            group.submit(tasks.fail)
        assert [type(error) for error in failures(caught)] == [LookupError]
        assert stubborn.cancelled()
        assert (tmp_path / "notes").read_text() == "goes on\n"
        assert executor.submit(tasks.square, 3).result() == 9


def test_an_error_of_the_block_cancels_its_tasks_and_is_part_of_the_group(
    concurrent: Executor, gate: Gate
) -> None:
    with pytest.raises(ExceptionGroup) as caught, concurrent.group() as group:
        group.submit(tasks.check_token, gate.address)
        gate.arrivals(1)
        raise ZeroDivisionError
    assert [type(error) for error in failures(caught)] == [ZeroDivisionError]


def test_an_error_that_the_block_looked_at_is_reported_once(executor: Executor) -> None:
    with pytest.raises(ExceptionGroup) as caught, executor.group() as group:
        group.submit(tasks.fail).result()
    assert [type(error) for error in failures(caught)] == [LookupError]


def test_a_wait_for_a_cancelled_task_is_no_failure_of_its_own(concurrent: Executor, gate: Gate) -> None:
    with pytest.raises(ExceptionGroup) as caught, concurrent.group() as group:
        waiting = group.submit(tasks.check_token, gate.address)
        gate.arrivals(1)
        group.submit(tasks.fail)
        with pytest.raises(CancelledError):
            waiting.result()
        waiting.result()
    assert [type(error) for error in failures(caught)] == [LookupError]


def test_no_task_is_taken_after_a_failure(executor: Executor) -> None:
    with pytest.raises(ExceptionGroup) as caught, executor.group() as group:
        assert group.submit(tasks.fail, "the first").exception() is not None
        while True:
            group.submit(tasks.square, 1).exception()  # until the group knows
    assert [type(error) for error in failures(caught)] == [LookupError]
    with pytest.raises(GroupClosed, match="is over"):
        group.submit(tasks.square, 1)


def test_why_no_task_is_taken() -> None:
    with Executor("serial") as executor:
        group = executor.group()
        with pytest.raises(GroupClosed, match="has not begun"):
            group.submit(tasks.square, 1)
        with pytest.raises(ExceptionGroup), group:
            group.submit(tasks.fail, "for a reason")
            with pytest.raises(GroupCancelled, match="fail failed: LookupError: for a reason"):
                group.submit(tasks.square, 1)
        with pytest.raises(GroupClosed, match="make a new group"), group:
            pass


def test_cancel_ends_the_block_without_an_error(concurrent: Executor, gate: Gate) -> None:
    with concurrent.group() as group:
        future = group.submit(tasks.check_token, gate.address)
        gate.arrivals(1)
        group.cancel()
        assert group.cancelled
    assert future.cancelled()


def test_a_future_that_is_cancelled_by_hand_is_no_failure(gate: Gate) -> None:
    with Executor("threads", 1) as executor, executor.group() as group:
        group.submit(wait_at, gate.address)
        gate.arrivals(1)
        waiting = group.submit(tasks.fail)
        assert waiting.cancel()
        gate.open()
    assert not group.cancelled


def test_tasks_that_share_memory_submit_to_their_group() -> None:
    seen = []

    def grow(n: int) -> None:
        seen.append(n)
        if n:
            group.submit(grow, n - 1)
            group.submit(grow, n - 1)

    with Executor("threads", 4) as executor, executor.group() as group:
        group.submit(grow, 5)
    assert len(seen) == 2**6 - 1


def test_exits_of_tasks_come_in_a_base_exception_group(executor: Executor) -> None:
    with pytest.raises(BaseExceptionGroup) as caught, executor.group() as group:
        group.submit(exit, 3)
    assert [type(error) for error in failures(caught)] == [SystemExit]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_these_pass_as_they_are(executor: Executor, kind: type[BaseException]) -> None:
    with pytest.raises(kind), executor.group() as group:
        group.submit(tasks.square, 1)
        raise kind


def test_what_cannot_be_a_task_or_travel(executor: Executor) -> None:
    with pytest.raises(ExceptionGroup) as caught, executor.group() as group:
        group.submit("no function")  # type: ignore[call-overload]
    assert [type(error) for error in failures(caught)] == [okazja.TaskTypeError]
    if executor.backend == "processes":
        with pytest.raises(ExceptionGroup) as caught, executor.group() as group:
            group.submit(id, threading.Lock())
        assert [type(error) for error in failures(caught)] == [okazja.NotPicklable]


def test_a_group_of_an_executor_that_was_shut_down(executor: Executor) -> None:
    executor.shutdown()
    with pytest.raises(okazja.ExecutorShutdown), executor.group():
        pass


def test_a_group_cannot_travel() -> None:
    with pytest.raises(TypeError, match="can't travel to another process"):
        pickle.dumps(okazja.Group("threads"))


def test_others_work_on_the_same_executor(concurrent: Executor, gate: Gate) -> None:
    """The end of a group ends nothing that is not its own."""
    other = concurrent.submit(wait_at, gate.address, "other")
    gate.arrivals(1)
    with pytest.raises(ExceptionGroup), concurrent.group() as group:
        waiting = concurrent.submit(tasks.square, 3)
        group.submit(tasks.fail)
    gate.open()
    assert other.result() is None
    assert waiting.result() == 9
