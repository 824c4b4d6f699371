"""Deadlines, tokens, nested groups, and what comes from outside: killed workers, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic

import pytest
from tests.group import tasks

import okazja
from okazja import Executor
from okazja.testing import Gate

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

# --- deadlines ------------------------------------------------------------------------------------------


def test_a_deadline_ends_the_tasks(concurrent: Executor, gate: Gate) -> None:
    with pytest.raises(TimeoutError, match=r"deadline=1 s passed with 1 of its 2"):
        with concurrent.group(deadline=1) as group:
            done = group.submit(tasks.square, 3)
            done.result()
            future = group.submit(tasks.check_token, gate.address)
    assert future.cancelled()
    assert done.result() == 9


def test_a_deadline_that_is_not_reached_leaves_nothing() -> None:
    before = threading.active_count()
    with okazja.Group("threads", deadline=60) as group:
        group.submit(tasks.square, 3)
    assert threading.active_count() == before


def test_a_deadline_beside_failures_is_one_of_them(gate: Gate) -> None:
    def fail_when_told() -> None:
        okazja.current_token().wait(tasks.LONG)
        tasks.fail()

    with pytest.raises(ExceptionGroup) as caught, okazja.Group("threads", deadline=0.5) as group:
        group.submit(fail_when_told)
    assert [type(error) for error in caught.value.exceptions] == [LookupError, TimeoutError]


def test_the_block_itself_can_look_at_the_deadline() -> None:
    with pytest.raises(TimeoutError), okazja.Group("threads", deadline=0.01):
        assert okazja.current_token().wait(tasks.LONG)
        okazja.current_token().check()


def test_serial_looks_at_the_deadline_between_tasks() -> None:
    with Executor("serial") as executor, pytest.raises(TimeoutError):
        with executor.group(deadline=0.01) as group:
            assert group.submit(okazja.current_token().wait, tasks.LONG).result()
            group.submit(tasks.fail)


# --- tokens ---------------------------------------------------------------------------------------------


def test_outside_of_groups_the_token_is_never_set() -> None:
    token = okazja.current_token()
    assert not token.is_set()
    assert not token.wait(0.01)
    token.check()


@pytest.mark.parametrize("mp_context", [None, "fork"])
def test_in_a_process_the_token_is_set_with_the_interrupt(
    gate: Gate, tmp_path: Path, mp_context: str | None
) -> None:
    """Also where the worker was forked inside of the block, and so with its context."""
    with okazja.Group("threads"), Executor("processes", 1, mp_context=mp_context) as executor:
        with pytest.raises(ExceptionGroup), executor.group() as group:
            group.submit(tasks.token_in_finally, gate.address, tmp_path / "notes")
            gate.arrivals(1)
            raise ZeroDivisionError
        assert (tmp_path / "notes").read_text() == "True True\n"
        assert executor.submit(is_set).result() is False  # the next call has a token of its own


def is_set() -> bool:
    return okazja.current_token().is_set()


# --- nested ---------------------------------------------------------------------------------------------


def test_a_group_in_a_task_ends_with_the_group_around_it(gate: Gate, tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught, okazja.Group("threads") as group:
        inner = group.submit(tasks.inner_group, gate.address, tmp_path / "notes")
        assert gate.arrivals(1) == ["sleeps"]
        group.submit(tasks.fail)
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert inner.cancelled()
    assert (tmp_path / "notes").read_text() == "cleaned up\n"


def test_a_group_on_threads_in_a_process_ends_with_the_group_around_it(gate: Gate) -> None:
    with pytest.raises(ExceptionGroup) as caught, okazja.Group("processes") as group:
        inner = group.submit(group_of_waiting_threads, gate.address)
        gate.arrivals(2)
        group.submit(tasks.fail)
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert inner.cancelled()


def group_of_waiting_threads(address: tuple[str, int]) -> None:
    with okazja.Group("threads") as group:
        group.submit(tasks.wait_for_token, address)
        group.submit(tasks.wait_for_token, address)


def test_a_group_in_a_block_ends_with_the_group_around_it(gate: Gate) -> None:
    with pytest.raises(ExceptionGroup) as caught, okazja.Group("threads") as outer:
        with Executor("processes", 2) as executor, executor.group() as inner:
            sleeping = inner.submit(tasks.check_token, gate.address)
            gate.arrivals(1)
            outer.submit(tasks.fail)
        raise AssertionError("not reached")
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert sleeping.cancelled()


def test_failures_of_nested_groups_are_nested() -> None:
    def inner() -> None:
        with okazja.Group("processes") as group:
            group.submit(tasks.fail)

    with pytest.raises(ExceptionGroup) as caught, okazja.Group("threads") as group:
        group.submit(inner)
    (found,) = caught.value.exceptions
    assert isinstance(found, ExceptionGroup)
    assert [type(error) for error in found.exceptions] == [LookupError]


# --- faults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [True, False])
def test_a_killed_worker_is_a_failure_and_the_rest_is_cancelled(own: bool, gate: Gate) -> None:
    with Executor("processes", 2) as executor:
        group = okazja.Group("processes") if own else executor.group()
        with pytest.raises(ExceptionGroup) as caught, group:
            sleeping = group.submit(tasks.check_token, gate.address)
            gate.arrivals(1)
            group.submit(tasks.kill_me, gate.address)
            gate.arrivals(1)
            gate.open()
    (error,) = caught.value.exceptions
    assert isinstance(error, okazja.WorkerDied)
    assert error.exitcode == -signal.SIGKILL
    assert sleeping.cancelled()


CTRL_C = """
import sys, threading, okazja
from tests.group import tasks
from pathlib import Path

address, backend, where = ("127.0.0.1", int(sys.argv[1])), sys.argv[2], sys.argv[3]
group = okazja.Group(backend)
try:
    with group:
        future = group.submit(tasks.check_token, address)
        if where == "inside":
            future.result()
except KeyboardInterrupt:
    print("interrupted", group.cancelled, threading.active_count(), flush=True)
"""


@pytest.mark.parametrize("backend", ["threads", "processes"])
@pytest.mark.parametrize("where", ["inside", "at the end"])
def test_ctrl_c_cancels_the_tasks_and_passes(backend: str, where: str, gate: Gate) -> None:
    program = [sys.executable, "-c", CTRL_C, str(gate.address[1]), backend, where]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        gate.arrivals(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert out == "interrupted True 1\n", err
    assert err == ""


SECOND_CTRL_C = """
import sys, threading, okazja
from okazja.testing.gate import greet

address = ("127.0.0.1", int(sys.argv[1]))

def deaf():
    greet(address, "deaf")
    for number in range(2):
        okazja.current_token().wait()
        greet(address, "told")
        threading.Event().wait()

try:
    with okazja.Group("threads") as group:
        group.submit(deaf)
except KeyboardInterrupt:
    print("left", flush=True)
import os
os._exit(0)
"""


def test_a_second_ctrl_c_leaves_threads_behind(gate: Gate) -> None:
    program = [sys.executable, "-c", SECOND_CTRL_C, str(gate.address[1])]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert gate.arrivals(1) == ["deaf"]
        process.send_signal(signal.SIGINT)
        assert gate.arrivals(1) == ["told"]
        end = monotonic() + 30
        while process.poll() is None and monotonic() < end:
            process.send_signal(signal.SIGINT)  # the first may still be on its way through the interpreter
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                pass
        assert process.stdout is not None
        assert process.stdout.read() == "left\n"
