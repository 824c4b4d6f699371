"""Primitives of the processes backend: passed to tasks, and what becomes of them when processes end."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from tests.sync import tasks

from okazja import Deadlock, Executor, ExecutorShutdown, OwnerDied, OwnerDiedWarning, WorkerDied

HANG = 2.0  # seconds that nobody may wait longer


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor("processes", max_workers=2) as executor:
        yield executor


def eventually(condition: Any, seconds: float = HANG) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


NAMES = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"]


@pytest.mark.parametrize("name", NAMES)
def test_goes_to_workers_that_were_there_before(executor: Executor, name: str) -> None:
    executor.submit(int).result()
    primitive = getattr(executor, name)()
    assert executor.submit(tasks.pid_with, primitive).result() in executor._processes
    assert list(executor.map(len, [[primitive], {1: primitive}])) == [1, 1]
    assert pickle.loads(pickle.dumps(primitive)) == primitive


def test_goes_to_nested_executors(executor: Executor) -> None:
    lock = executor.Lock()
    assert executor.submit(tasks.nested, lock).result()
    assert not lock.locked()


@pytest.mark.parametrize("items", [2, 10, 300])
@pytest.mark.parametrize("workers", [2, 3])
def test_items_that_meet_sit_in_no_chunk_together(items: int, workers: int) -> None:
    with Executor("processes", max_workers=workers) as executor:
        barrier = executor.Barrier(2)
        found = list(executor.map(tasks.meet, [(barrier, number) for number in range(items)]))
    assert [number for number, _ in found] == list(range(items))
    assert sum(index for _, index in found) == items // 2


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_the_next_owner_is_warned(executor: Executor, name: str) -> None:
    lock = getattr(executor, name)()
    death = executor.submit(tasks.die_with, lock)
    assert isinstance(death.exception(), WorkerDied)
    start = time.monotonic()
    with pytest.warns(OwnerDiedWarning, match=f"process {death.exception().pid} died"), lock:  # type: ignore[union-attr]
        assert lock.locked()
    assert time.monotonic() - start < HANG
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert executor.submit(tasks.pid_with, lock).result()


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_or_is_told_by_an_error(executor: Executor, name: str) -> None:
    lock = getattr(executor, name)(on_owner_death="raise")
    assert executor.submit(tasks.die_with, lock).exception()
    with pytest.raises(OwnerDied) as told:
        lock.acquire(timeout=HANG)
    assert pickle.loads(pickle.dumps(told.value)).pid == told.value.pid
    assert lock.acquire(blocking=False)
    lock.release()


def test_permits_of_the_dead_come_back(executor: Executor) -> None:
    semaphore = executor.BoundedSemaphore(5)
    for _ in range(5):
        assert executor.submit(tasks.die_with, semaphore).exception()
    assert all(semaphore.acquire(timeout=HANG) for _ in range(5))
    assert not semaphore.acquire(blocking=False)
    semaphore.release(5)
    with pytest.raises(ValueError, match="too many times"):
        semaphore.release()


def test_a_worker_that_ends_in_good_order_gives_back_too() -> None:
    with Executor("processes", max_workers=1, max_tasks_per_child=1) as executor:
        semaphore = executor.BoundedSemaphore(1)
        executor.submit(tasks.leave_with, semaphore).result()
        assert semaphore.acquire(timeout=HANG)


def test_a_process_that_a_task_forked_is_missed_by_those_who_wait(executor: Executor) -> None:
    lock = executor.Lock()
    executor.submit(tasks.fork_and_die_with, lock).result()
    with pytest.warns(OwnerDiedWarning):
        assert lock.acquire(timeout=HANG)


def test_events_that_were_signalled_stay_so(executor: Executor) -> None:
    ready = executor.Semaphore(0)
    ready.release(2)
    assert executor.submit(tasks.die_with, ready).exception()
    assert ready.acquire(timeout=HANG)
    assert not ready.acquire(timeout=0.1)  # the dead one's is used up


def test_a_circle_is_an_error_that_shows_it(executor: Executor) -> None:
    first, second, there = executor.Lock(), executor.Lock(), executor.Barrier(2)
    futures = [
        executor.submit(tasks.take_both, first, second, there),
        executor.submit(tasks.take_both, second, first, there),
    ]
    errors = [error for future in futures if (error := future.exception(HANG)) is not None]
    assert len(errors) == 1
    assert isinstance(errors[0], Deadlock)
    assert str(errors[0]).count("waits for Lock") == 2


def test_a_party_that_dies_breaks_the_barrier(executor: Executor) -> None:
    barrier = executor.Barrier(3)
    waiting = [executor.submit(tasks.meet, (barrier, number)) for number in range(2)]
    eventually(lambda: barrier.n_waiting == 2)
    os.kill(min(executor._processes), signal.SIGKILL)
    kinds = {type(future.exception(HANG)) for future in waiting}
    assert kinds == {WorkerDied, threading.BrokenBarrierError}
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(HANG)


def test_whoever_waits_when_the_executor_ends_is_told() -> None:
    executor = Executor("processes", max_workers=1)
    event, told = executor.Event(), []

    def wait() -> None:
        try:
            event.wait()
        except ExecutorShutdown as error:
            told.append(error)

    executor.submit(int).result()
    thread = threading.Thread(target=wait)
    thread.start()
    executor.shutdown()
    thread.join(HANG)
    assert told
    event.set()  # what need not wait goes on
    assert event.wait()


def test_a_wait_is_interrupted_by_a_limit_of_time(executor: Executor) -> None:
    event = executor.Event()
    [outcome] = executor.stream(tasks.wait_for, [event], item_timeout=0.3)
    assert isinstance(outcome.error, TimeoutError)
    assert outcome.seconds < HANG


def test_a_ticket_to_an_executor_that_is_gone_is_refused() -> None:
    with Executor("processes", max_workers=1) as executor:
        pickled = pickle.dumps(executor.Lock())
    del executor
    import gc

    gc.collect()
    with pytest.raises(ExecutorShutdown, match="has ended"):
        pickle.loads(pickled)


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_a_condition_gives_back_its_lock_to_nobody_else_at_the_end(name: str) -> None:
    """Whoever waits has the lock again when `wait` raises, so that the end of its `with` frees no other's."""
    executor = Executor("processes", max_workers=1)
    condition = executor.Condition(getattr(executor, name)())
    inside, told = threading.Event(), []

    def wait() -> None:
        try:
            with condition:
                inside.set()
                condition.wait()
        except BaseException as error:
            told.append(type(error))

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert inside.wait(HANG)
    with condition:
        executor.shutdown()
        waiter.join(0.1)  # it may not end before the lock is free
        assert waiter.is_alive()
        assert condition._is_owned()
    waiter.join(HANG)
    assert told == [ExecutorShutdown]


def test_a_signal_handler_that_waits_as_well_costs_no_notification(executor: Executor) -> None:
    condition, event = executor.Condition(), executor.Event()

    def in_between(*_: object) -> None:
        event.wait(0.01)
        threading.Thread(target=notify).start()

    def notify() -> None:
        with condition:
            condition.notify()

    before = signal.signal(signal.SIGUSR1, in_between)
    try:
        with condition:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            start = time.monotonic()
            assert condition.wait(5)
            assert time.monotonic() - start < HANG
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_after_the_end_no_more_are_made(backend: str) -> None:
    with Executor(backend, max_workers=1) as executor:
        assert not executor.Lock().locked()
    with pytest.raises(ExecutorShutdown):
        executor.Lock()
