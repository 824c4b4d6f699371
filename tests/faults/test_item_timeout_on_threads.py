"""A thread can be interrupted, not killed: what can't be interrupted is left behind, and nobody else is hit."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait

import pytest

import okazja
from okazja import Executor, Outcome, RemoteTraceback

LIMIT = 0.1  # seconds


class Block:
    """Blocks threads in C code, where no interrupt reaches them, until the end of the test."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.left: list[threading.Thread] = []

    def __call__(self) -> None:
        self.left.append(threading.current_thread())
        os.read(self.read, 1)

    def release(self) -> None:
        os.write(self.write, b"x" * len(self.left))
        for thread in self.left:
            thread.join(10)
            assert not thread.is_alive()
        self.left.clear()


@pytest.fixture
def block() -> Iterator[Block]:
    block = Block()
    yield block
    block.release()
    os.close(block.read)
    os.close(block.write)


def compute_for_ever() -> None:
    number = 0
    while True:
        number += 1


def check(outcomes: list[Outcome[int, int]], count: int, guilty: set[int]) -> list[Outcome[int, int]]:
    assert sorted(outcome.index for outcome in outcomes) == list(range(count))
    assert all(outcome.value == outcome.item**2 for outcome in outcomes if outcome.index not in guilty)
    failed = [outcome for outcome in outcomes if outcome.index in guilty]
    assert all(isinstance(outcome.error, TimeoutError) for outcome in failed)
    assert all(outcome.ok for outcome in outcomes if outcome.index not in guilty)
    return failed


def at(hang: Callable[[], object], guilty: set[int]) -> Callable[[int], int]:
    def task(number: int) -> int:
        if number in guilty:
            hang()
        return number * number

    return task


