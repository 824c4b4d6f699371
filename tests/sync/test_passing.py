"""The same program, primitives included, on threads and on processes: they are arguments like any other."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from okazja import Executor
from okazja.errors import BadInput, ExecutorShutdown, NotPicklable, UnsupportedHere

FACTORIES = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Queue", "Pipe")
ROUNDS = 200


def add(value: Any, times: int) -> None:
    for _ in range(times):
        with value.get_lock():
            value.value += 1


def test_a_value_under_its_lock_loses_no_increment(executor: Executor) -> None:
    value = executor.Value("i", 0)
    list(executor.map(add, [value] * 4, [ROUNDS] * 4))
    assert value.value == 4 * ROUNDS


def test_a_lock_inside_of_a_container_is_the_same_lock(executor: Executor) -> None:
    value = executor.Value("q", lock=executor.Lock())
    arguments: list[dict[str, Any]] = [{"value": value, "times": ROUNDS} for _ in range(4)]
    for future in [executor.submit(lambda given: add(**given), each) for each in arguments]:
        future.result()
    assert value.value == 4 * ROUNDS


def meet(barrier: Any, item: int) -> int:
    barrier.wait(30)
    return item


def test_two_items_meet_with_the_default_chunking(executor: Executor) -> None:
    barrier = executor.Barrier(2)
    assert list(executor.map(meet, [barrier] * 20, range(20))) == list(range(20))


def consume(numbers: Any, sums: Any) -> None:
    total = 0
    while (number := numbers.get()) is not None:
        total += number
        numbers.task_done()
    numbers.task_done()
    sums.put(total)


def test_a_producer_and_its_consumers_share_a_bounded_queue(executor: Executor) -> None:
    numbers, sums = executor.Queue(3), executor.Queue()
    consumers = [executor.submit(consume, numbers, sums) for _ in range(2)]
    for number in [*range(1000), None, None]:
        numbers.put(number)
    numbers.join()
    assert sums.get() + sums.get() == sum(range(1000))
    for consumer in consumers:
        consumer.result()


def wait_until(condition: Any, words: Any, number: int) -> bool:
    with condition:
        return bool(condition.wait_for(lambda: words[0] >= number, 30))


def test_a_condition_wakes_those_who_wait_for_what_has_changed(executor: Executor) -> None:
    condition, words = executor.Condition(), executor.Array("i", 1)
    waiting = [executor.submit(wait_until, condition, words, number) for number in (1, 2)]
    for number in (1, 2):
        with condition:
            words[0] = number
            condition.notify_all()
    assert all(future.result() for future in waiting)


def answer(connection: Any) -> None:
    while (number := connection.recv()) is not None:
        connection.send(number * number)


def test_a_pipe_carries_questions_and_answers(executor: Executor) -> None:
    here, there = executor.Pipe()
    task = executor.submit(answer, there)
    for number in range(50):
        here.send(number)
        assert here.recv() == number * number
    here.send(None)
    task.result()
    there.close()
    assert here.poll()
    with pytest.raises(EOFError):
        here.recv()
    with pytest.raises(BrokenPipeError):
        here.send(1)


def test_an_event_made_later_reaches_workers_that_run_already(executor: Executor) -> None:
    assert list(executor.map(abs, range(-4, 0))) == [4, 3, 2, 1]
    event = executor.Event()
    waiting = executor.submit(event.wait, 30)
    event.set()
    assert waiting.result() is True


def hold(semaphore: Any, inside: Any) -> int:
    with semaphore:
        with inside.get_lock():
            inside.value += 1
        seen = inside.value
        time.sleep(0.001)
        with inside.get_lock():
            inside.value -= 1
    return int(seen)


def test_a_semaphore_lets_no_more_in_than_it_has_permits() -> None:
    for backend in ("threads", "processes"):
        with Executor(backend, max_workers=4) as executor:
            semaphore, inside = executor.BoundedSemaphore(2), executor.Value("i")
            assert max(executor.map(hold, [semaphore] * 40, [inside] * 40)) <= 2
            assert semaphore.acquire(False)
            assert semaphore.acquire(False)
            assert not semaphore.acquire(False)


@pytest.mark.parametrize("name", FACTORIES)
def test_by_reference_means_that_it_cannot_be_pickled(name: str) -> None:
    with Executor("threads") as executor:
        made = getattr(executor, name)()
        with pytest.raises(NotPicklable, match="'threads'"):
            pickle.dumps(made)


def test_values_and_arrays_of_threads_are_not_copied_by_a_pickle() -> None:
    with Executor("threads") as executor:
        for made in (executor.Value("i"), executor.Array("i", 3)):
            with pytest.raises(NotPicklable, match="'threads'"):
                pickle.dumps(made)


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_nothing_is_made_after_shutdown(backend: str) -> None:
    executor = Executor(backend)
    executor.shutdown()
    with pytest.raises(ExecutorShutdown):
        executor.Lock()


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_what_makes_no_sense_is_refused_by_name(backend: str) -> None:
    with Executor(backend) as executor:
        for make, what in (
            (lambda: executor.Lock(on_owner_death="ignore"), "on_owner_death"),  # type: ignore[arg-type]
            (lambda: executor.Semaphore(-1), "-1"),
            (lambda: executor.Value("z"), "'z'"),
            (lambda: executor.Array("i", -1), "-1"),
            (lambda: executor.Value("i", lock=3), "3"),  # type: ignore[arg-type]
            (lambda: executor.Condition(3), "3"),  # type: ignore[arg-type]
        ):
            with pytest.raises(ValueError, match=what):
                make()
        with pytest.raises((BadInput, ValueError)):
            executor.Barrier(0)


def test_a_backend_without_primitives_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with Executor("threads") as executor:
        monkeypatch.setattr(type(executor._engine.backend), "primitives", None)
        with pytest.raises(UnsupportedHere, match="'threads' or 'processes'"):
            executor.Lock()


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("Queue", "three"),
        ("Queue", 1.5),
        ("Semaphore", 1.5),
        ("Semaphore", 2**32),  # the system's counters would take it for 0
        ("BoundedSemaphore", "five"),
        ("Barrier", 1.5),
    ],
)
def test_a_number_that_makes_no_sense_is_named(executor: Executor, name: str, argument: Any) -> None:
    with pytest.raises(BadInput, match=re.escape(repr(argument))):
        getattr(executor, name)(argument)
    with pytest.raises(BadInput, match=r"got 1\.5"):
        executor.Array("i", 1.5)


@pytest.mark.parametrize("name", ["Lock", "RLock", "Condition", "Semaphore"])
def test_no_timeout_may_be_said_as_none(executor: Executor, name: str) -> None:
    primitive = getattr(executor, name)()
    assert primitive.acquire(timeout=None)
    primitive.release()


STRUCTURE_OF_A_SCRIPT = """
import ctypes
from okazja import Executor

class Point(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("name", ctypes.c_char), ("x", ctypes.c_double)]

    def twice(self):
        return Point(self.name, 2 * self.x)

def change(value, array):
    value.x = value.twice().x
    array[1].x = 7
    return type(value.get_obj()) is Point

with Executor("processes", max_workers=1) as executor:
    value, array = executor.Value(Point, b"a", 2.5), executor.Array(Point, 2)
    print(executor.submit(change, value, array).result(), value.x, array[1].x, ctypes.sizeof(Point))
"""


def test_a_structure_that_a_script_defines() -> None:
    command = [sys.executable, "-c", STRUCTURE_OF_A_SCRIPT]
    assert subprocess.check_output(command, text=True, timeout=30) == "True 5.0 7.0 9\n"
