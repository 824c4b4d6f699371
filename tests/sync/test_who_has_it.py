"""Who has a permit is known at any moment: after foreign releases, forks, nested uses, and deaths among them."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sync import tasks
from tests.sync.moments import done_at_each_step

from okazja import Executor, OwnerDiedWarning
from okazja.sync.shared.shares import MASK, held

HANG = 2.0  # seconds that nobody may wait longer


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor("processes", max_workers=2) as executor:
        yield executor


def in_a_fork(action: Any) -> int:
    """Call it in a child of this process. What it returns, or 99 where it raised."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        pid = os.fork()
    if not pid:
        status = 99
        try:
            status = int(action())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def count(semaphore: Any, most: int) -> int:
    """How many permits are to be had, in time; all of them are given back."""
    got = 0
    while got <= most and semaphore.acquire(timeout=HANG if got < most else 0):
        got += 1
    semaphore.release(got)
    return got


def test_a_dead_ones_permit_comes_back_while_others_keep_theirs(executor: Executor) -> None:
    semaphore = executor.BoundedSemaphore(3)
    with Executor("processes", max_workers=1) as other:
        assert semaphore.acquire()
        assert other.submit(tasks.leave_with, semaphore).result()
        assert executor.submit(tasks.die_with, semaphore).exception()
        assert count(semaphore, 1) == 1


def test_what_another_gave_back_for_the_dead_does_not_come_back_twice(executor: Executor) -> None:
    semaphore = executor.BoundedSemaphore(3)
    with Executor("processes", max_workers=1) as other:
        pid = other.submit(tasks.leave_with, semaphore).result()
        assert other.submit(tasks.leave_with, semaphore).result() == pid
        semaphore.release()  # one of its two
        assert semaphore.acquire()
    with semaphore:  # its other one came back with its end; this thread has one
        assert count(semaphore, 1) == 1
    semaphore.release()
    assert count(semaphore, 3) == 3


def test_a_lock_that_was_released_for_the_dead_is_free(executor: Executor) -> None:
    lock = executor.Lock()
    with Executor("processes", max_workers=1) as other:
        assert other.submit(tasks.leave_with, lock).result()
        lock.release()
    with warnings.catch_warnings():
        warnings.simplefilter("error", OwnerDiedWarning)
        assert lock.acquire(timeout=HANG)
    assert not lock.acquire(blocking=False)


def test_and_is_whose_it_is_then(executor: Executor) -> None:
    """A has it, B releases it, C takes it, A dies: it is still C's."""
    lock = executor.Lock()
    with Executor("processes", max_workers=1) as other:
        assert other.submit(tasks.leave_with, lock).result()
        lock.release()
        assert executor.submit(tasks.leave_with, lock).result()
    assert not lock.acquire(timeout=0.7)  # long enough to look for the dead
    lock.release()
    assert lock.acquire(blocking=False)


def test_a_lock_as_a_signal(executor: Executor) -> None:
    """Taken by one thread, released by another, over and over."""
    lock = executor.Lock()
    lock.acquire()
    rounds = 200
    answers = executor.Queue()
    asked = executor.submit(tasks.answer, lock, answers, rounds)
    for number in range(rounds):
        lock.release()
        assert answers.get(timeout=HANG) == number
    assert asked.result(HANG) == rounds
    assert lock.locked()


def test_a_forked_child_has_nothing_of_its_parents(executor: Executor) -> None:
    lock, again = executor.Lock(), executor.RLock()
    lock, again = pickle.loads(pickle.dumps(lock)), pickle.loads(pickle.dumps(again))
    copy = pickle.loads(pickle.dumps(again))
    with lock, again, copy:
        assert in_a_fork(lambda: lock.acquire(blocking=False) or again.acquire(blocking=False)) == 0
        assert in_a_fork(again.release) == 99
        assert in_a_fork(copy.release) == 99
        assert not lock.acquire(blocking=False)
    assert in_a_fork(lambda: lock.acquire(timeout=HANG) and again.acquire(timeout=HANG)) == 1
    with pytest.warns(OwnerDiedWarning):
        assert lock.acquire(timeout=HANG)
    with pytest.warns(OwnerDiedWarning):
        assert again.acquire(timeout=HANG)


@pytest.mark.parametrize("name", ["Lock", "Semaphore", "BoundedSemaphore"])
def test_a_signal_handler_uses_it_in_the_middle_of_a_use(executor: Executor, name: str) -> None:
    made = getattr(executor, name)()
    with made:  # the first use by a thread takes more, and no handler may come in between
        pass

    def handler() -> None:
        if made.acquire(blocking=False):
            made.release()

    def use() -> None:
        with made:
            pass

    steps = []
    for step in done_at_each_step(use, handler):
        steps.append(step)
        assert made.acquire(blocking=False)
        assert not made.acquire(blocking=False)
        made.release()
    if len(steps) <= 1 and sys.version_info >= (3, 13):
        pytest.skip("this interpreter shows a tracer no place in which a signal's handler could run")
    assert len(steps) > 1


@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore"])
def test_many_threads_of_one_process_share_it_with_another_process(executor: Executor, name: str) -> None:
    made, value, times = getattr(executor, name)(), executor.Value("q", 0, lock=False), 300
    threads = [threading.Thread(target=tasks.increment, args=(made, value, times)) for _ in range(4)]
    others = [executor.submit(tasks.increment, made, value, times) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for other in others:
        other.result(20)
    assert value.value == 6 * times


@given(st.lists(st.sampled_from(["take", "back", "given"])), st.integers(0, MASK))
def test_a_share_says_what_was_taken_less_what_was_given_back(steps: list[str], so_far: int) -> None:
    """Whatever the two halves have counted so far: they go round."""
    took = gave = so_far  # the thread has none at first
    for step in steps:
        if step == "given":
            gave = (gave + 1) & MASK
        else:
            took = (took + (1 if step == "take" else -1)) & MASK
    expected = steps.count("take") - steps.count("back") - steps.count("given")
    assert held(took | gave << 32) == expected
