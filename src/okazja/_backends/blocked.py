"""Blocked event loops are seen: a thread looks at the loop now and then, while coroutines run on it.

Where it finds the loop in the middle of a task it asks the loop to answer, and if no answer comes for too long it says
which task it is and where it stands, once. A loop that only waits is not woken for this. A task that blocks for longer
than it may run is interrupted.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from contextlib import suppress
from itertools import takewhile
from time import monotonic, perf_counter
from types import FrameType
from typing import Any

from okazja._backends.base import Spec
from okazja._backends.coroutine_calls import Attempt, CoroutineCalls
from okazja._backends.thread_limits import may_be_daemon, raise_in
from okazja._core.timeouts import stop_call
from okazja._worker.interrupt import Interrupted

__all__ = ["BLOCKED_AFTER", "BlockWatch"]

BLOCKED_AFTER = 0.1  # seconds, the default
LOOKS = 4  # for each such time: what blocks for a quarter longer is certainly seen

log = logging.getLogger("okazja")


class BlockWatch:
    """Watches over one loop, from the thread that runs it. Its own thread is started with the first coroutine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, spec: Spec, running: CoroutineCalls) -> None:
        self._loop = loop
        self._name = spec.name
        self._running = running
        self._after = BLOCKED_AFTER if spec.blocked_after is None else spec.blocked_after
        self._thread = threading.get_ident()
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._rests = False  # the watcher has nothing to do
        self._owes_answer = False  # the loop does
        self._watcher: threading.Thread | None = None

    def busy(self) -> None:
        """A coroutine has begun."""
        if self._watcher is None and self._after <= threading.TIMEOUT_MAX:
            watcher = threading.Thread(
                target=self._watch, name=f"okazja-{self._name}-blocked", daemon=may_be_daemon()
            )
            with suppress(RuntimeError):  # no more threads: nobody watches, which harms nothing
                watcher.start()
                self._watcher = watcher
        elif self._rests:
            self._rests = False
            self._wanted.set()

    def close(self) -> None:
        """Nothing runs any more."""
        self._closed.set()
        self._wanted.set()
        if self._watcher is not None:
            self._watcher.join()

    # --- the watcher

    def _watch(self) -> None:
        while not self._closed.wait(self._after / LOOKS):
            if self._running.any_alive():
                self._look()
                continue
            self._wanted.clear()
            self._rests = True
            # Else one has begun meanwhile, or all is over, and nobody was seen to rest.
            if not self._running.any_alive() and not self._closed.is_set():
                self._wanted.wait()

    def _look(self) -> None:
        """If the loop is in the middle of a task, see whether that goes on for too long.

        One that runs through very many short steps is late as well, but each time another task is found.
        """
        suspect = asyncio.current_task(self._loop)
        if suspect is None:
            return
        self._owes_answer = True
        since, said = monotonic(), False
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # it was closed
            return
        while not self._closed.wait(self._after / LOOKS) and self._owes_answer:
            task = asyncio.current_task(self._loop)
            if task is not suspect:
                suspect, since, said = task, monotonic(), False
            elif task is not None and monotonic() - since >= self._after:
                said = said or self._say(task, monotonic() - since)
                self._interrupt_if_due(task)

    def _answer(self) -> None:
        self._owes_answer = False

    def _say(self, task: asyncio.Task[Any], seconds: float) -> bool:
        """Report a task; False if it has gone on just now."""
        frame = sys._current_frames().get(self._thread)
        inner = [*takewhile(lambda pair: not _is_below(pair[0]), traceback.walk_stack(frame))]
        if not inner or asyncio.current_task(self._loop) is not task or not self._owes_answer:
            return False
        item = f" (item {task.call.base})" if isinstance(task, Attempt) and task.call.base >= 0 else ""
        where, line = inner[0]
        log.warning(
            "%s%s has blocked the event loop of %s for %.2f s so far: it stands at line %d of %s, in %s. Await what "
            "waits, or submit what computes to threads or processes\n%s",
            task.get_name(),
            item,
            self._name,
            seconds,
            line,
            where.f_code.co_filename,
            where.f_code.co_name,
            "".join(reversed(traceback.StackSummary.extract(iter(inner)).format())).rstrip(),
        )
        return True

    def _interrupt_if_due(self, task: asyncio.Task[Any]) -> None:
        """Where a blocking task is overdue, nobody but this thread can end it: the loop's timers stand still.

        The exception lands where the loop's thread goes on. That is in the task, unless it left it in the very moment
        between the look and the act, after having been there for all of the time before.
        """
        if not isinstance(task, Attempt) or task.where is not None or not task.started:
            return
        call = task.call
        halt = getattr(call.sink, "halt", None)
        if halt is not None:
            stop_call(call, halt)
        if call.limit is None or perf_counter() < task.started + call.limit:
            return
        frame = sys._current_frames().get(self._thread)
        inner = takewhile(lambda pair: not _is_below(pair[0]), traceback.walk_stack(frame))
        lines = traceback.StackSummary.extract(inner).format()
        task.where = "".join(["Traceback (most recent call last):\n", *reversed(lines), "Interrupted"])
        if not task.done() and asyncio.current_task(self._loop) is task:
            raise_in(self._thread, Interrupted)


def _is_below(frame: FrameType) -> bool:
    """Whether this frame belongs to what runs a task rather than to the task."""
    return frame.f_globals.get("__name__") in {"okazja._backends.coroutine_calls", "asyncio.events"}
