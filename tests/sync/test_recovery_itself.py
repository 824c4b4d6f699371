"""Whoever gives back what the dead had may be killed, or broken into, at any step: somebody else does the rest."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.sync.moments import broken_into_at_each_step, in_a_fork, killed_at_each_step

from okazja import Executor
from okazja.sync.shared.recovery import recover
from okazja.sync.shared.slots import Slots

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::okazja.OwnerDiedWarning"),
    # What breaks in between `open` and its `with` leaves the file to be closed by its finalizer.
    pytest.mark.filterwarnings("ignore:.*FileIO name='/proc:pytest.PytestUnraisableExceptionWarning"),
]

HANG = 2.0  # seconds that nobody may wait longer


@pytest.fixture
def executor() -> Iterator[Executor]:
    """Of which only the primitives are used: processes are forked here, so that nobody else recovers."""
    with Executor("processes", max_workers=1) as executor:
        with executor.Lock():
            pass
        yield executor


def slots_of(executor: Executor) -> Slots:
    primitives: Any = executor._engine.backend.primitives
    slots: Slots = primitives.slots
    return slots


def die_with(primitive: Any) -> None:
    def hold() -> int:
        primitive.acquire()
        return 3

    assert in_a_fork(hold) == 3


def at_each_step(slots: Slots, how: str) -> Callable[[Callable[[], None]], Iterator[int]]:
    """Recover in a process that is killed at each step in turn, or in this one, where an exception breaks in."""

    def steps(before: Callable[[], None]) -> Iterator[int]:
        def work() -> None:
            recover(slots)

        before()
        for step in (
            killed_at_each_step(work, 61, 9000)
            if how == "killed"
            else broken_into_at_each_step(work, stride=17, most=9000)
        ):
            yield step
            before()

    return steps


WAYS = pytest.mark.parametrize("how", ["killed", "broken into"])


@WAYS
def test_a_lock_is_passed_on_once(executor: Executor, how: str) -> None:
    lock, slots = executor.Lock(), slots_of(executor)
    taken = 0
    for _ in at_each_step(slots, how)(lambda: die_with(lock)):
        recover(slots)
        assert lock.acquire(timeout=HANG)
        assert in_a_fork(lambda: lock.acquire(blocking=False)) == 0
        lock.release()
        assert not recover(slots)
        taken += 1
    assert taken > 1


@WAYS
def test_permits_come_back_once(executor: Executor, how: str) -> None:
    semaphore, slots = executor.BoundedSemaphore(3), slots_of(executor)
    taken = 0
    with semaphore:  # somebody who lives has one as well
        for _ in at_each_step(slots, how)(lambda: die_with(semaphore)):
            recover(slots)
            assert semaphore.acquire(timeout=HANG)
            assert semaphore.acquire(timeout=HANG)
            assert not semaphore.acquire(blocking=False)
            semaphore.release(2)
            taken += 1
    assert taken > 1
    recover(slots)  # what the last one to recover had in hand, or not, is settled when nobody has any
    assert not recover(slots)


@pytest.mark.parametrize("name", ["Condition", "Barrier"])
@WAYS
def test_those_who_wait_with_the_dead_are_told(executor: Executor, how: str, name: str) -> None:
    made: Any = executor.Barrier(3) if name == "Barrier" else executor.Condition()
    slots = slots_of(executor)
    threads: list[threading.Thread] = []

    def wait() -> None:
        with suppress(threading.BrokenBarrierError):
            if name == "Barrier":
                made.wait()
            else:
                with made:
                    made.wait()

    def before() -> None:
        if name == "Barrier":
            made.reset()
        threads[:] = [threading.Thread(target=wait)]
        threads[0].start()
        until(lambda: len(slots.sleepers(made._id)) == 1)
        pid = os.fork()
        if not pid:
            try:
                wait()
            finally:
                os._exit(0)
        until(lambda: len(slots.sleepers(made._id)) == 2)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    told = 0
    for _ in at_each_step(slots, how)(before):
        recover(slots)
        threads[0].join(HANG)
        assert not threads[0].is_alive()
        told += 1
    assert told > 1
    threads[0].join(HANG)  # of the last round, in which nothing happened to the one who recovered


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.0005)
