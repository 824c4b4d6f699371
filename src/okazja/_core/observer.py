"""What progress, and whatever else wants to know, is told of one map or stream."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Observer"]


class Observer(Protocol):
    """Told of one map's or stream's course, in whatever thread the news arrives in, with no lock held.

    Counts are those since the last call. An observer must be quick and must not raise.
    """

    def began(self, total: int | None) -> None:
        """The input has so many items; None where nobody knows."""

    def settled(self, done: int, failed: int) -> None:
        """Items got their final outcome in this run: ``done`` have a value, ``failed`` an error."""

    def retried(self, items: int) -> None:
        """Items failed and will run again."""

    def known(self, done: int, failed: int) -> None:
        """Items whose outcome came from a journal."""

    def ended(self) -> None:
        """Nothing more will be told. Once, also after a break or an error."""
