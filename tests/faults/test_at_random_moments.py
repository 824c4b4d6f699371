"""Signals at random moments, again and again: nothing is lost, nothing hangs, nothing is left."""

from __future__ import annotations

import itertools
import os
import random
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.faults import tasks
from tests.faults.innocent import works
from tests.faults.scripts import Program, eventually, pids_of, program

from okazja import Executor
from okazja.errors import WorkerDied

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

Open = Callable[..., Executor]

TIMES = 50
AT_ONCE = 5  # programs side by side
LONGEST = 0.3  # seconds that a program works before its signal comes
KILLED_WITHIN = 1.0  # seconds

WORK = """
    import itertools
    from okazja import Executor
    from tests.faults import tasks

    def work():
        with Executor("processes", 2) as executor:
            print("ready", flush=True)
            for turn in itertools.count():
                futures = [executor.submit(tasks.square, number) for number in range(200)]
                outcomes = list(executor.stream(tasks.echo, [(number,) for number in range(1000)]))
                assert all(outcome.value == outcome.item for outcome in outcomes), "a wrong outcome"
                assert len(outcomes) == 1000, "an outcome too few"
                assert list(executor.map(tasks.square, range(3000))) == [n * n for n in range(3000)]
                assert [future.result() for future in futures] == [n * n for n in range(200)]
                large = executor.submit(tasks.echo, bytes(1_000_000)).result()
                assert len(large) == 1_000_000
                executor.submit(tasks.die_at, "SIGKILL", turn, turn).exception()

    if __name__ == "__main__":
        work()
"""


def files() -> set[Path]:
    """Where something could be left behind."""
    return {path for folder in ("/dev/shm", tempfile.gettempdir()) for path in Path(folder).iterdir()}


@pytest.fixture
def seed() -> int:
    """Shown where a test fails; its moments follow from it, as far as the machine lets them."""
    return random.randrange(1 << 32)


def batches(folder: Path, seed: int) -> Iterator[tuple[list[Program], random.Random]]:
    """Programs that work, a few at a time; each has said so."""
    moments = random.Random(seed)
    for first in range(0, TIMES, AT_ONCE):
        with ExitStack() as stack:
            running = []
            for number in range(first, first + AT_ONCE):
                (folder / str(number)).mkdir()
                running.append(stack.enter_context(program(folder / str(number), WORK)))
            for each in running:
                assert each.line() == "ready"
            yield running, moments


def after(seconds: float) -> None:
    """Let a program get somewhere; where, is what chance decides."""
    threading.Event().wait(seconds)


def test_a_parent_that_is_killed(tmp_path: Path, seed: int) -> None:
    before = files()
    for running, moments in batches(tmp_path, seed):
        for each in running:
            after(moments.random() * LONGEST / AT_ONCE)
            each.kill()
        assert [each.survivors(KILLED_WITHIN) for each in running] == [[]] * AT_ONCE
    left = {path for path in files() - before if "okazja" in path.name or path.parent.name == "shm"}
    assert not left


def test_ctrl_c(tmp_path: Path, seed: int) -> None:
    for running, moments in batches(tmp_path, seed):
        for each in running:
            after(moments.random() * LONGEST / AT_ONCE)
            each.interrupt()
        for each in running:
            _, err = each.process.communicate(timeout=20)
            assert each.process.returncode == -signal.SIGINT
            assert err.count("Traceback (most recent call last)") == 1, err
            assert err.rstrip().endswith("KeyboardInterrupt"), err
            assert not each.survivors(KILLED_WITHIN)


def test_a_zygote_that_is_killed_under_load(open_executor: Open, seed: int) -> None:
    executor = open_executor()
    moments = random.Random(seed)
    killed: set[int] = set()
    outcomes: list[Any] = []
    due = 0

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            if len(killed) >= 10 and number % 1_000 == 0:
                return
            yield number

    # Workers that die all the time, so that the zygote is in the middle of something.
    for outcome in executor.stream(dies_at_every(500), numbers()):
        outcomes.append(outcome)
        if len(outcomes) >= due:
            due = len(outcomes) + moments.randrange(200, 800)
            zygote = zygote_now(executor)
            if zygote and zygote not in killed:
                killed.add(zygote)
                os.kill(zygote, signal.SIGKILL)
    assert sorted(outcome.index for outcome in outcomes) == list(range(len(outcomes)))
    failed = {outcome.index for outcome in outcomes if not outcome.ok}
    assert failed == set(range(499, len(outcomes), 500))
    assert all(isinstance(outcome.error, WorkerDied) for outcome in outcomes if not outcome.ok)
    assert all(outcome.value == outcome.item**2 for outcome in outcomes if outcome.ok)
    assert works(executor)


def dies_at_every(step: int) -> Callable[[int], int]:
    def task(number: int) -> int:
        return tasks.die_at("SIGKILL", number if number % step == step - 1 else -1, number)

    return task


def zygote_now(executor: Executor) -> int | None:
    """The process that has the youngest worker as its child, if that is a child of ours."""
    for pid in sorted(executor._processes, reverse=True):
        try:
            parent = psutil.Process(pid).parent()
            if parent is not None and parent.ppid() == os.getpid():
                return int(parent.pid)
        except psutil.NoSuchProcess:
            continue
    return None


def test_a_process_that_forks_while_calls_fly(open_executor: Open) -> None:
    executor = open_executor()
    pids_of(executor, 2)
    statuses: list[int] = []

    def fork_often() -> None:
        for _ in range(50):
            child = os.fork()
            if not child:
                os._exit(0)
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    forking = threading.Thread(target=fork_often)
    forking.start()
    while forking.is_alive():
        assert works(executor)
    forking.join()
    assert statuses == [0] * 50
    assert eventually(lambda: works(executor))
