"""A wait that could never end is an error, and one that could is none."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from okazja import Executor
from okazja.errors import Deadlock


def take_both(first: Any, second: Any, barrier: Any) -> str:
    try:
        with first:
            barrier.wait(30)
            with second:
                return "both"
    except Deadlock as error:
        return str(error)


@pytest.mark.parametrize("make", ["Lock", "RLock"])
def test_one_of_a_circle_is_told_and_the_others_go_on(make: str) -> None:
    with Executor("threads", max_workers=3) as executor:
        locks = [getattr(executor, make)() for _ in range(3)]
        barrier = executor.Barrier(3)
        pairs = [(locks[n], locks[(n + 1) % 3], barrier) for n in range(3)]
        results = list(executor.map(lambda pair: take_both(*pair), pairs))
    (told,) = [result for result in results if result != "both"]
    assert told.startswith("this would wait for ever: ")
    assert told.count(" waits for ") == 3
    assert "test_deadlocks.py" in told


def test_a_lock_taken_twice_by_one_with_statement_inside_of_another() -> None:
    with Executor("threads") as executor:
        lock = executor.Lock()
        with lock, pytest.raises(Deadlock, match="held by itself"), lock:
            pass
        assert not lock.locked()


def test_a_lock_that_another_thread_may_give_back_is_no_circle() -> None:
    with Executor("threads") as executor:
        lock = executor.Lock()
        lock.acquire()
        task = executor.submit(lock.release)
        assert lock.acquire()
        task.result()


def test_a_wait_with_a_timeout_ends_by_itself() -> None:
    with Executor("threads") as executor:
        lock = executor.Lock()
        with lock:
            assert not lock.acquire(timeout=0.01)


def on_serial(what: str, executor: Executor) -> None:
    if what == "queue":
        executor.Queue().get()
    elif what == "full":
        queue = executor.Queue(1)
        queue.put(1)
        queue.put(2)
    elif what == "join":
        queue = executor.Queue()
        queue.put(1)
        queue.join()
    elif what == "lock":
        lock = executor.Lock()
        lock.acquire()
        lock.acquire()
    elif what == "condition":
        condition = executor.Condition()
        with condition:
            condition.wait()
    elif what == "pipe":
        executor.Pipe()[0].recv()
    elif what == "event":
        executor.Event().wait()
    else:
        executor.Semaphore(0).acquire()


WAYS = ("queue", "full", "join", "lock", "condition", "pipe", "event", "semaphore")


@pytest.mark.parametrize("what", WAYS)
def test_on_serial_nobody_else_can_end_a_wait(what: str) -> None:
    with Executor("serial") as executor:
        assert isinstance(executor.submit(on_serial, what, executor).exception(), Deadlock)
        with pytest.raises(Deadlock, match="would wait for ever"):
            on_serial(what, executor)


def test_on_serial_a_barrier_that_nobody_else_can_come_to() -> None:
    with Executor("serial") as executor:
        barrier = executor.Barrier(2)
        with pytest.raises(Deadlock):
            barrier.wait()
        assert barrier.broken


def test_on_serial_a_thread_of_the_users_may_end_it() -> None:
    with Executor("serial") as executor:
        queue = executor.Queue()
        started = threading.Event()

        def put() -> None:
            started.wait(30)
            queue.put("late")

        thread = threading.Thread(target=put)
        thread.start()

        def get() -> Any:
            started.set()
            return queue.get()

        assert executor.submit(get).result() == "late"
        thread.join()


def test_on_serial_it_is_an_error_as_soon_as_the_last_thread_has_gone() -> None:
    with Executor("serial") as executor:
        event, gone = executor.Event(), threading.Event()
        thread = threading.Thread(target=gone.wait, args=(30,))
        thread.start()
        threading.Thread(target=gone.set).start()
        with pytest.raises(Deadlock):
            event.wait()
        thread.join()