@pytest.mark.parametrize("ordered", [False, True])
def test_a_loop_is_interrupted_and_its_finally_block_runs(
    ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ended = []

    def hang() -> None:
        name = threading.current_thread().name
        try:
            compute_for_ever()
        finally:
            ended.append(name)

    with Executor("threads", 2) as executor:
        outcomes = list(executor.stream(at(hang, {7, 8}), range(50), item_timeout=LIMIT, ordered=ordered))
        threads = {thread.name for thread in executor._threads}
    for failed in check(outcomes, 50, {7, 8}):
        assert str(failed.error).endswith(f"took longer than item_timeout={LIMIT} s and was interrupted")
        assert isinstance(failed.error.__cause__ if failed.error else None, RemoteTraceback)
        assert "in compute_for_ever" in str(failed.error.__cause__ if failed.error else "")
        assert LIMIT <= failed.seconds < LIMIT + 0.5
    assert len(ended) == 2
    assert set(ended) <= threads, "no thread was replaced"
    assert not caplog.records


def test_one_that_swallows_the_interrupt_has_timed_out_all_the_same() -> None:
    def hang() -> None:
        try:
            compute_for_ever()
        except BaseException:
            pass

    with Executor("threads", 1) as executor:
        [failed] = check(list(executor.stream(at(hang, {3}), range(6), item_timeout=LIMIT)), 6, {3})
    assert str(failed.error).endswith("and was interrupted")


@pytest.mark.parametrize("workers", [1, 2])
def test_what_blocks_is_left_behind(workers: int, block: Block, caplog: pytest.LogCaptureFixture) -> None:
    with Executor("threads", workers) as executor:
        outcomes = list(executor.stream(at(block, {3, 5, 6}), range(30), item_timeout=LIMIT))
        assert len(executor._threads) == workers, "others have taken their places"
        assert not executor._threads & set(block.left)
        assert executor.submit(pow, 2, 3).result(10) == 8
    failed = check(outcomes, 30, {3, 5, 6})
    names = sorted(thread.name for thread in block.left)
    assert len(names) == 3
    for outcome in failed:
        assert "could not be interrupted: it still runs in thread okazja-threads-" in str(outcome.error)
        assert "in __call__" in str(outcome.error.__cause__ if outcome.error else "")
    assert [(record.name, record.levelno) for record in caplog.records] == [("okazja", logging.WARNING)] * 3
    assert sorted(record.getMessage().split("thread ")[1].split(";")[0] for record in caplog.records) == names


def test_one_that_ends_after_it_was_left_behind_tells_nothing(block: Block) -> None:
    with Executor("threads", 1) as executor:
        stream = executor.stream(at(block, {0}), range(100), item_timeout=LIMIT)
        outcomes = [next(stream)]
        block.release()
        outcomes += stream
        assert executor.submit(pow, 2, 3).result(10) == 8
    check(outcomes, 100, {0})


def test_shutdown_does_not_wait_for_those_left_behind(block: Block) -> None:
    executor = Executor("threads", 2)
    stream = executor.stream(at(block, {0, 1}), range(10), item_timeout=LIMIT)
    began = time.monotonic()
    executor.shutdown(wait=True)  # begins while the threads are in their calls
    assert time.monotonic() - began < 10
    check(list(stream), 10, {0, 1})
    assert all(thread.is_alive() for thread in block.left)


def test_the_interpreter_does_not_wait_for_those_left_behind() -> None:
    script = (
        "import time; from okazja import Executor\n"
        "with Executor('threads', 2) as executor:\n"
        "    print([type(o.error).__name__ for o in executor.stream(time.sleep, [1000], item_timeout=0.1)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "['TimeoutError']\n"
    assert done.returncode == 0
    assert done.stderr.startswith("sleep took longer than item_timeout=0.1 s and could not be interrupted")
    assert len(done.stderr.splitlines()) == 1


def test_the_interpreter_waits_for_those_in_the_middle_of_a_call() -> None:
    script = (
        "import time; from okazja import Executor\n"
        "executor = Executor('threads', 1)\n"
        "executor.submit(lambda: (time.sleep(0.3), print('done')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_an_interrupt_never_lands_outside_of_its_item() -> None:
    """Items end at about the time of their limit, so that the two meet in every way there is."""

    def nap(number: int) -> int:
        end = time.monotonic() + 0.0014 + number % 9 * 0.0002
        while time.monotonic() < end:
            pass
        return number * number

    with Executor("threads", 2) as executor:
        threads = {executor.submit(threading.current_thread).result() for _ in range(2)}
        outcomes = list(executor.stream(nap, range(1500), item_timeout=0.002))
        check(outcomes, 1500, {outcome.index for outcome in outcomes if not outcome.ok})
        futures = [executor.submit(pow, number, 2) for number in range(500)]
        assert [future.result(10) for future in futures] == [number**2 for number in range(500)]
        assert threads <= set(executor._threads), "no thread has died of it"


def test_calls_without_a_limit_on_the_same_threads_are_left_alone() -> None:
    with Executor("threads", 2) as executor:
        futures = [executor.submit(time.sleep, 3 * LIMIT)]
        outcomes = list(executor.stream(at(compute_for_ever, {1, 2}), range(4), item_timeout=LIMIT))
        check(outcomes, 4, {1, 2})
        wait(futures, 10)
        assert futures[0].result() is None


def test_the_watcher_is_there_only_while_it_is_needed() -> None:
    def watchers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.endswith("-watcher")]

    with Executor("threads", 2) as executor:
        list(executor.stream(abs, range(100)))
        assert not watchers()
        outcomes = list(executor.stream(lambda _: len(watchers()), range(100), item_timeout=10))
        assert {outcome.value for outcome in outcomes} == {1}
        [watcher] = watchers()
        watcher.join(10)
        assert not watcher.is_alive()
        list(executor.stream(abs, range(100), item_timeout=10))
    assert not watchers(), "shutdown ends it at once"


@pytest.mark.parametrize("ordered", [False, True])
def test_with_retries(ordered: bool) -> None:
    tried = set()

    def task(number: int) -> int:
        if number % 10 == 0 and number not in tried:
            tried.add(number)
            compute_for_ever()
        return number * number

    with Executor("threads", 2) as executor:
        outcomes = list(executor.stream(task, range(50), item_timeout=LIMIT, retries=1, ordered=ordered))
    check(outcomes, 50, set())
    assert {outcome.index for outcome in outcomes if outcome.attempts == 2} == set(range(0, 50, 10))


def test_left_behind_and_retried(block: Block) -> None:
    tried = set()

    def task(number: int) -> int:
        if number == 2 and number not in tried:
            tried.add(number)
            block()
        return number * number

    with Executor("threads", 1) as executor:
        outcomes = list(executor.stream(task, range(5), item_timeout=LIMIT, retries=1, ordered=True))
    check(outcomes, 5, set())
    assert [outcome.attempts for outcome in outcomes] == [1, 1, 2, 1, 1]


def test_serial_refuses() -> None:
    message = r"item_timeout=5 means nothing to the backend 'serial', .*: leave it out, or use 'threads', 'asyncio' "
    message += "or 'processes'"
    with Executor("serial") as executor, pytest.raises(okazja.UnsupportedParameter, match=message):
        executor.stream(abs, [1], item_timeout=5)


TRACED = """
import sys, time
from okazja import Executor

def nap(_):
    time.sleep(0.01)

with Executor("threads", 4) as executor:  # some interrupts come when the item has just ended, and are withdrawn
    outcomes = list(executor.stream(nap, range(300), item_timeout=0.0101))

def trace(frame, event, arg):
    frame.f_trace_opcodes = True
    return trace

sys.settrace(trace)
(lambda: None)()
sys.settrace(None)
print(len(outcomes))
"""


def test_a_withdrawn_interrupt_leaves_nothing_that_a_tracer_stumbles_over() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRACED], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "300\n"
