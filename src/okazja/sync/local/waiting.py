"""How threads and coroutines of one process wait: each at a bell of its own, which whoever has something for it rings.

A primitive keeps a deque of those that wait. To pop one and to ring it is to wake it; to be woken is a reason to look
again, never a promise. Who waits puts itself into the deque first, looks once more, and then sleeps: so no wake gets
lost. Nothing here holds a lock while anybody sleeps.

Two more may ring: `rouse`, for a thread in which an exception was raised from outside, and nobody else.
"""

from __future__ import annotations

import _thread
import threading
import weakref
from collections import deque
from time import monotonic
from typing import Any, NoReturn

from okazja.errors import Deadlock, NotPicklable
from okazja.sync.local import standstill
from okazja.sync.local.circles import forbid_circle, sleeps_no_more

__all__ = [
    "AsyncWaiter",
    "Home",
    "Local",
    "Waiter",
    "discard",
    "refuse_pickling",
    "rouse",
    "wake",
    "wake_all",
]

ALONE_SLICE = (
    0.05  # seconds after which a wait on serial looks whether there is still somebody who might end it
)
SERVANTS = (
    "okazja-journal",
    "okazja-progress",
    "okazja-waits",
)  # names of threads that run no code of the user's

_parked: dict[int, Waiter] = {}  # by thread; each thread writes its own entry


class Home:
    """The executor that a primitive belongs to; ``alone``: its tasks run in the calling thread, one at a time."""

    def __init__(self, backend: str, alone: bool = False) -> None:
        self.backend = backend
        self.alone = alone

    def born_with(self) -> weakref.WeakSet[threading.Thread] | None:
        """The threads that there are now: they don't know a primitive that is made now."""
        return weakref.WeakSet(threading.enumerate()) if self.alone else None


class Local:
    """A primitive that its users have by reference."""

    __slots__ = ("__weakref__", "_born_with", "_home")
    one_owner = False  # a lock, whose owner other threads wait for

    def __init__(self, home: Home) -> None:
        self._home = home
        self._born_with = home.born_with()

    def __reduce__(self) -> Any:
        refuse_pickling(type(self).__name__.removeprefix("Local"), self._home.backend)

    def _nobody_else(self) -> bool:
        """Whether no thread that may know this primitive is there to end a wait of this one."""
        here = threading.current_thread()
        born_with = self._born_with or ()
        for thread in threading.enumerate():
            if thread is here or thread.name.startswith(SERVANTS):
                continue
            if thread is threading.main_thread() or thread not in born_with:
                return False
        return True


def refuse_pickling(what: str, backend: str) -> NoReturn:
    """Raise NotPicklable for a primitive of this kind."""
    raise NotPicklable(
        f"a {what} of an executor with the backend {backend!r} is shared by reference and can't be pickled: make it "
        f"with the executor whose tasks use it, for worker processes one with 'processes'"
    )


class Waiter:
    """A thread that waits."""

    __slots__ = ("_bell",)

    def __init__(self) -> None:
        self._bell = _thread.allocate_lock()
        self._bell.acquire()

    def ring(self) -> None:
        """Wake it; again and again if need be."""
        try:
            self._bell.release()
        except RuntimeError:  # it rings already
            return

    def park(self, target: Local, deadline: float | None) -> bool:
        """Sleep until woken; False: the time is over. Raises Deadlock where that could never happen."""
        me = _thread.get_ident()
        _parked[me] = self
        try:
            if deadline is not None:
                left = deadline - monotonic()
                return left > 0 and self._bell.acquire(True, min(left, threading.TIMEOUT_MAX))
            if target._home.alone:
                return self._park_alone(target)
            if target.one_owner:
                forbid_circle(me, target)
            return self._park_for_ever(me, target)
        finally:
            _parked.pop(me, None)
            if target.one_owner:
                sleeps_no_more(me)

    def _park_for_ever(self, me: int, target: Local) -> bool:
        wait = standstill.Wait(self, target)
        standstill.waits[me] = wait
        try:
            while not self._bell.acquire(True, standstill.PAUSE):
                wait.sleeps += 1
                standstill.look()
            if wait.story:
                raise Deadlock(wait.story)
            return True
        finally:
            standstill.waits.pop(me, None)

    def _park_alone(self, target: Local) -> bool:
        while not self._bell.acquire(False):
            if target.one_owner:
                forbid_circle(_thread.get_ident(), target)
            if target._nobody_else():
                raise Deadlock(
                    f"this would wait for ever: {target!r} belongs to an executor with the backend 'serial', whose "
                    f"tasks run one after another in this thread, and no other thread is there to end the wait. Use "
                    f"'threads' or 'processes', or give the wait a timeout"
                )
            if self._bell.acquire(True, ALONE_SLICE):
                break
        return True


class AsyncWaiter:
    """A coroutine that waits."""

    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] | None = None
        self.renew()

    def renew(self) -> None:
        """Be ready for the next wake."""
        self._future = self._loop.create_future()

    def ring(self) -> None:
        """Wake it, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._wake, self._future)
        except RuntimeError:  # its loop is closed
            return

    @staticmethod
    def _wake(future: Any) -> None:
        if not future.done():
            future.set_result(None)

    async def park(self, deadline: float | None) -> bool:
        """Let the loop go on until woken; False: the time is over."""
        import asyncio

        future = self._future
        assert future is not None
        if deadline is None:
            await future
        else:
            try:
                await asyncio.wait_for(future, deadline - monotonic())
            except TimeoutError:
                return False
        self.renew()
        return True


def wake(waiters: deque[Any]) -> None:
    """Wake the first that waits, if any."""
    try:
        waiters.popleft().ring()
    except IndexError:
        return


def wake_all(waiters: deque[Any]) -> None:
    """Wake all that wait now."""
    for _ in range(len(waiters)):
        wake(waiters)


def discard(waiters: deque[Any], waiter: Any) -> bool:
    """Wait no more; False: it was woken already, so somebody else may have to be woken in its place."""
    try:
        waiters.remove(waiter)
    except ValueError:
        return False
    return True


def rouse(ident: int) -> None:
    """Wake a thread that waits for one of these primitives, so that it sees an exception raised in it from outside."""
    waiter = _parked.get(ident)
    if waiter is not None:
        waiter.ring()
