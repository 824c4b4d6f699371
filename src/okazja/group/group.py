"""The group: a block that none of its tasks outlives.

    submit ─▶ Place (a pool, or workers of its own) ─▶ Member (a Future) ─▶ finish ─▶ the end of the block

Tasks come back in whatever thread brings them. The first failure cancels the group there and then; the end of
the block waits until no task is left, and raises what there is to raise (see okazja.group.ending).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextvars import Token as Reset
from enum import Enum
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, ParamSpec, Self, TypeVar, overload

from okazja._core.messages import Stop
from okazja._engine import Future
from okazja._engine.alarm import Alarm
from okazja._worker.cancellation import CancellationToken, group_token
from okazja.errors import BadInput, GroupCancelled, GroupClosed, Interrupted, describe
from okazja.group.ending import Ending
from okazja.group.member import HALT, Member, is_cancellation
from okazja.group.places import OwnWorkers, Place

if TYPE_CHECKING:
    from okazja.group.loop_side import LoopSide

__all__ = ["Group"]

P = ParamSpec("P")
T = TypeVar("T")


class Phase(Enum):
    """Where in its life a group is."""

    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


class Group:
    """A block, ``with`` or ``async with``, each of whose tasks has a thread, a process or an asyncio task of its own.

    backend: ``"threads"``, ``"processes"``, or ``"asyncio"``, whose tasks are coroutine functions that run in the loop
    of an ``async with``. `Executor.group` gives a group on the executor's workers instead.
    deadline: seconds from the beginning of the block; then what is left is cancelled. Default: none.
    name: the beginning of the names of threads, and the name of asyncio tasks.

    The block ends when all tasks have ended, and their threads or processes with them. The first failure, of a task
    or of the block's own code, cancels the group: what has not begun never begins; processes are interrupted, so that
    ``finally`` blocks run, and killed a second later; asyncio tasks are cancelled; threads can only be told, see
    `okazja.current_token`. Then the block raises an ExceptionGroup with all failures. After the deadline it raises
    TimeoutError; if there were failures too, it stands in their group.

    KeyboardInterrupt passes as it is. While threads go on all the same, a second one leaves them behind.
    """

    def __init__(
        self,
        backend: Literal["threads", "processes", "asyncio"] | Place,
        *,
        deadline: float | None = None,
        name: str = "",
    ) -> None:
        if deadline is not None and not _is_time(deadline):
            raise BadInput(
                f"deadline must be a number of seconds from 0 on, or None for any, got {deadline!r}"
            )
        self.token = CancellationToken()
        self.halt: Stop | None = None
        self._place = _own_place(backend, name) if isinstance(backend, str) else backend
        self._deadline = deadline
        self._lock = threading.RLock()  # around what follows; re-entrant, because a finalizer may end a task
        self._phase = Phase.NEW
        self._members: set[Member[Any]] = set()  # tasks that are not done
        self._tasks = 0  # submitted so far
        self._failures: list[BaseException] = []
        self._why = ""  # the group was cancelled; empty: it was not
        self._overdue: TimeoutError | None = None
        self._around: CancellationToken | None = None  # of the group in whose task or block this one is
        self._ended_from_around = False
        self._reset: Reset[CancellationToken | None] | None = None
        self._alarm: Alarm | None = None
        self._side: LoopSide | None = None  # of the event loop that runs the block

    @overload
    def submit(
        self, fn: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...

    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have ``fn(*args, **kwargs)`` run; returns its future, which is cancelled if the group is.

        Tasks may do so too, where they share memory. Raises GroupCancelled once the group was cancelled, GroupClosed
        outside of the block, and what ``Executor.submit`` raises.
        """
        member: Member[Any] = Member(self)
        try:
            with self._lock:
                self._check_open()
                self._members.add(member)
                self._tasks += 1
            try:
                self._place.start(member, fn, args, kwargs)
            except BaseException:
                member.cancel()  # unless it has begun all the same
                raise
            if self.halt is not None:  # since the look at the beginning
                self._place.stop(self, self.halt)
            return member
        finally:
            del member  # the frames of an exception lead here

    def _check_open(self) -> None:
        if self._phase is not Phase.OPEN:
            remedy = "open it with `with`" if self._phase is Phase.NEW else "submit inside of it"
            raise GroupClosed(f"this group's block {_WHEN[self._phase]}, so it takes no tasks: {remedy}")
        if self._why:
            raise GroupCancelled(f"this group takes no more tasks, because {self._why}")

    def cancel(self) -> None:
        """End the tasks; the block ends when they have, and without an error if none has failed."""
        self._cancel("it was cancelled")

    @property
    def cancelled(self) -> bool:
        """Whether the group was cancelled, by a failure, its deadline or `cancel`."""
        return bool(self._why)

    def __repr__(self) -> str:
        state = "cancelled" if self._why and self._phase is Phase.OPEN else self._phase.value
        return f"<okazja.Group on {self._place.name}, {state}, {len(self._members)} of {self._tasks} tasks to go>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a group can't travel to another process: pass values, and open a group of its own in the task"
        )

    # --- tasks come back, in any thread -----------------------------------------------------------------

    def finish(self, member: Member[Any]) -> None:
        """A task is done. Whoever sees that first says so; saying it again does nothing."""
        error = member.failure()
        with self._lock:
            if member not in self._members:
                return
            self._members.discard(member)
            if error is not None:
                self._failures.append(error)
            empty = not self._members
        if error is not None and not self._why:
            self._cancel(f"{member.name or 'a task'} failed: {describe(error)}")
        if empty and self._side is not None:
            self._side.wake()

    def _cancel(self, why: str, overdue: TimeoutError | None = None) -> None:
        """End the tasks. To do so again does no harm: an exception may have broken into the last time."""
        with self._lock:
            if self._phase is Phase.CLOSED:
                return
            first = not self._why
            if first:
                self._why, self._overdue = why, overdue
            self.halt = HALT
        self.token.set()
        self._place.stop(self, self.halt)
        if first and self._side is not None:
            self._side.cancel_block()

    def _expire(self) -> None:
        overdue = TimeoutError(
            f"the group's deadline={self._deadline:g} s passed with {len(self._members)} of its {self._tasks} tasks "
            f"not done; they were cancelled"
        )
        self._cancel("its deadline has passed", overdue)

    def _end_from_around(self) -> None:
        self._ended_from_around = True
        self._cancel("the group around it was cancelled")

    # --- the block --------------------------------------------------------------------------------------

    def _open(self, *, in_loop: bool) -> None:
        if self._phase is not Phase.NEW:
            raise GroupClosed(
                f"this group's block {_WHEN[self._phase]}, and can't be opened again: make a new group"
            )
        self._place.enter(in_loop=in_loop)
        if self._deadline is not None:
            self._alarm = Alarm(self._place.name)
            try:
                self._alarm.at(monotonic() + self._deadline, self._expire)
            except BaseException:  # no more threads
                self._place.close()
                raise
        self._phase = Phase.OPEN
        self._around = group_token.get()
        self._reset = group_token.set(self.token)
        if self._around is not None:
            self._around.watch(self._end_from_around)

    def _some_member(self) -> Member[Any] | None:
        """A task to wait for; None: there is none, and from now on there won't be."""
        with self._lock:
            for member in self._members:
                return member
            self._phase = Phase.CLOSED
            return None

    def _leave(self) -> Callable[[], object] | None:
        """All tasks are done. What is left to wait for, if anything."""
        if self._around is not None:
            self._around.unwatch(self._end_from_around)
        if self._alarm is not None:
            self._alarm.end()
        reset, self._reset = self._reset, None
        if reset is not None and group_token.get() is self.token:
            try:
                group_token.reset(reset)
            except ValueError:
                pass  # the block was opened in another context, which has ended
        return self._place.close()

    def _ending(self, body: BaseException | None, *, late: bool) -> BaseException | None:
        ending = Ending(
            self._place.name, self._tasks, self._failures, body, late, self._overdue, self._ended_from_around
        )
        error = ending.error()
        self._failures = []  # their frames may lead here
        self._overdue = None
        return error

    def __enter__(self) -> Self:
        self._open(in_loop=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        late, body, broken = bool(self._why), error, 0
        while True:
            try:
                if body is not None and not broken:
                    self._cancel(f"its block raised {describe(body)}")
                while (member := self._some_member()) is not None:
                    member.wait()
                    self.finish(member)
                join = self._leave()
                if join is not None:
                    join()
                break
            except BaseException as interrupt:  # Ctrl-C, or what another signal's handler raises
                broken += 1
                if broken > 1:
                    self._phase = Phase.CLOSED
                    self._leave()
                    raise
                if (
                    body is None
                    or is_cancellation(body)
                    or not isinstance(interrupt, Exception | Interrupted)
                ):
                    late, body = False, interrupt
                self._cancel(f"{type(interrupt).__name__} came at its end")
        return self._raise(self._ending(body, late=late), error)

    async def __aenter__(self) -> Self:
        from okazja.group.loop_side import loop_side

        side = loop_side()
        self._open(in_loop=True)
        side.enter()
        self._side = side
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        side = self._side
        assert side is not None
        late, body = bool(self._why), side.leave(error)
        if body is not None:
            self._cancel(f"its block raised {describe(body)}")
        while self._some_member() is not None:
            try:
                await side.woken()
            except BaseException as cancellation:
                body = body or cancellation
                self._cancel("the task of its block was cancelled")
        join = self._leave()
        if join is not None:
            await side.finish(join)
        outside = await side.cancelled(body)
        if body is None or is_cancellation(body):
            late = outside is None and (late or side.requested)
            body = outside or body
        return self._raise(self._ending(body, late=late), error)

    def _raise(self, ending: BaseException | None, error: BaseException | None) -> bool:
        """Raise what there is to raise; True: the block's own error is dealt with."""
        try:
            if ending is None:
                return True
            if ending is error:
                return False
            raise ending
        finally:
            del ending, error  # no cycle with the traceback


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


_WHEN = {Phase.NEW: "has not begun", Phase.OPEN: "has begun", Phase.CLOSED: "is over"}


def _own_place(backend: str, name: str) -> Place:
    if backend == "asyncio":
        from okazja.group.tasks import OwnTasks

        return OwnTasks(name)
    if backend in ("threads", "processes"):
        return OwnWorkers(backend, name)
    raise BadInput(
        f"there is no group of workers of its own on {backend!r}: choose 'threads', 'processes' or 'asyncio', or open "
        f"one on an executor with `executor.group()`"
    )
