"""What is said on standard error, and the progress there."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

from okazja.progress import progress_for

__all__ = ["ProgressBar", "progress_named", "say"]


def say(text: str) -> None:
    """Write lines to standard error, without markup and as they are."""
    print(text, file=sys.stderr, flush=True)


def progress_named(name: str) -> Any:
    """What a stream shows its progress with, on standard error, under this name."""
    return progress_for(True, name)


class ProgressBar:
    """Progress of items on standard error: a row on a terminal, lines now and then elsewhere."""

    def __init__(self, name: str, total: int) -> None:
        self._observer = progress_for(True, name)
        self._total = total

    def __enter__(self) -> Self:
        assert self._observer is not None
        self._observer.began(self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._observer is not None
        self._observer.ended()

    def advance(self, done: int = 1, failed: int = 0) -> None:
        """So many more items are done, and so many of them failed."""
        assert self._observer is not None
        self._observer.settled(done - failed, failed)
