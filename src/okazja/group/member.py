"""The future of a group's task: cancelled where the group was, and the task ended because of that."""

from __future__ import annotations

import contextvars
import sys
from concurrent.futures import CancelledError
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from okazja._core.messages import Call, Stop
from okazja._engine import Future
from okazja._worker.cancellation import CancellationToken, group_token
from okazja.errors import Interrupted, TaskCancelled

__all__ = ["HALT", "Member", "Owner", "is_cancellation"]

T = TypeVar("T")


HALT = Stop(0.0, "its group was cancelled", abandon=False)  # since ever: there is no time to lose


class Owner(Protocol):
    """What a member knows of its group."""

    token: CancellationToken
    halt: Stop | None  # nothing begins any more, and what runs is to end

    @property
    def cancelled(self) -> bool:
        """Whether the tasks were told to end."""

    def finish(self, member: Member[Any]) -> None:
        """A member is done."""


class Member(Future[T]):
    """A future that belongs to a group."""

    def __init__(self, group: Owner) -> None:
        super().__init__()
        self.run = group  # the name by which the engine finds all calls of a group

    def _context(self) -> contextvars.Context:
        context = super()._context()
        context.run(group_token.set, self.run.token)
        return context

    # Its group is told here rather than by a callback: a future with one costs twice as much.

    def set_result(self, result: T) -> None:
        """Set the result; for executors and tests."""
        super().set_result(result)
        self.run.finish(self)

    def cancel(self) -> bool:
        """Cancel it, unless it has begun. That is no failure of the group."""
        if not super().cancel():
            return False
        self.run.finish(self)
        return True

    def set_exception(self, exception: BaseException | None) -> None:
        """Set the exception; for executors and tests."""
        late = self.run.cancelled and exception is not None and is_cancellation(exception)
        if late or isinstance(exception, TaskCancelled):
            self._cancelled()
        else:
            super().set_exception(exception)
            self.run.finish(self)

    def _cancelled(self) -> None:
        """It was cancelled, perhaps while it ran."""
        if self._state not in (CANCELLED_AND_NOTIFIED, FINISHED):
            super()._drop(None)  # type: ignore[arg-type]  # it looks at no call
            self.run.finish(self)

    def failure(self) -> BaseException | None:
        """Once it is done: what the call raised. From now on the group is who reports it."""
        error = self._exception
        if error is not None:
            self._looked_at()
        return error

    def wait(self) -> None:
        """Wait until it is done, in whatever way."""
        with suppress(CancelledError):
            self._wait(None)

    # --- as the sink of its call

    def _begin(self) -> bool:
        return self.run.halt is None and super()._begin()

    def _halt_group(self) -> None:
        """It has failed, as will be told in a moment. The engine's lock is held."""
        self.run.halt = self.run.halt or HALT

    def _refused(self, call: Call) -> None:
        self._cancelled()

    def _drop(self, call: Call) -> None:
        self._cancelled()

    def _fail(self, call: Call, error: BaseException, item: int | None = None) -> None:
        if call.stop is not None and isinstance(error, TimeoutError):
            self._cancelled()  # it was ended together with its worker
        else:
            super()._fail(call, error, item)


def is_cancellation(error: BaseException) -> bool:
    """Whether an error only says that something was cancelled."""
    if isinstance(error, Interrupted | CancelledError):
        return True
    # Where a library was never imported, nothing has raised its errors.
    asyncio: Any = sys.modules.get("asyncio")
    trio: Any = sys.modules.get("trio")
    return (asyncio is not None and isinstance(error, asyncio.CancelledError)) or (
        trio is not None and isinstance(error, trio.Cancelled)
    )
