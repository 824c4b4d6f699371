"""The marks that workers leave on their executors' boards, of this process and of others.

Other processes are read through ``/proc``, so they need not cooperate: one that hangs, or that was
stopped with SIGSTOP, is read like any other. Boards are mapped read-only.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from okazja._engine import live_engines
from okazja._transport.board import SLOT_BYTES, Board, Mark

__all__ = ["Work", "work_of_process"]

LINK = "/memfd:okazja-board"


@dataclass(frozen=True, slots=True)
class Work:
    """What one worker of an executor does now."""

    executor: str  # name of the executor, such as "processes-1"
    backend: str
    owner: int  # id of the process that the executor belongs to
    worker: int  # number of the worker in its executor, from 0
    pid: int
    tid: int  # native id of the worker's thread; 0 where it is not known
    function: str  # what it runs; empty when idle
    call: int  # number of the call it runs; 0 when idle
    item: int | None  # index of the running item in the input of its map or stream; None for a submitted call
    seconds: float | None  # for how long the call has been running; None when idle
    done: int  # items finished so far

    @property
    def busy(self) -> bool:
        """Whether the worker runs something."""
        return self.call != 0

    def __str__(self) -> str:
        who = f"worker {self.worker} of {self.executor}"
        if self.seconds is None:
            return f"{who}: idle, {self.done} done"
        what = self.function or "a task"
        where = f"(call {self.call})" if self.item is None else f"(item {self.item})"
        return f"{who}: {what} {where} for {self.seconds:.2f} s, {self.done} done"


def work_of_process(pid: int) -> list[Work]:
    """What the workers of the executors that process ``pid`` owns do now.

    Empty for another process where there is no ``/proc`` or no permission to read it.
    """
    boards = [engine.board for engine in live_engines()] if pid == os.getpid() else list(_boards_of(pid))
    now = time.monotonic_ns()  # one clock for all processes of the machine, as on the board
    return [
        _work(board, mark, now)
        for board in boards
        for mark in map(board.read, range(board.slots))
        if mark.pid  # 0: nobody has taken the slot yet
    ]


def _work(board: Board, mark: Mark, now: int) -> Work:
    busy = mark.call != 0
    return Work(
        executor=board.name,
        backend=board.backend,
        owner=board.owner,
        worker=mark.slot,
        pid=mark.pid,
        tid=mark.tid,
        function=mark.text if busy else "",
        call=mark.call,
        item=mark.index if busy else None,
        # A mark is read word by word while its worker goes on, so it may be newer than `now`.
        # 0: nothing of the call has begun.
        seconds=max(0, now - (mark.started_ns or now)) / 1e9 if busy else None,
        done=mark.done,
    )


def _boards_of(pid: int) -> Iterator[Board]:
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it ended, it is another user's, or there is no /proc
        return
    seen: set[int] = set()  # a process may hold several descriptors of one board: a mapping keeps its own
    for link in links:
        board = _open_board(link, seen)
        if board is not None and board.owner == pid:  # workers hold their owner's board as well
            yield board


def _open_board(path: Path, seen: set[int]) -> Board | None:
    if sys.platform != "linux":
        return None
    try:
        if not str(path.readlink()).startswith(LINK):
            return None
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        size = status.st_size
        if status.st_ino in seen:
            return None
        seen.add(status.st_ino)
        board = Board(mmap.mmap(fd, size, prot=mmap.PROT_READ), None)
    except (OSError, ValueError, struct.error):  # still empty, or of another version of okazja
        return None
    finally:
        os.close(fd)
    return board if SLOT_BYTES * (board.slots + 1) <= size else None
