"""An exception breaks in wherever a signal handler can raise one: nothing is left taken, nobody is left waiting."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from threading import BrokenBarrierError
from typing import Any

import pytest
from tests.sync.moments import broken_into_at_each_step

from okazja import Executor

# What breaks in between `open` and its `with` leaves the file to be closed by its finalizer.
pytestmark = pytest.mark.filterwarnings("ignore:.*FileIO name='/proc:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    """Of which only the primitives are used, by this thread."""
    with Executor("processes", max_workers=1) as executor:
        with executor.Lock():
            pass
        yield executor


def hold(work: Callable[[], object], is_whole: Callable[[], object]) -> None:
    steps = []
    for step in broken_into_at_each_step(work):
        steps.append(step)
        is_whole()
    if len(steps) <= 1 and sys.version_info >= (3, 13):
        pytest.skip(
            "this interpreter shows a tracer no place of this in which a signal's handler could raise"
        )
    assert len(steps) > 1


def is_free(lock: Any) -> Callable[[], None]:
    def check() -> None:
        assert not lock.locked()
        assert lock.acquire(timeout=2)
        lock.release()

    return check


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_lock(executor: Executor, name: str) -> None:
    lock = getattr(executor, name)()

    def work() -> None:
        with lock:
            pass

    hold(work, is_free(lock))


def test_semaphore(executor: Executor) -> None:
    semaphore = executor.BoundedSemaphore(2)

    def work() -> None:
        with semaphore, semaphore:
            pass

    def check() -> None:
        assert semaphore.acquire(timeout=2)
        assert semaphore.acquire(timeout=2)
        assert not semaphore.acquire(blocking=False)
        semaphore.release(2)

    hold(work, check)


def test_a_wait_in_vain(executor: Executor) -> None:
    lock = executor.Lock()
    lock.acquire()

    def work() -> None:
        assert not lock.acquire(timeout=0.0001)

    def check() -> None:
        lock.release()
        assert lock.acquire(timeout=2)

    hold(work, check)
    lock.release()


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_condition(executor: Executor, name: str) -> None:
    lock = getattr(executor, name)()
    condition = executor.Condition(lock)

    def work() -> None:
        with condition:
            condition.wait(0.0001)

    def check() -> None:
        assert not condition._slots.sleepers(condition._id)  # type: ignore[attr-defined]  # nobody to notify in vain
        is_free(lock)()

    hold(work, check)


def test_event(executor: Executor) -> None:
    event = executor.Event()

    def check() -> None:
        assert not event._slots.sleepers(event._id)  # type: ignore[attr-defined]

    hold(lambda: event.wait(0.0001), check)


def test_barrier(executor: Executor) -> None:
    barrier = executor.Barrier(2)

    def work() -> None:
        with pytest.raises(BrokenBarrierError):
            barrier.wait(0.0001)

    def check() -> None:
        assert barrier.n_waiting == 0
        barrier.reset()

    hold(work, check)
