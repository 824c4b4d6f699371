"""Items that wait for each other never sit in one chunk, or behind each other in one worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.faults.scripts import eventually, pids_of
from tests.semantics.tasks import (
    announce_and_wait_for,
    double,
    identity,
    meet,
    record,
    thread_holds_the_gil_afterwards,
    wait_for,
    write_to,
)

from okazja import Executor

Open = Callable[..., Executor]
Fifo = Callable[[str], str]

TIMEOUT = 30.0  # seconds; a deadlock would last for ever


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_two_items_of_a_map_may_wait_for_each_other(backend: str, open_executor: Open, fifo: Fifo) -> None:
    path = fifo("meeting")
    results = open_executor(backend, 2).map(meet, [(path, 0), (path, 1)], timeout=TIMEOUT)
    assert list(results) == [-1, -1]


def test_also_after_tiny_items_have_made_chunks_large(open_executor: Open, fifo: Fifo) -> None:
    path = fifo("meeting")
    items = [*range(10_000), (path, 0), (path, 1), *range(500)]
    results = list(open_executor("processes", 2).map(meet, items, timeout=TIMEOUT))
    assert results == [*range(10_000), -1, -1, *range(500)]


def test_also_far_apart_in_one_chunk_and_more_than_once(open_executor: Open, fifo: Fifo) -> None:
    items: list[int | tuple[str, int]] = list(range(20_000))
    for position in (9_000, 12_000, 19_000):
        path = fifo(f"meeting-{position}")
        items[position], items[position + 40] = (path, 0), (path, 1)
    # One worker more than there are pairs: chunks run side by side, so all first halves may run at once.
    results = list(open_executor("processes", 4).map(meet, items, timeout=TIMEOUT))
    assert results == [item if isinstance(item, int) else -1 for item in items]


def test_also_in_a_stream(open_executor: Open, fifo: Fifo) -> None:
    path = fifo("meeting")
    items = [*range(5_000), (path, 0), (path, 1)]
    outcomes = list(open_executor("processes", 2).stream(meet, items))
    assert sorted(outcome.index for outcome in outcomes) == list(range(5_002))
    assert all(outcome.ok for outcome in outcomes)


def test_a_consumer_may_be_queued_ahead_of_its_producer(open_executor: Open, fifo: Fifo) -> None:
    executor = open_executor("processes", 2)
    for future in [executor.submit(identity, number) for number in range(500)]:
        future.result(TIMEOUT)
    for round_ in range(10):
        path = fifo(f"channel-{round_}")
        # The same function for all of them: its credit is high when the one that blocks is sent.
        before = [executor.submit(meet, number) for number in range(50)]
        consumer = executor.submit(meet, (path, 0))
        after = [executor.submit(meet, number) for number in range(50)]
        producer = executor.submit(meet, (path, 1))
        assert consumer.result(TIMEOUT) == producer.result(TIMEOUT) == -1
        assert [future.result(TIMEOUT) for future in (*before, *after)] == [*range(50), *range(50)]


def test_calls_unread_by_a_stopped_worker_are_done_by_another(open_executor: Open) -> None:
    executor = open_executor("processes", 2)
    workers = pids_of(executor, 2)
    for future in [executor.submit(identity, number) for number in range(300)]:
        future.result(TIMEOUT)
    stopped = executor.submit(stop_itself)
    waiting = [executor.submit(identity, number) for number in range(300)]
    try:
        assert [future.result(TIMEOUT) for future in waiting] == list(range(300))
        assert eventually(lambda: "stopped" in {psutil.Process(worker).status() for worker in workers})
        assert not stopped.done()
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
    assert stopped.result(TIMEOUT) == "went on"


def stop_itself() -> str:
    os.kill(os.getpid(), signal.SIGSTOP)
    return "went on"


def test_a_worker_that_was_kept_from_beginning_is_asked_again(open_executor: Open, fifo: Fifo) -> None:
    # A thread holds the GIL between the reply to one call and the mark of the next, which blocks.
    executor = open_executor("processes", 2)
    path = fifo("channel")
    for future in [executor.submit(identity, number) for number in range(500)]:
        future.result(TIMEOUT)
    other = executor.submit(wait_for, fifo("other"))
    results = executor.map(double, range(3))
    first = executor.submit(thread_holds_the_gil_afterwards, 0.5)
    consumer = executor.submit(wait_for, path)
    behind = executor.submit(identity, 1)
    producer = executor.submit(write_to, path)
    write_to(str(Path(path).with_name("other")))
    assert first.result(TIMEOUT) == "returned"
    assert consumer.result(TIMEOUT) == "written"
    assert producer.result(TIMEOUT) == "wrote"
    assert behind.result(TIMEOUT) == 1
    assert other.result(TIMEOUT) == "written"
    assert list(results) == [0, 2, 4]


def test_an_unknown_function_is_not_prefetched(open_executor: Open, fifo: Fifo, tmp_path: Path) -> None:
    executor = open_executor("processes", 2)
    path = fifo("channel")
    consumer = executor.submit(wait_for, path)
    others = [executor.submit(record, str(tmp_path / "log"), number) for number in range(20)]
    assert [future.result(TIMEOUT) for future in others] == list(range(20))
    write_to(path)
    assert consumer.result(TIMEOUT) == "written"


def test_a_call_that_was_sent_cannot_be_cancelled_and_one_that_waits_can(
    backend: str, open_executor: Open, fifo: Fifo
) -> None:
    if backend == "serial":
        pytest.skip("nothing waits in the calling thread")
    path = fifo("channel")
    executor = open_executor(backend, 1)
    running = executor.submit(wait_for, path)
    assert eventually(running.running)
    waiting = [executor.submit(wait_for, path) for _ in range(5)]
    assert not running.cancel()
    assert waiting[-1].cancel()
    cancelled = [future for future in waiting if future.cancel()]
    for _ in range(1 + len(waiting) - len(cancelled)):
        write_to(path)
        break
    assert running.result(TIMEOUT) == "written"


def test_cancel_futures_takes_back_what_was_sent_and_not_begun(
    open_executor: Open, fifo: Fifo, tmp_path: Path
) -> None:
    executor = open_executor("processes", 1)
    for future in [executor.submit(identity, number) for number in range(500)]:
        future.result(TIMEOUT)
    path = fifo("channel")
    marker = tmp_path / "marker"
    running = executor.submit(announce_and_wait_for, str(marker), path)
    assert eventually(marker.exists)
    behind = [executor.submit(identity, number) for number in range(100)]
    executor.shutdown(wait=False, cancel_futures=True)
    write_to(path)
    assert running.result(TIMEOUT) == "written"
    assert eventually(lambda: all(future.done() for future in behind))
    assert all(future.cancelled() or future.result() == n for n, future in enumerate(behind))
    assert behind[-1].cancelled()
