"""What a group's block raises in the end. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from okazja.errors import Interrupted
from okazja.group.member import is_cancellation

__all__ = ["Ending"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a group's block came to its end.

    failures: of its tasks, in the order in which they were noticed. body: what the code of the block raised.
    late: the group was cancelled before the body ended, so that a cancellation there is a consequence. overdue: the
    deadline passed. around: the group around this one was cancelled.
    """

    name: str
    tasks: int
    failures: Sequence[BaseException]
    body: BaseException | None = None
    late: bool = False
    overdue: TimeoutError | None = None
    around: bool = False

    def error(self) -> BaseException | None:
        """The error to raise; ``body`` itself where that is to go on; None where there is none."""
        body = self.body
        if isinstance(body, KeyboardInterrupt | SystemExit):
            return body
        errors = list(self.failures)
        cancelled = body is not None and is_cancellation(body)
        if body is not None and not cancelled and not any(body is error for error in errors):
            errors.append(body)
        if self.overdue is not None:
            if not errors:
                return self.overdue
            errors.append(self.overdue)
        if errors:
            return BaseExceptionGroup(self._summary(), errors)
        if cancelled and not self.late:
            return body
        if self.around:
            return Interrupted("the group around this one was cancelled")
        return None

    def _summary(self) -> str:
        failed = len(self.failures)
        if not failed:
            return f"the block of a group on {self.name} failed, and its tasks were cancelled"
        return f"{failed} of {self.tasks} task{'s' * (self.tasks != 1)} of a group on {self.name} failed"
