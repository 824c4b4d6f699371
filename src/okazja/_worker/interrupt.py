"""What an interrupted task sees."""

from __future__ import annotations

__all__ = ["Interrupted"]


class Interrupted(BaseException):
    """Raised inside a task that is to stop: its time is over, or the parent was interrupted by Ctrl-C."""
