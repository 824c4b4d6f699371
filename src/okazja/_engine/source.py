"""Where a stream's items come from, and what keeps their outcomes: what the engine asks of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from okazja._core.known import Known

__all__ = ["Batch", "Recorder", "Source"]


@dataclass(slots=True)
class Batch:
    """Consecutive items of the input.

    keys: what the journal calls them; opaque to the engine, kept with the chunk.
    known: one for each item: outcomes of an earlier run; then nothing of the batch is run.
    """

    items: list[Any] | range
    keys: list[Any] | None = None
    known: list[Known] | None = None


class Source(Protocol):
    """An input, as the engine draws it: by one thread at a time, with no lock held."""

    on_news: Callable[
        [], None
    ]  # called, in any thread, when items have become available or the input has ended

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""

    def take(self, most: int) -> Batch:
        """Up to ``most`` items that are there now, without a wait for a slow input.

        Empty: nothing is there yet, or the input has ended. Known outcomes may be more than ``most``. An error that
        the input raised is raised here, once, after everything that came before it was taken.
        """

    def close(self) -> None:
        """No more will be taken. Doesn't wait. May be called more than once, and from any thread."""


class Recorder(Protocol):
    """Keeps final outcomes. Called with no lock held."""

    def record(
        self,
        base: int,
        positions: Sequence[int],
        items: Sequence[Any],
        keys: Sequence[Any] | None,
        values: Sequence[Any],
        errors: Mapping[int, BaseException],
        attempts: Mapping[int, int],
        times: Sequence[int],
    ) -> dict[int, BaseException]:
        """Items have their final outcome. Returns errors for values that can't be kept: these items fail with them.

        Positions are those in the chunk, which begins with item ``base`` of the input; ``items``, ``keys``, ``values``
        and ``times`` (ns of the last attempt) have one for each item of the chunk. ``attempts``: beyond the first.
        """

    def forget(self, keys: Sequence[Any] | None, positions: Iterable[int]) -> None:
        """Items have no outcome to be kept: they were cut short, or never began."""

    def check(self) -> None:
        """Raise what went wrong in the recorder, if something did. Called in the consumer's thread."""

    def close(self, whole: bool) -> None:
        """Keep all that was recorded; ``whole`` says that the input came to its end and every item has an outcome."""
