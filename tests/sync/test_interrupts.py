"""A wait can be broken into, by an item's timeout or Ctrl-C, and then nothing is held by nobody."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import pytest

from okazja import Executor


def wait_for(what: str, made: Any) -> None:
    if what == "Condition":
        with made:
            made.wait()
    elif what == "Queue":
        made.get()
    elif what == "join":
        made.join()
    elif what == "Pipe":
        made[0].recv()
    elif what in ("Event", "Barrier"):
        made.wait()
    else:
        made.acquire()


def busy(executor: Executor, what: str) -> Any:
    """A primitive for which everybody waits."""
    if what == "join":
        queue = executor.Queue()
        queue.put(1)
        return queue
    made: Any = executor.Barrier(3) if what == "Barrier" else getattr(executor, what)()
    if what in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
        made.acquire()
    return made


WAYS = (
    "Lock",
    "RLock",
    "Semaphore",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Barrier",
    "Queue",
    "join",
    "Pipe",
)


@pytest.mark.parametrize("what", WAYS)
def test_an_items_timeout_ends_its_wait(executor: Executor, what: str) -> None:
    made = busy(executor, what)
    (outcome,) = executor.stream(lambda made: wait_for(what, made), [made], item_timeout=0.2)
    assert isinstance(outcome.error, TimeoutError)
    assert "was interrupted" in str(outcome.error)
    if what == "Lock":
        made.release()
        assert made.acquire(False)
    if what == "Condition":
        assert made.acquire(timeout=30)


class Alarm(Exception):
    """Raised by a handler of a signal, as Ctrl-C raises KeyboardInterrupt."""


def ring(*_: object) -> None:
    raise Alarm


@pytest.mark.parametrize("what", WAYS)
def test_a_signal_ends_the_wait_of_the_main_thread(executor: Executor, what: str) -> None:
    made = busy(executor, what)
    if what == "RLock":  # its owner has to be another thread
        made.release()
        owner = threading.Thread(target=made.acquire)
        owner.start()
        owner.join()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Alarm):
            wait_for(what, made)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ring_again(unraisable: Any) -> None:
    """An alarm went off inside of a finalizer, where it is swallowed: nobody would ever hear of it."""
    assert unraisable.exc_type is Alarm, unraisable
    signal.setitimer(signal.ITIMER_REAL, 1e-5)


def test_alarms_at_any_moment_leave_a_lock_free_or_held_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGALRM, ring)
    monkeypatch.setattr(sys, "unraisablehook", ring_again)
    with Executor("threads") as executor:
        lock, semaphore, queue = executor.Lock(), executor.Semaphore(1), executor.Queue()
        caught = 0
        try:
            for round_ in range(300):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 2e-5 + round_ * 1e-7)
                    while True:
                        taken = lock.acquire()
                        assert taken
                        lock.release()
                        semaphore.acquire()
                        semaphore.release()
                        queue.put(1)
                        queue.get()
                except Alarm:
                    caught += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
                if lock.locked():
                    lock.release()
                semaphore.acquire(False)
                semaphore.release()
                assert not semaphore.acquire(False) or not semaphore.acquire(False)  # one permit, not two
                semaphore.release()
                while not queue.empty():
                    queue.get()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert caught == 300
        assert lock.acquire(False)
