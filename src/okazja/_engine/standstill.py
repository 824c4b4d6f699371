"""Every task of an executor waits, and nobody is left who could end that: each wait becomes a Deadlock.

Workers tell when their tasks have waited for long. Then all of this has to hold, at two looks: every worker that has a
task waits for a primitive without a limit, and so do all of its threads; no call waits for a worker that is free; no
limit of time will end a task; in this process each thread waits for these tasks (a future, a map, the end of the
executor), or for a primitive as well; there are no other threads, processes, signal handlers. Where any of this is not
known for sure, there is no alarm. Only Ctrl-C could help, and whoever presses it is better told.
"""

from __future__ import annotations

import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from okazja._core.messages import Call
from okazja._transport.board import Mark
from okazja.sync.bystanders import waits_for_calls

if TYPE_CHECKING:
    from okazja._engine.engine import Engine
    from okazja.sync.shared.standstill import Parked

__all__ = ["Standstill"]

PAUSE = 0.5  # seconds between two looks, at least


class Standstill:
    """Looks for it, in the collector's thread. Belongs to one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: tuple[int, dict[int, Parked]] | None = None  # counts, and who waited, at the last look
        self._next = 0.0  # when to look again, at the earliest

    def look(self) -> None:
        """A worker's task has waited for long."""
        now = monotonic()
        if now < self._next:
            return
        self._next = now + PAUSE
        from okazja.sync.shared import standstill

        backend: Any = self._engine.backend  # the one whose workers tell of this
        slots = backend.slots_of_primitives()
        waits = standstill.parked(slots)
        if not waits or not self._nobody_else(waits):
            self._seen = None
            return
        counted = standstill.counts(slots)
        before = self._seen
        if before is None or before[0] != counted or not standstill.same(before[1], waits):
            self._seen = counted, waits
        elif standstill.in_vain(before[1], waits):
            self._seen = None
            standstill.end_waits(slots, waits, self._story(slots, waits))

    # --- who else there is

    def _nobody_else(self, waits: dict[int, Parked]) -> bool:
        """Whether those who wait are all that there are. What can change without them is looked at last."""
        calls = self._calls()
        if calls is None or not all(call.limit is None and call.stop is None for call in calls):
            return False
        frames = sys._current_frames()
        native = {thread.ident: thread.native_id for thread in threading.enumerate()}
        here = {wait.thread for wait in waits.values() if wait.pid == self._engine.owner}
        for ident, frame in frames.items():
            if ident == threading.get_ident() or native.get(ident) in here:
                continue
            if not self._is_awaited(waits_for_calls(ident, frame), calls):
                return False
        of_process: dict[int, int] = {}
        for wait in waits.values():
            of_process[wait.pid] = of_process.get(wait.pid, 0) + 1
        of_process[self._engine.owner] = len(frames)
        backend: Any = self._engine.backend
        return bool(backend.nobody_else(self._busy(), of_process))

    def _calls(self) -> list[Call] | None:
        """All calls that are not done; None: some may begin or go on without anybody's help."""
        engine = self._engine
        with engine.lock:
            scheduler = engine.scheduler
            workers = [worker for worker in scheduler.workers if worker.alive]
            held = [call for worker in workers for call in worker.held.values()]
            free = scheduler.has_free()
            starts = any(not worker.ready for worker in workers)
            behind = bool(scheduler.backlog) or any(len(worker.held) > 1 for worker in workers)
            if starts or (free and behind) or engine.retrying.unsettled():
                return None
            return [*held, *scheduler.backlog]

    def _busy(self) -> set[int]:
        """The numbers of the workers that have a task."""
        with self._engine.lock:
            return {worker.slot for worker in self._engine.scheduler.workers if worker.held}

    def _is_awaited(self, target: object | None, calls: list[Call]) -> bool:
        """Whether that is this executor, or one of the calls, or a map that one is of."""
        return target is self._engine or any(
            target is call.sink or (target is not None and target is getattr(call.sink, "run", None))
            for call in calls
        )

    # --- what to say

    def _story(self, slots: Any, waits: dict[int, Parked]) -> str:
        from okazja.sync.shared import standstill

        board = self._engine.board
        marks = {mark.pid: mark for mark in map(board.read, range(board.slots)) if mark.pid}
        names = {thread.native_id: thread.name for thread in threading.enumerate()}

        def name(wait: Parked) -> str:
            mark = marks.get(wait.pid)
            if mark is None:
                return f"thread {names.get(wait.thread, wait.thread)} of the executor's process"
            return f"worker {mark.slot} (process {wait.pid}), {_task(mark, wait)}"

        return "\n".join(
            [
                "every task of the executor waits, and so does all else that could end that:",
                *standstill.story(slots, waits, name),
                *self._unbegun(),
                "Have somebody put, set, release or notify what is waited for; use more workers, if a task is to do so",
                "that has not begun; or give the waits a timeout",
            ]
        )

    def _unbegun(self) -> list[str]:
        with self._engine.lock:
            number = sum(call.items for call in self._engine.scheduler.backlog)
            workers = len(self._engine.scheduler.workers)
        return [f"  {number} more have not begun: there are {workers} workers"] if number else []


def _task(mark: Mark, wait: Parked) -> str:
    item = f"(item {mark.index})" if mark.index is not None else ""
    thread = "" if wait.thread == mark.tid else f", its thread {wait.thread}"
    return f"{mark.text or 'a task'}{item}{thread}"
