"""The parent's requests reach a worker by a signal, which may come between any two of its steps."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Self, cast

import pytest

from okazja import Executor
from okazja._backends.launch import WorkerProcess
from okazja._backends.processes import ProcessBackend
from okazja._transport.arena import Arena, create
from okazja._transport.board import PID, Board
from okazja._transport.channel import Channel
from okazja._worker.logs import WorkerMouth
from okazja._worker.loop import BACK, Worker

Open = Callable[..., Executor]

PATIENCE = 30.0  # seconds for what should take none


class Mouth:
    """Stands in for a worker's end of its channel."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    def send(self, reply: tuple[Any, ...]) -> None:
        self.sent.append(reply)

    def receive(self) -> None:
        return None


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board.create(1, number=1, backend="processes", name="test")
    yield board
    board.close()


@pytest.fixture
def worker(board: Board) -> Iterator[Worker]:
    results = Arena(create(1))
    yield Worker(cast("WorkerMouth", Mouth()), board, 0, results)
    results.close()


# --- handing back ---------------------------------------------------------------------------------------


def handed_back(worker: Worker) -> list[Any]:
    return [number for _, what, body in cast("Mouth", worker._end).sent if what == BACK for number, _ in body]


def test_a_second_request_while_calls_are_given_back_gives_none_twice(worker: Worker) -> None:
    class Signalled(tuple[Any, ...]):
        __slots__ = ()

        def __getitem__(self, place: Any) -> Any:
            worker._hand_back()
            return super().__getitem__(place)

    entry = (7, b"", 0, b"", 0, 1, None, 0)
    worker._entries = deque([entry, Signalled((8, *entry[1:])), (9, *entry[1:])])
    worker._hand_back()
    assert sorted(handed_back(worker)) == [7, 8, 9]
    assert not worker._entries


def test_a_second_request_while_the_rest_of_a_chunk_is_given_back_splits_it_not(worker: Worker) -> None:
    class Rest:
        left = 2

        def __iter__(self) -> Self:
            return self

        def __length_hint__(self) -> int:
            return self.left

        def __next__(self) -> None:
            worker._hand_back()
            if not self.left:
                raise StopIteration
            self.left -= 1

    worker._number, worker._end_of_chunk = 7, 5
    worker._rest = Rest()
    worker._hand_back()
    assert handed_back(worker) == [7]


# --- where signals go ------------------------------------------------------------------------------------


def test_a_worker_shows_its_process_only_once_it_can_take_signals(
    worker: Worker, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    monkeypatch.setattr(signal, "signal", lambda *_: shown.append(board.words(0)[PID]))
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)
    worker.serve()
    assert shown == [0]
    assert board.words(0)[PID] == os.getpid()


def test_no_signal_goes_to_a_worker_that_runs_nothing(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[int] = []
    monkeypatch.setattr(WorkerProcess, "send_signal", lambda _, number: signals.append(number))
    backend = ProcessBackend()
    backend._spec = cast("Any", type("Spec", (), {"board": board}))
    port = WorkerProcess(1, 0, Channel(), cast("Any", None), "test-0", pid=4242)
    board.words(0)[PID] = 4242
    assert backend.reclaim(port, 0) == []
    assert not signals
    port.channel.close()


# --- in the middle of a record ---------------------------------------------------------------------------


def stand_in_a_record(_: int) -> None:
    """Be in the middle of a frame until the request has come."""
    (handler,) = logging.root.handlers
    mouth: WorkerMouth = handler._mouth  # type: ignore[attr-defined]
    mouth._writing = True
    while mouth._later is None:
        pass
    mouth._writing = False
    mouth._catch_up()


def test_a_timeout_in_the_middle_of_a_record_says_where_the_item_stood(open_executor: Open) -> None:
    executor = open_executor(max_workers=1)
    (outcome,) = executor.stream(stand_in_a_record, [1], item_timeout=0.2)
    assert isinstance(outcome.error, TimeoutError)
    assert "stand_in_a_record" in str(outcome.error.__cause__)


# --- who writes a record --------------------------------------------------------------------------------


@pytest.fixture
def mouth() -> Iterator[tuple[WorkerMouth, socket.socket]]:
    calls, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    replies, near = socket.socketpair()
    replies.setblocking(False)
    made = WorkerMouth(calls.detach(), near.detach())
    yield made, replies
    made.close()
    far.close()
    replies.close()


def has_frame(replies: socket.socket) -> bool:
    try:
        return bool(replies.recv(1 << 16))
    except BlockingIOError:
        return False


def test_a_record_is_left_to_the_thread_that_writes(mouth: tuple[WorkerMouth, socket.socket]) -> None:
    """And not asked for again and again until there is no stack left."""
    ours, replies = mouth
    locked, go = threading.Event(), threading.Event()

    def hold() -> None:
        with ours._lock:
            locked.set()
            go.wait(PATIENCE)

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(PATIENCE)
    ours.log({"name": "while another writes"})
    assert not has_frame(replies)
    go.set()
    holder.join()
    ours.send((0, "next", None))
    assert has_frame(replies)
    assert not ours._records


def test_a_record_of_a_finalizer_after_the_last_look_is_written_at_once(
    mouth: tuple[WorkerMouth, socket.socket],
) -> None:
    ours, replies = mouth

    class Records(deque[Any]):
        looks = 0

        def __bool__(self) -> bool:
            self.looks += 1
            if self.looks == 4:  # that which ends the loop: right after it, the finalizer runs
                self.append({"name": "of a finalizer"})
                return False
            return len(self) > 0

    ours._records = Records()
    ours.log({"name": "the first"})
    assert ours._records.looks > 4
    assert not len(ours._records)
    assert has_frame(replies)
