"""Who has a permit is known at any moment: after foreign releases, forks, nested uses, and deaths among them."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sync import tasks
from tests.sync.moments import Steps, broken_into_at_each_step, done_at_each_step, in_a_fork

from okazja import Deadlock, Executor, OwnerDiedWarning
from okazja.sync.shared import shares
from okazja.sync.shared.layout import ORPHAN
from okazja.sync.shared.recovery import recover
from okazja.sync.shared.shares import MASK, held

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

HANG = 2.0  # seconds that nobody may wait longer


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor("processes", max_workers=2) as executor:
        yield executor


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
    with Executor("processes", max_workers=1) as other:
        asked = other.submit(tasks.answer, lock, answers, rounds)
        for number in range(rounds):
            lock.release()
            assert answers.get(timeout=HANG) == number
        assert asked.result(HANG) == rounds
        said = shares.holders(lock._words, lock._id)  # type: ignore[attr-defined]
        assert list(said.values()) == [1]
    with pytest.warns(OwnerDiedWarning):
        assert lock.acquire(timeout=HANG)


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


@pytest.mark.parametrize("step", range(1, 40, 3))
def test_a_handler_releases_it_for_another_in_the_middle_of_an_attempt(executor: Executor, step: int) -> None:
    """Then it is this thread's, or nobody's: the end of the one for whom it was released changes nothing."""
    lock = executor.Lock()
    with Executor("processes", max_workers=1) as other:
        assert other.submit(tasks.leave_with, lock).result()
        got = lock.acquire(
            blocking=False
        )  # the first use by a thread takes more, and no handler may come in between

        def release() -> None:
            with suppress(Deadlock):
                lock.release()

        def use() -> None:
            nonlocal got
            got = lock.acquire(timeout=0.01)

        with Steps(step, release, signals_only=True) as steps:
            use()
    if not steps.done:
        return  # the attempt was over earlier
    if got:
        assert in_a_fork(lambda: lock.acquire(timeout=0.7)) == 0  # time enough to look for the dead
        lock.release()
    assert lock.acquire(timeout=HANG)
    assert not lock.acquire(blocking=False)


@pytest.mark.filterwarnings("ignore::okazja.OwnerDiedWarning")
@pytest.mark.parametrize("step", range(1, 40, 3))
def test_an_orphan_is_released_while_another_tries(executor: Executor, step: int) -> None:
    lock = executor.Lock()
    assert executor.submit(tasks.die_with, lock).exception()
    while not lock._words[lock._id + ORPHAN]:  # type: ignore[attr-defined]
        pass

    def use() -> None:
        if lock.acquire(timeout=HANG):
            with suppress(RuntimeError):  # the other one has released it for this thread
                lock.release()

    def release() -> None:
        if not lock._region._inside:  # type: ignore[attr-defined]  # where another has to wait for this thread
            assert in_a_fork(lock.release) in {0, 99}  # released, or there was nothing to release

    with Steps(step, release, signals_only=True):
        use()
    assert lock.acquire(timeout=HANG)
    assert not lock.acquire(blocking=False)


def test_who_is_held_up_in_an_attempt_is_not_taken_for_the_owner(executor: Executor) -> None:
    """A has it, B is stopped in the middle of an attempt, C releases it, B gets it, A dies: it is still B's."""
    lock, taken, done = executor.Lock(), executor.Event(), executor.Event()
    pid = os.fork()
    if not pid:
        try:
            stop_in_an_attempt(lock)
            taken.set()
            done.wait()
        finally:
            os._exit(0)
    os.waitpid(pid, os.WUNTRACED)  # its first stop: it has used the lock, so its share is the older one
    with Executor("processes", max_workers=1) as other:
        assert other.submit(tasks.leave_with, lock).result()
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, os.WUNTRACED)
        lock.release()
        os.kill(pid, signal.SIGCONT)
        assert taken.wait(HANG)
    assert not lock.acquire(timeout=0.7)  # time enough to look for the dead
    done.set()
    os.waitpid(pid, 0)
    with pytest.warns(OwnerDiedWarning):
        assert lock.acquire(timeout=HANG)


def test_a_lock_that_another_has_released_can_not_be_released_again(executor: Executor) -> None:
    """Also where nobody could tell whose it was: another process is stopped in the middle of an attempt."""
    lock = executor.Lock()
    pid = os.fork()
    if not pid:
        try:
            stop_in_an_attempt(lock)
        finally:
            os._exit(0)
    os.waitpid(pid, os.WUNTRACED)  # its first stop, before the attempt
    lock.acquire()
    os.kill(pid, signal.SIGCONT)
    os.waitpid(pid, os.WUNTRACED)
    assert executor.submit(lock.release).exception() is None
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert lock.acquire(timeout=HANG)
    assert not lock.acquire(timeout=0.7)  # time enough to look for the dead


def stop_in_an_attempt(lock: Any) -> None:
    with lock:
        pass
    os.kill(os.getpid(), signal.SIGSTOP)
    attempt = lock._try

    def stop(blocking: bool) -> bool:
        lock._try = attempt
        os.kill(os.getpid(), signal.SIGSTOP)
        return bool(attempt(blocking))

    lock._try = stop
    lock.acquire()


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_the_news_of_a_death_survives_an_interrupt(executor: Executor, name: str) -> None:
    lock = getattr(executor, name)()
    slots = lock._slots
    steps = []

    def orphan() -> None:
        assert in_a_fork(lock.acquire) == 1
        recover(slots)

    def use() -> None:
        with lock:
            pass

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", OwnerDiedWarning)
        orphan()
        for step in broken_into_at_each_step(use):
            steps.append(step)
            assert lock.acquire(timeout=HANG)
            lock.release()
            assert len(told) == step
            orphan()
    assert steps or sys.version_info >= (3, 13)


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
