"""What the thread backend holds when threads come between each other at the worst moments; each is forced here."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Any

import pytest

import okazja._transport.board as board_module
from okazja import Executor
from okazja._backends.thread_limits import ThreadLimits
from okazja._backends.threads import ThreadBackend

PATIENCE = 20.0  # seconds for what should take none

start_thread = threading.Thread.start


def is_worker(thread: threading.Thread) -> bool:
    """Whether it is about to run calls."""
    return thread.name.startswith("okazja-threads-") and thread.name[-1].isdigit()


def test_everything_is_let_go_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last thread ends after the executor was closed, and before the one that closes it has gone on."""
    released: list[str] = []
    leave, close = ThreadBackend._leave, ThreadLimits.close
    left = threading.Event()

    def leave_and_tell(backend: ThreadBackend) -> None:
        leave(backend)
        left.set()

    def close_late(limits: ThreadLimits) -> None:
        assert left.wait(PATIENCE)
        close(limits)

    monkeypatch.setattr(ThreadBackend, "_leave", leave_and_tell)
    monkeypatch.setattr(ThreadLimits, "close", close_late)
    monkeypatch.setattr(ThreadBackend, "_release", lambda _: released.append(threading.current_thread().name))
    executor = Executor("threads", 1)
    executor.submit(abs, 1).result(PATIENCE)
    executor.shutdown()
    executor._engine.board.close()
    assert len(released) == 1


def test_a_board_gives_its_descriptor_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread closes the board while it is being closed."""
    board = board_module.Board.create(1, number=1, backend="threads", name="test")
    descriptor = board.fd
    closed: list[int] = []

    class System:
        def close(self, fd: int) -> None:
            closed.append(fd)
            if len(closed) < 3:
                board.close()
            os.close(fd)

    if descriptor is not None:
        monkeypatch.setattr(board_module, "os", System())
        board.close()
        assert closed == [descriptor]


def test_a_shutdown_waits_for_a_call_whose_thread_has_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    initialized: list[str] = []
    starting, closed, go_on = threading.Event(), threading.Event(), threading.Event()
    close = ThreadBackend.close

    def start_late(thread: threading.Thread) -> None:
        if is_worker(thread):
            starting.set()
            assert go_on.wait(PATIENCE)
        start_thread(thread)

    def close_and_tell(backend: ThreadBackend, signal: int | None) -> None:
        close(backend, signal)
        closed.set()

    monkeypatch.setattr(threading.Thread, "start", start_late)
    monkeypatch.setattr(ThreadBackend, "close", close_and_tell)
    executor = Executor("threads", 2, initializer=initialized.append, initargs=("yes",))
    with ThreadPoolExecutor(2) as threads:
        submitting: Future[Future[list[str]]] = threads.submit(executor.submit, initialized.copy)
        assert starting.wait(PATIENCE)
        ending = threads.submit(executor.shutdown)
        assert closed.wait(PATIENCE)
        assert not ending.done()
        go_on.set()
        ending.result(PATIENCE)
        assert submitting.result(PATIENCE).result(0) == ["yes"]


class Farewell:
    """Does something when a collection finds it."""

    def __init__(self, action: Any) -> None:
        self.action = action
        self.cycle = self

    def __del__(self) -> None:
        self.action()


@pytest.fixture
def collect(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Has a finalizer take an action when a worker thread has been ``"made"``, or is being ``"started"``."""
    due: dict[str, Callable[[], object]] = {}
    make = ThreadBackend._new_thread

    def at(moment: str) -> None:
        if moment in due:
            Farewell(due.pop(moment))
            gc.collect()

    def start(thread: threading.Thread) -> None:
        if is_worker(thread):
            at("started")
        start_thread(thread)

    def new_thread(backend: ThreadBackend) -> Any:
        thread = make(backend)
        at("made")
        return thread

    monkeypatch.setattr(ThreadBackend, "_new_thread", new_thread)
    monkeypatch.setattr(threading.Thread, "start", start)
    return due.__setitem__


@pytest.mark.parametrize("moment", ["made", "started"])
def test_a_finalizer_may_submit(moment: str, collect: Callable[[str, Callable[[], object]], None]) -> None:
    futures: list[Future[int]] = []
    with Executor("threads", 4) as executor:
        collect(moment, lambda: futures.append(executor.submit(abs, -2)))
        assert executor.submit(abs, -1).result(PATIENCE) == 1
        [future] = futures
        assert future.result(PATIENCE) == 2
        assert sorted(thread.name for thread in executor._threads) == [
            f"okazja-{executor._engine.name}_{slot}" for slot in range(2)
        ]


def test_a_finalizer_may_close_while_a_thread_is_made(
    collect: Callable[[str, Callable[[], object]], None],
) -> None:
    """The call that came too late is refused, and nothing of it stays."""
    executor = Executor("threads", 4)
    collect("made", lambda: executor.shutdown(wait=False))
    assert isinstance(executor.submit(abs, -1).exception(PATIENCE), RuntimeError)
    executor.shutdown()
    assert not executor._threads
    assert executor._engine.board.fd is None


class Stuck:
    """Blocks a thread where no interrupt reaches it, until it is let go."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()

    def __call__(self, number: int) -> int:
        if number == 0:
            os.read(self.read, 1)
        return number


@pytest.mark.parametrize("workers", [1, 2])
def test_no_thread_can_take_the_place_of_one_left_behind(
    workers: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it was the last, all calls fail; else the others go on."""
    stuck = Stuck()
    full = threading.Event()

    def start(thread: threading.Thread) -> None:
        if is_worker(thread) and full.is_set():
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    executor = Executor("threads", workers)
    try:
        stream = executor.stream(stuck, range(3), item_timeout=0.1, ordered=True)
        left = set(executor._threads)
        full.set()
        monkeypatch.setattr(threading.Thread, "start", start)
        first, *others = list(stream)
        assert isinstance(first.error, TimeoutError)
        if workers == 1:
            assert all(isinstance(outcome.error, BrokenExecutor) for outcome in others)
            with pytest.raises(BrokenExecutor, match="no thread is left to run calls"):
                executor.submit(abs, 1)
        else:
            assert [outcome.value for outcome in others] == [1, 2]
            full.clear()
            assert list(executor.map(abs, range(50))) == list(range(50))
            assert len(executor._threads) == workers
    finally:
        os.write(stuck.write, b"x")
        for thread in left:
            if thread.name.endswith("_0"):
                thread.join(PATIENCE)
        executor.shutdown()
        os.close(stuck.read)
        os.close(stuck.write)
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage().endswith("no other thread can take its place: can't start new thread")
