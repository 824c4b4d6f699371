"""From the news of a map or a stream to whoever shows it: a thread looks at the counts now and then.

The threads that bring news only count. Where a view is slow, hangs or fails, nobody but its own thread notices.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple, Protocol

from okazja.progress.counts import Counter, Progress

__all__ = ["Place", "View", "Watched"]

log = logging.getLogger("okazja")


class View(Protocol):
    """Shows progress somewhere; used by one thread only."""

    pause: float  # seconds until it wants to look again

    def show(self, progress: Progress) -> None:
        """This far it is now. The last call has ``ended``. What it raises is logged and ends the calls."""


class Place(NamedTuple):
    """Where progress is shown."""

    make_view: Callable[[], View]  # called in the thread that shows it
    patience: float  # seconds that the end of the work waits for the last look, at most: a view may hang


class Watched:
    """An observer whose counts a view shows.

    find_place: called when the work begins; None where there is nothing to show, and no thread is started then.
    """

    def __init__(
        self,
        name: str,
        find_place: Callable[[], Place | None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._find_place = find_place
        self._patience = 0.0
        self._counter = counter = Counter(clock)
        # Called once a chunk, or once an item where items travel alone: straight to the counter.
        self.settled, self.retried, self.known = counter.settled, counter.retried, counter.known
        self._bell: SimpleQueue[None] = SimpleQueue()  # re-entrant: `ended` may come from a finalizer
        self._thread: threading.Thread | None = None

    def began(self, total: int | None) -> None:
        """Look from now on."""
        self._counter.begin(total)
        place = self._find_place()
        if place is None:
            return
        self._patience = place.patience
        # In the caller's context: a notebook tells by it which cell's output this is.
        thread = threading.Thread(
            target=copy_context().run,
            args=(_watch, self._name, place.make_view, self._counter, self._bell),
            name=f"okazja-progress-{self._name}",
            daemon=True,  # a callback may hang
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter ends
            log.warning("the progress of %s is not shown: %s", self._name, error)
            return
        self._thread = thread
        _live.add(self)

    def ended(self) -> None:
        """Show the last of it, and wait for that as long as its place is worth."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._bell.put(None)
        if thread is not threading.current_thread():
            thread.join(self._patience)

    def __del__(self) -> None:
        """Nobody can bring news any more."""
        if self._thread is not None:
            self._bell.put(None)

    def after_fork(self) -> None:
        """The child shows nothing."""
        self._thread = None
        self._counter.after_fork()


def _watch(name: str, make_view: Callable[[], View], counter: Counter, bell: SimpleQueue[None]) -> None:
    try:
        view = make_view()
        ended = False
        while not ended:
            ended = _rings(bell, view.pause)
            view.show(counter.look(ended))
    except BaseException:  # also a callback's SystemExit
        log.exception("showing the progress of %s failed; it is shown no further, the work goes on", name)


def _rings(bell: SimpleQueue[None], seconds: float) -> bool:
    try:
        bell.get(timeout=max(seconds, 0.0))
    except Empty:
        return False
    return True


_live: weakref.WeakSet[Watched] = weakref.WeakSet()


def _at_exit() -> None:
    """A thread that is writing when the interpreter ends could take standard error with it."""
    for watched in list(_live):
        watched.ended()


def _after_fork_in_child() -> None:
    for watched in list(_live):
        watched.after_fork()
    _live.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
