"""A process is killed at each bytecode of okazja's own in turn: what it had comes back, whole and once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
from tests.sync.moments import killed_at_each_step

from okazja import Executor, OwnerDiedWarning
from okazja.sync.shared import side
from okazja.sync.shared.recovery import recover
from okazja.sync.shared.slots import Slots

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    """Of which only the primitives are used: the processes are forked here, so that they can be killed at one step."""
    with Executor("processes", max_workers=1) as executor:
        yield executor


@pytest.fixture(params=[29, pytest.param(7, marks=pytest.mark.slow)])
def stride(request: pytest.FixtureRequest) -> int:
    """Every so manyth step; each takes some 20 ms."""
    return int(request.param)


def slots_of(executor: Executor) -> Slots:
    primitives: Any = executor._engine.backend.primitives
    slots: Slots = primitives.slots
    return slots


def hold(
    executor: Executor,
    stride: int,
    work: Callable[[], object],
    is_whole: Callable[[], object],
    before: Callable[[], object] = bool,
    most: int = 2000,
) -> None:
    slots = slots_of(executor)
    other = executor.Lock()

    def settled() -> None:
        with other:  # so that the thread has its slot: how it gets one is a test of its own
            pass
        work()

    steps = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OwnerDiedWarning)
        before()
        for step in killed_at_each_step(work if "slot" in work.__name__ else settled, stride, most):
            steps.append(step)
            recover(slots)  # what the death of a worker starts, and what a waiting thread does
            is_whole()
            assert not recover(slots)  # nothing is left in doubt
            before()
    assert steps


def lock_is_whole(lock: Any) -> Callable[[], None]:
    def check() -> None:
        assert lock.acquire(timeout=2)
        assert not lock.acquire(blocking=False) or lock._recursion_count() == 2
        while lock.locked():
            lock.release()

    return check


def semaphore_is_whole(semaphore: Any, permits: int) -> Callable[[], None]:
    def check() -> None:
        for _ in range(permits):
            assert semaphore.acquire(timeout=2)
        assert not semaphore.acquire(blocking=False)
        semaphore.release(permits)

    return check


def test_taking_a_slot(executor: Executor, stride: int) -> None:
    lock = executor.Lock()

    def take_slot() -> None:
        with lock:
            pass

    hold(executor, stride, take_slot, lock_is_whole(lock))


def test_rlock(executor: Executor, stride: int) -> None:
    lock = executor.RLock()

    def work() -> None:
        with lock, lock:
            pass

    hold(executor, stride, work, lock_is_whole(lock))


def test_release_of_a_lock_of_another_thread(executor: Executor, stride: int) -> None:
    lock = executor.Lock()

    def work() -> None:
        other = Thread(target=lock.acquire)
        other.start()
        other.join()
        lock.release()

    hold(executor, stride, work, lock_is_whole(lock))


def test_bounded_semaphore(executor: Executor, stride: int) -> None:
    semaphore = executor.BoundedSemaphore(3)

    def work() -> None:
        with semaphore, semaphore:
            pass

    hold(executor, stride, work, semaphore_is_whole(semaphore, 3))


def test_release_of_many(executor: Executor, stride: int) -> None:
    semaphore = executor.BoundedSemaphore(2)

    def work() -> None:
        semaphore.acquire()
        semaphore.acquire()
        semaphore.release(2)

    hold(executor, stride, work, semaphore_is_whole(semaphore, 2))


def test_a_wait_in_vain(executor: Executor, stride: int) -> None:
    """As long as this thread has the lock, the dead one may have had it as well: that is settled afterwards."""
    lock = executor.Lock()

    def work() -> None:
        assert not lock.acquire(timeout=0.0001)

    def whole() -> None:
        lock.release()
        recover(slots_of(executor))
        lock_is_whole(lock)()

    hold(executor, stride, work, whole, before=lock.acquire)


def test_condition(executor: Executor, stride: int) -> None:
    lock = executor.RLock()
    condition = executor.Condition(lock)

    def work() -> None:
        with condition:
            condition.notify()
            condition.wait(0.0001)

    hold(executor, stride, work, lock_is_whole(lock))


def test_barrier(executor: Executor, stride: int) -> None:
    barrier = executor.Barrier(1)

    def work() -> None:
        barrier.wait()

    def check() -> None:
        if barrier.broken:
            barrier.reset()
        assert barrier.wait(2) == 0

    hold(executor, stride, work, check)


@pytest.mark.parametrize("alone", [False, True], ids=["with the lock", "without the lock"])
def test_queue(executor: Executor, stride: int, alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if alone:  # at the third item already, and again after others were there
        monkeypatch.setattr(side, "FIRST_LIMIT", 1)
        monkeypatch.setattr(side, "MOST", 1)
    queue: Any = executor.Queue()

    def work() -> None:
        items = range(3 if alone else 1)
        for number in items:
            queue.put(number)
        assert [queue.get() for _ in items] == list(items)
        queue.task_done()

    def check() -> None:
        while not queue.empty():
            queue.get(timeout=2)
            queue.task_done()
        queue._look_for_dead()
        assert not queue.unfinished_tasks
        queue.put("next")
        assert queue.get(timeout=2) == "next"
        queue.task_done()

    hold(executor, 2 * stride if alone else stride, work, check, most=8000)
