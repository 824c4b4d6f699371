"""How a task finds out that it is no longer wanted, whatever runs it."""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from time import monotonic

from okazja.errors import Interrupted

__all__ = ["CancellationToken", "current_token", "enter_worker", "group_token"]

LONGEST_WAIT = 3600.0  # seconds; a lock's wait takes no arbitrarily large number

# The token of the group that a task, or the code of its block, belongs to; None: no group of this process.
group_token: ContextVar[CancellationToken | None] = ContextVar("okazja_group_token", default=None)

_of_worker: Callable[[], CancellationToken] | None = (
    None  # in a worker process, gives the token of what it runs
)


class CancellationToken:
    """Says whether a task is still wanted; `current_token` gives a task its own. Thread-safe.

    It is looked at like a ``threading.Event``. Once set it stays so.
    """

    __slots__ = ("_set", "_watchers")

    def __init__(self) -> None:
        self._set = False
        # No lock around them: it may be set in a signal handler, in the middle of anything else here.
        self._watchers: deque[Callable[[], object]] = deque()

    def is_set(self) -> bool:
        """Whether the task is to end."""
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep for ``timeout`` seconds (default: for ever), or until the task is to end; True if it is."""
        end = None if timeout is None else monotonic() + timeout
        sleeper = _thread.allocate_lock()
        sleeper.acquire()
        self.watch(sleeper.release)
        try:
            while not self._set:
                left = LONGEST_WAIT if end is None else min(end - monotonic(), LONGEST_WAIT)
                if left <= 0:
                    break
                sleeper.acquire(timeout=left)
        finally:
            self.unwatch(sleeper.release)
        return self._set

    def check(self) -> None:
        """Raise ``okazja.Interrupted`` if the task is to end, so that its ``finally`` blocks run."""
        if self._set:
            raise Interrupted

    def set(self) -> None:
        """Tell those who look, wait or watch. The task itself is not interrupted by this."""
        self._set = True
        while True:
            try:
                watcher = self._watchers.popleft()
            except IndexError:
                return
            watcher()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Have something called, once, when this is set; at once if it is. It must be quick and raise nothing."""
        self._watchers.append(watcher)
        if self._set:
            self.set()

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Never mind."""
        try:
            self._watchers.remove(watcher)
        except ValueError:
            pass  # it was called

    def __repr__(self) -> str:
        return f"<okazja.CancellationToken {'set' if self._set else 'not set'}>"


def current_token() -> CancellationToken:
    """The cancellation token of the task that calls this, or of the group whose block does.

    Anywhere else it is one that nobody sets, so code that looks at it runs everywhere.
    """
    token = group_token.get()
    if token is not None:
        return token
    return _of_worker() if _of_worker is not None else CancellationToken()


def enter_worker(token: Callable[[], CancellationToken]) -> None:
    """This process is a worker: its tasks have the token that ``token`` gives, and none of the parent's."""
    global _of_worker
    _of_worker = token
    group_token.set(None)
