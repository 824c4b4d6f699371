"""What is said on standard error, and the progress bar there."""

from __future__ import annotations

import sys
from pathlib import PurePath
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
from rich.table import Column
from rich.text import Text

__all__ = ["ProgressBar", "say"]

REDRAW = 0.1  # seconds between two drawings, at least
NAME_WIDTH = 30  # characters of the target's name: the rest of an 80-column line is for the numbers


def say(text: str) -> None:
    """Write lines to standard error, without markup and as they are."""
    print(text, file=sys.stderr, flush=True)


def _short(name: str) -> str:
    """A target without the folders of its file, and cut if that is long still."""
    place, separator, function = name.rpartition(":")
    name = f"{PurePath(place).name}{separator}{function}"
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…"


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
        self._shown = False
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=5)),
                MofNCompleteColumn(),
                _Rate(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                _Failures(),
                console=self._console,
                auto_refresh=False,
                expand=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task(_short(name), total=total, failed=0)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._draw()
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

    def make_way(self) -> None:
        """Free the line of the bar: somebody else writes to the same terminal. The next drawing follows that."""
        if self._shown:
            self._console.file.write("\r\x1b[2K")
            self._console.file.flush()
            self._shown = False

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
        self._shown = True
        self._next = monotonic() + REDRAW
