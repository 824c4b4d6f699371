"""Groups with a thread, process or asyncio task of its own for each submit."""

from __future__ import annotations

import os
import threading

import pytest
from tests.group import tasks

import okazja
from okazja.testing import Gate
from okazja.testing.gate import wait_at

MANY = 100


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_all_run_at_once_and_are_joined(backend: str, gate: Gate) -> None:
    many = MANY if backend == "threads" else 20
    before = threading.active_count()
    with okazja.Group(backend) as group:  # type: ignore[arg-type]
        for number in range(many):
            group.submit(wait_at, gate.address, str(number))
        assert {*gate.arrivals(many)} == {str(number) for number in range(many)}
        gate.open()
    assert threading.active_count() == before


def test_each_has_a_thread_of_its_own_with_a_name() -> None:
    with okazja.Group("threads", name="fetcher") as group:
        names = []
        for _ in range(70):  # one after the other: an idle thread would be at hand
            names.append(group.submit(tasks.thread_name))
            names[-1].result()
    assert len({future.result() for future in names}) == 64  # further engines count again
    assert all(future.result().startswith("fetcher") for future in names)


def test_tasks_submit_from_many_threads_at_once() -> None:
    seen = []

    def grow(n: int) -> None:
        seen.append(n)
        for _ in range(3 * (n > 0)):
            group.submit(grow, n - 1)

    with okazja.Group("threads") as group:
        group.submit(grow, 5)
    assert len(seen) == sum(3**n for n in range(6))


def test_each_has_a_process_of_its_own() -> None:
    pids = []
    with okazja.Group("processes") as group:
        for _ in range(5):
            pids.append(group.submit(tasks.process_id))
            pids[-1].result()
    found = {future.result() for future in pids}
    assert len(found) == 5
    for pid in found:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_tree_shows_them_with_their_names(gate: Gate) -> None:
    with okazja.Group("threads", name="fetcher") as group:
        for _ in range(3):
            group.submit(wait_at, gate.address)
        gate.arrivals(3)
        shown = str(okazja.tree())
        gate.open()
    for number in range(3):
        assert f"fetcher_{number}" in shown
    assert shown.count(": wait_at (call") == 3


def test_the_first_failure_ends_the_processes(gate: Gate) -> None:
    with pytest.raises(ExceptionGroup), okazja.Group("processes") as group:
        sleeping = [group.submit(tasks.check_token, gate.address) for _ in range(3)]
        gate.arrivals(3)
        group.submit(tasks.fail)
    assert all(future.cancelled() for future in sleeping)


def test_a_failing_thread_tells_the_others(gate: Gate) -> None:
    with pytest.raises(ExceptionGroup), okazja.Group("threads") as group:
        waiting = [group.submit(tasks.wait_for_token, gate.address) for _ in range(3)]
        gate.arrivals(3)
        group.submit(tasks.fail)
    assert [future.result() for future in waiting] == ["told"] * 3


def test_wrong_names_and_deadlines() -> None:
    with pytest.raises(okazja.BadInput, match=r"executor\.group"):
        okazja.Group("serial")  # type: ignore[arg-type]
    for deadline in (-1, "1", True, float("nan")):
        with pytest.raises(okazja.BadInput, match="deadline must be"):
            okazja.Group("threads", deadline=deadline)  # type: ignore[arg-type]


def test_tasks_of_asyncio_need_a_loop() -> None:
    with pytest.raises(okazja.TaskTypeError, match="async with"), okazja.Group("asyncio"):
        pass
