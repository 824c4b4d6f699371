"""What is said on standard error, and the progress bar there."""

from __future__ import annotations

import sys
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["ProgressBar", "say"]

REDRAW = 0.1  # seconds between two drawings, at least


def say(text: str) -> None:
    """Write lines to standard error, without markup and as they are."""
    print(text, file=sys.stderr, flush=True)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.speed:
            return Text("")
        return Text(f"{task.speed:,.0f}/s" if task.speed >= 10 else f"{task.speed:.2g}/s")


class _Failures(ProgressColumn):
    def render(self, task: Task) -> Text:
        failed = task.fields["failed"]
        return Text(f"{failed:,} failed", style="red") if failed else Text("")


class ProgressBar:
    """Progress of items on standard error: rate, time left and failures; nothing if it isn't a terminal.

    It has no thread: `advance` draws it, in the thread that takes the results, at most ten times a second.
    """

    def __init__(self, name: str, total: int) -> None:
        self._console = Console(stderr=True)
        self._next = 0.0
        self._done = self._failed = 0
        self._bar: Progress | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                _Failures(),
                console=self._console,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task(name, total=total, failed=0)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._bar.refresh()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._draw()
            self._bar.stop()

    def advance(self, done: int = 1, failed: int = 0) -> None:
        """So many more items are done, and so many of them failed."""
        self._done += done
        self._failed += failed
        if self._bar is not None and monotonic() >= self._next:
            self._draw()

    def print(self, text: str) -> None:
        """Say something above the bar."""
        if self._bar is None:
            say(text)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _draw(self) -> None:
        assert self._bar is not None
        self._bar.update(self._task, completed=self._done, failed=self._failed)
        self._bar.refresh()
        self._next = monotonic() + REDRAW
