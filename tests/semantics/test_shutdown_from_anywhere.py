"""While one thread uses the executor another may shut it down: all that was taken is done, and nobody spins."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from tests.faults.scripts import eventually
from tests.semantics.tasks import identity

from okazja import Executor, Future
from okazja.testing.gate import Gate, wait_at

Open = Callable[..., Executor]

PATIENCE = 20.0  # seconds for what should take none


class Held:
    """Six items; the third comes only when it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def __len__(self) -> int:
        return 6

    def __iter__(self) -> Iterator[int]:
        for number in range(6):
            if number == 2:
                self.reached.set()
                assert self.let_go.wait(PATIENCE)
            yield number


def shut_down(executor: Executor) -> float:
    """CPU seconds of this thread in shutdown."""
    start = time.thread_time()
    executor.shutdown()
    return time.thread_time() - start


def test_while_a_sized_input_is_drawn(open_executor: Open, backend: str) -> None:
    executor = open_executor(backend)
    held = Held()
    with ThreadPoolExecutor(2) as threads:
        reader = threads.submit(lambda: list(executor.map(identity, held, timeout=PATIENCE)))
        try:
            assert held.reached.wait(PATIENCE)
            ending = threads.submit(shut_down, executor)
            assert eventually(lambda: "shut down" in repr(executor), PATIENCE)
            assert not ending.done()
            held.let_go.wait(0.3)  # the time in which it could spin
        finally:
            held.let_go.set()
        assert reader.result(PATIENCE) == list(range(6))
        assert ending.result(PATIENCE) < 0.15


@pytest.fixture
def hasty_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_switches")
@pytest.mark.parametrize("name", ["serial", "threads"])
def test_what_was_submitted_meanwhile_completes_or_is_refused(open_executor: Open, name: str) -> None:
    for _ in range(30):
        executor = Executor(name)
        executor.submit(identity, 0).result(PATIENCE)
        futures: list[Future[int]] = []
        begun = threading.Event()

        def submit(executor: Executor, futures: list[Future[Any]], begun: threading.Event) -> bool:
            try:
                for number in range(200):
                    futures.append(executor.submit(identity, number))
                    begun.set()
            except RuntimeError:
                begun.set()
            return True

        with ThreadPoolExecutor(1) as threads:
            submitter = threads.submit(submit, executor, futures, begun)
            assert begun.wait(PATIENCE)
            executor.shutdown()
            assert submitter.result(PATIENCE)
        for number, future in enumerate(futures):
            error = future.exception(PATIENCE)
            assert isinstance(error, RuntimeError) or future.result() == number


def ignore_sigterm(handler: Any) -> None:
    signal.signal(signal.SIGTERM, handler)


def handle_sigterm(*_: object) -> None:
    """Does nothing, as a program that means to end in its own time."""


@pytest.mark.parametrize("handler", [signal.SIG_IGN, handle_sigterm])
def test_terminated_workers_that_live_on_end_with_their_task(open_executor: Open, handler: Any) -> None:
    executor = open_executor("processes", 1, initializer=ignore_sigterm, initargs=(handler,))
    with Gate() as gate, ThreadPoolExecutor(1) as threads:
        future = executor.submit(wait_at, gate.address)
        gate.arrivals(1)
        executor.terminate_workers()
        assert isinstance(future.exception(PATIENCE), BrokenExecutor)
        ending = threads.submit(executor.shutdown)
        gate.open()
        ending.result(PATIENCE)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, handle_sigterm])
def test_terminated_workers_that_have_nothing_to_do_end(open_executor: Open, handler: Any) -> None:
    executor = open_executor("processes", 1, initializer=ignore_sigterm, initargs=(handler,))
    executor.submit(identity, 1).result(PATIENCE)
    executor.terminate_workers()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(executor.shutdown).result(PATIENCE)
