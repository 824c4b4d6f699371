"""Things to do at a certain time, done by a thread that is there only while something waits."""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable
from itertools import count
from time import monotonic

from okazja._backends.thread_limits import may_be_daemon

__all__ = ["Alarm"]

LINGER = 1.0  # seconds that the thread stays when nothing waits, so that short pauses don't start one each
LONGEST_WAIT = 3600.0  # seconds; waiting calls take no arbitrarily large number

Entry = list[object]  # [when, number, what to do, None once it was cancelled]

log = logging.getLogger("okazja")


class Alarm:
    """Thread-safe. What is to be done is called with no lock held, and must be quick."""

    def __init__(self, name: str) -> None:
        self._name = name
        # Re-entrant, because what waits may be finalized, and so cancelled, anywhere.
        self._lock = threading.RLock()  # entered by itself, as that of a run
        self._changed = threading.Condition(self._lock)
        self._waiting: list[Entry] = []  # a heap
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._linger = LINGER

    def at(self, when: float, action: Callable[[], None]) -> Entry:
        """Have something done at a time of the monotonic clock. Returns what `cancel` takes."""
        entry: Entry = [when, next(self._numbers), action]
        with self._lock:
            heapq.heappush(self._waiting, entry)
            if self._thread is None:
                thread = threading.Thread(
                    target=self._work, name=f"okazja-{self._name}-alarm", daemon=may_be_daemon()
                )
                try:
                    thread.start()
                except BaseException:  # nobody would do it
                    self._waiting.remove(entry)
                    heapq.heapify(self._waiting)
                    raise
                self._thread = thread
            elif self._waiting[0] is entry:
                self._changed.notify()
        return entry

    def cancel(self, entry: Entry) -> None:
        """Never mind."""
        with self._lock:
            entry[2] = None
            if self._waiting and self._waiting[0] is entry:
                self._changed.notify()

    def end(self) -> None:
        """Forget what waits, and return when the thread has ended; not for what an alarm does."""
        with self._lock:
            self._waiting.clear()
            self._linger = 0.0
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while (action := self._next()) is not None:
            try:
                action()
            except BaseException:
                log.exception("something that was due in %s could not be done", self._name)
            del action

    def _next(self) -> Callable[[], None] | None:
        """What is due next, once it is; None: nothing has come for a while."""
        with self._lock:
            while True:
                while self._waiting and self._waiting[0][2] is None:
                    heapq.heappop(self._waiting)
                if not self._waiting:
                    if not self._changed.wait(self._linger) and not self._waiting:
                        self._thread = None
                        return None
                    continue
                when: float = self._waiting[0][0]  # type: ignore[assignment]
                left = when - monotonic()
                if left > 0:
                    self._changed.wait(min(left, LONGEST_WAIT))
                    continue
                action: Callable[[], None] = heapq.heappop(self._waiting)[2]  # type: ignore[assignment]
                return action
