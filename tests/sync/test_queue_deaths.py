"""A queue is whole and goes on, whoever is killed with it in hand."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

from okazja import Executor, OwnerDiedWarning
from okazja.errors import WorkerDied

LARGE = 40_000  # elements of 8 bytes: a block of its own


def put_for_ever(queue: Any, who: int, large: bool) -> None:
    number = 0
    while True:
        queue.put((who, np.full(LARGE, number) if large else number))
        number += 1


def check(item: Any) -> tuple[int, int]:
    who, what = item
    if isinstance(what, np.ndarray):
        assert (what == what[0]).all()
        what[:] = -1  # it is the getter's own
        return who, int(np.unique(what)[0])
    return who, what


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_putters_killed_at_any_moment(large: bool) -> None:
    """Each item is whole, those of one putter are in order without a gap, and the next putter is not held up."""
    with Executor("processes", max_workers=2) as executor:
        queue, pids = executor.Queue(50), executor.Queue()

        def put(who: int) -> None:
            pids.put(os.getpid())
            put_for_ever(queue, who, large)

        for who in range(20):
            task = executor.submit(put, who)
            pid = pids.get(timeout=30)
            threading.Timer(0.002 + 0.0017 * who, kill, [pid]).start()
            expected = 0
            while not task.done() or queue.qsize():
                try:
                    owner, number = check(queue.get(timeout=0.05))
                except Exception:
                    assert not queue.qsize()
                    continue
                assert owner == who
                if not large:
                    assert number == expected
                expected += 1
            assert isinstance(task.exception(), WorkerDied)


def take_for_ever(queue: Any, pids: Any) -> None:
    pids.put(os.getpid())
    while True:
        queue.get()


def test_getters_killed_at_any_moment_take_one_item_each_at_most() -> None:
    with Executor("processes", max_workers=2) as executor:
        queue, pids = executor.Queue(), executor.Queue()
        for round_ in range(20):
            task = executor.submit(take_for_ever, queue, pids)
            pid = pids.get(timeout=30)
            timer = threading.Timer(0.001 + 0.0013 * round_, kill, [pid])
            timer.start()
            while timer.is_alive():
                queue.put(round_)
            assert isinstance(task.exception(30), WorkerDied)
            queue.put("still whole")
            before = time.monotonic()
            while queue.get(timeout=30) != "still whole":
                pass
            assert time.monotonic() - before < 5


def take_and_die(queue: Any) -> None:
    queue.get()
    queue.get()
    queue.task_done()
    kill(os.getpid())


def test_join_ends_when_those_who_took_items_are_gone() -> None:
    with Executor("processes", max_workers=1) as executor:
        queue = executor.Queue()
        queue.put(1)
        queue.put(2)
        task = executor.submit(take_and_die, queue)
        with pytest.warns(OwnerDiedWarning, match="died with 1 items"):
            queue.join()
        assert isinstance(task.exception(30), WorkerDied)
        queue.put(3)
        assert queue.get() == 3
        queue.task_done()
        queue.join()
        with pytest.raises(ValueError, match="too many times"):
            queue.task_done()


def take_large(queue: Any) -> None:
    arrays = [queue.get() for _ in range(3)]
    assert len(arrays) == 3
    kill(os.getpid())


def test_blocks_of_the_dead_are_used_again() -> None:
    with Executor("processes", max_workers=1) as executor:
        queue: Any = executor.Queue()
        for _ in range(20):
            for number in range(3):
                queue.put(np.full(LARGE, number))
            assert isinstance(executor.submit(take_large, queue).exception(), WorkerDied)
        blocks, first = 0, [w for w in queue._words[queue._blocks._place :][:20].tolist() if w]
        for block in first:
            while block:
                blocks += 1
                block = queue._words[(block >> 3) + 1]
        assert blocks <= 6


def test_an_unbounded_queue_holds_more_than_a_pipe() -> None:
    with Executor("processes", max_workers=1) as executor:
        queue = executor.Queue()
        for number in range(50_000):
            queue.put((number, "x" * 20))
        total = executor.submit(lambda queue: sum(queue.get()[0] for _ in range(50_000)), queue)
        assert total.result() == sum(range(50_000))
        assert queue.empty()


def test_an_array_arrives_writable_and_whole_and_the_sender_keeps_his() -> None:
    with Executor("processes", max_workers=1) as executor:
        queue, back = executor.Queue(), executor.Queue()

        def double(queue: Any, back: Any) -> None:
            array = queue.get()
            array *= 2
            back.put(array)

        mine = np.arange(1_000_000)
        task = executor.submit(double, queue, back)
        queue.put(mine)
        mine_then = mine.copy()
        assert (back.get() == 2 * mine_then).all()
        assert (mine == mine_then).all()
        task.result()


def take_many(queue: Any, take: int, finish: int, die: bool) -> int:
    """So many that it comes to take without the lock."""
    for _ in range(take):
        queue.get()
    for _ in range(finish):
        queue.task_done()
    if die:
        kill(os.getpid())
    return os.getpid()


def test_what_was_taken_without_the_lock_is_counted() -> None:
    """By a thread that others have kept from going on so, by one that takes its slot over, and up to its last item."""
    with Executor("processes", max_workers=1) as executor:
        queue: Any = executor.Queue()
        for number in range(1001):
            queue.put(number)
        executor.submit(take_many, queue, 300, 300, False).result()
        assert queue.get() == 300
        queue.task_done()
        first = executor.submit(take_many, queue, 300, 260, True)
        assert isinstance(first.exception(30), WorkerDied)
        second = executor.submit(take_many, queue, 400, 330, True)
        assert isinstance(second.exception(30), WorkerDied)
        with pytest.warns(OwnerDiedWarning, match="died with") as caught:
            queue.join()
        lost = [int(str(warning.message).split("with ")[1].split()[0]) for warning in caught]
        assert sum(lost) in {70, 110}  # those of the first may have been written off by who got its slot
        assert not queue.unfinished_tasks
        for number in range(200):
            queue.put(number)
        executor.submit(take_many, queue, 150, 150, False).result()
        assert queue.unfinished_tasks == 50
        executor.submit(take_many, queue, 50, 50, False).result()
        queue.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_goes_on_with_what_its_parent_has_taken_from() -> None:
    with Executor("processes", max_workers=1) as executor:
        queue: Any = executor.Queue()
        for number in range(300):
            queue.put(number)
        assert [queue.get() for _ in range(100)] == list(range(100))
        child = os.fork()
        if not child:
            try:
                right = [queue.get() for _ in range(200)] == list(range(100, 300))
                for _ in range(200):
                    queue.task_done()
            finally:
                os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert queue.unfinished_tasks == 100
        for _ in range(100):
            queue.task_done()
        queue.join()
