"""Shutdown, forgotten executors, and the end of the interpreter."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

from okazja.testing import tasks
from okazja.testing.check import Maker, caught, needs
from okazja.testing.gate import PATIENCE, Gate


def check_no_work_after_shutdown(make: Maker) -> None:
    """After ``shutdown``, ``submit`` and ``map`` raise RuntimeError; a second ``shutdown`` does nothing."""
    executor = make()
    assert executor.submit(tasks.square, 2).result(PATIENCE) == 4
    executor.shutdown()
    executor.shutdown(wait=True)
    assert isinstance(caught(executor.submit, tasks.square, 2), RuntimeError)
    assert isinstance(caught(lambda: list(executor.map(tasks.square, [2]))), RuntimeError)


def check_shutdown_of_an_unused_executor(make: Maker) -> None:
    """An executor that had no work ends as any other."""
    make().shutdown()
    with make():
        pass


def check_shutdown_waits(make: Maker) -> None:
    """The with block ends when all calls are done, also when it ends by an error."""
    with TemporaryDirectory() as folder:
        try:
            with make() as executor:
                futures = [executor.submit(tasks.note, folder, number) for number in range(50)]
                raise LookupError
        except LookupError:
            assert all(future.done() for future in futures)
            assert tasks.noted(folder) == [*range(50)]


@needs(lambda traits: traits.concurrent)
def check_shutdown_without_waiting(make: Maker) -> None:
    """``shutdown(wait=False)`` returns at once; what was submitted is done all the same."""
    executor = make(max_workers=1)
    with Gate() as gate:
        futures = [executor.submit(tasks.wait_and_return, gate.address, number) for number in range(3)]
        gate.arrivals(1)
        executor.shutdown(wait=False)
        assert not any(future.done() for future in futures)
    assert [future.result(PATIENCE) for future in futures] == [0, 1, 2]
    executor.shutdown(wait=True)


@needs(lambda traits: traits.concurrent)
def check_cancel_futures(make: Maker) -> None:
    """``cancel_futures`` cancels what has not begun, and what runs is seen through."""
    executor = make(max_workers=1)
    with Gate() as gate:
        futures = [executor.submit(tasks.wait_and_return, gate.address, number) for number in range(20)]
        gate.arrivals(1)
        executor.shutdown(wait=False, cancel_futures=True)
    executor.shutdown()
    assert futures[0].result(PATIENCE) == 0
    assert all(future.done() for future in futures)
    cancelled = [future for future in futures if future.cancelled()]
    # The standard library's processes pool has sent two ahead that it can't take back.
    assert len(cancelled) >= (19 if make.traits.extended else 17), (
        f"only {len(cancelled)} of 19 were cancelled"
    )
    assert type(caught(cancelled[0].result)) is CancelledError


@needs(lambda traits: traits.concurrent)
def check_forgotten_executor(make: Maker) -> None:
    """An executor that nobody holds does what it was given, then its workers end."""
    before = threading.active_count()
    with Gate() as gate:
        executor = make(max_workers=2)
        workers = {executor.submit(tasks.pid).result(PATIENCE)} - {os.getpid()}
        future = executor.submit(tasks.wait_and_return, gate.address, "done")
        gate.arrivals(1)
        del executor
    assert future.result(PATIENCE) == "done"
    _see(lambda: threading.active_count() <= before, "its threads go on")
    _see(lambda: not any(map(_runs, workers)), "its worker processes go on")


@needs(lambda traits: traits.concurrent)
def check_forgotten_map(make: Maker) -> None:
    """Threads of a forgotten executor end though nobody takes the results of its map; these can be taken then."""
    before = threading.active_count()
    executor = make(max_workers=2)
    results = executor.map(tasks.square, range(10))
    del executor
    _see(lambda: threading.active_count() <= before, "its threads go on")
    assert list(results) == [number * number for number in range(10)]


PROGRAM = """
import sys
sys.path[:] = {path!r}
import atexit, pickle
from okazja.testing import tasks

def late():
    try:
        executor.submit(tasks.square, 2)
    except RuntimeError:
        print("refused")

atexit.register(late)
executor = pickle.loads({maker!r})(**{options!r})
{work}
"""


def check_end_of_the_interpreter(make: Maker) -> None:
    """Without ``shutdown`` the interpreter does what was submitted and ends; at exit ``submit`` is a RuntimeError."""
    with TemporaryDirectory() as folder:
        said = _run(make, f"for n in range(20): executor.submit(tasks.note, {folder!r}, n)")
        assert tasks.noted(folder) == [*range(20)]
    assert said == "refused"


@needs(lambda traits: traits.concurrent)
def check_end_of_the_interpreter_after_a_hasty_shutdown(make: Maker) -> None:
    """``shutdown(wait=False)`` just before the end hinders neither the calls nor the end."""
    with TemporaryDirectory() as folder:
        submit = f"for n in range(20): executor.submit(tasks.note, {folder!r}, n)"
        assert _run(make, f"{submit}\nexecutor.shutdown(wait=False)") == "refused"
        assert tasks.noted(folder) == [*range(20)]


def _run(make: Maker, work: str) -> str:
    """The output of a program that makes an executor and works; fails if it says anything on standard error."""
    options = {"max_workers": 2} if make.traits.concurrent else {}
    maker = pickle.dumps(make.make_executor)
    program = PROGRAM.format(path=sys.path, maker=maker, options=options, work=work)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout.strip()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _see(true: Any, otherwise: str) -> None:
    """Wait for the world to be so; looks again and again, as nothing tells when a process is gone."""
    deadline = monotonic() + PATIENCE / 3
    while not true():
        assert monotonic() < deadline, otherwise
        sleep(0.01)
