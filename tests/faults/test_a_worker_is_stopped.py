"""SIGSTOP of a worker from outside: the others go on, each way to end it does, and going on gives the result once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.faults import tasks
from tests.faults.innocent import works
from tests.faults.scripts import eventually, pids_of, program

from okazja import Executor
from okazja.errors import ExecutorBroken, WorkerDied
from okazja.testing.gate import Gate

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

Open = Callable[..., Executor]

PATIENCE = 20.0  # seconds for what should take none
CONTEXTS = [None, "fork", "spawn", "forkserver"]


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    assert eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, PATIENCE)


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_others_go_on_and_so_does_it_when_it_may(open_executor: Open, context: str | None) -> None:
    executor = open_executor(mp_context=context)
    pids_of(executor, 2)
    with Gate() as gate:
        held = executor.submit(tasks.wait_as_pid, gate.address)
        pid = int(gate.arrivals(1)[0])
        stop(pid)
    futures = [executor.submit(tasks.square, number) for number in range(200)]
    assert [future.result(PATIENCE) for future in futures] == [n * n for n in range(200)]
    assert not held.done()
    os.kill(pid, signal.SIGCONT)
    assert held.result(PATIENCE) == pid
    assert pid in pids_of(executor, 2), "it works as before"


def test_items_that_it_has_not_begun_run_elsewhere(open_executor: Open) -> None:
    executor = open_executor()
    pids_of(executor, 2)
    with Gate() as gate:
        held = executor.submit(tasks.wait_as_pid, gate.address)
        pid = int(gate.arrivals(1)[0])
        stop(pid)
    outcomes = list(executor.stream(tasks.square, range(5_000), ordered=True))
    assert [outcome.value for outcome in outcomes] == [n * n for n in range(5_000)]
    os.kill(pid, signal.SIGCONT)
    assert held.result(PATIENCE) == pid


def idle_and_stopped(executor: Executor) -> int:
    pid = min(pids_of(executor, 2))
    stop(pid)
    return pid


@pytest.mark.parametrize("context", CONTEXTS)
def test_shutdown_has_it_go_on(open_executor: Open, context: str | None) -> None:
    executor = open_executor(mp_context=context)
    idle_and_stopped(executor)
    futures = [executor.submit(tasks.square, number) for number in range(20)]
    executor.shutdown()
    assert [future.result(0) for future in futures] == [n * n for n in range(20)]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("method", ["terminate_workers", "kill_workers"])
def test_terminate_and_kill_end_it(open_executor: Open, context: str | None, method: str) -> None:
    executor = open_executor(mp_context=context)
    pids_of(executor, 2)
    with Gate() as gate:
        held = executor.submit(tasks.wait_as_pid, gate.address)
        stop(int(gate.arrivals(1)[0]))
        getattr(executor, method)()
        executor.shutdown()
    assert isinstance(held.exception(PATIENCE), ExecutorBroken | WorkerDied)


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    script = """
        import os, signal, time
        from okazja import Executor
        from tests.faults import scripts

        executor = Executor("processes", 2)
        for pid in scripts.pids_of(executor, 2):
            os.kill(pid, signal.SIGSTOP)
        print("ready", flush=True)
        time.sleep(600)
    """
    with program(tmp_path, script) as parent:
        assert parent.line() == "ready"
        assert len(parent.family()) == 3
        parent.kill()
        assert not parent.survivors(1.0)


def test_killing_a_stopped_worker_costs_its_item_alone(open_executor: Open) -> None:
    executor = open_executor()
    pids_of(executor, 2)
    with Gate() as gate:
        held = executor.submit(tasks.wait_as_pid, gate.address)
        pid = int(gate.arrivals(1)[0])
        stop(pid)
        os.kill(pid, signal.SIGKILL)
        error = held.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert (error.pid, error.exitcode) == (pid, -signal.SIGKILL)
    assert works(executor)
