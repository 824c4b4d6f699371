"""Progress in the output of a notebook's cell."""

from __future__ import annotations

from html import escape
from typing import Any

from okazja.progress.counts import Progress
from okazja.progress.wording import line_text

__all__ = ["NotebookOutput"]

REDRAW = 0.2  # seconds between two updates


class NotebookOutput:
    """One updatable display: a bar and a line of text; the line alone where HTML can't be shown."""

    def __init__(self, name: str) -> None:
        self.pause = 0.0
        self._name = name
        self._handle: Any = None

    def show(self, progress: Progress) -> None:
        """Show it for the first time, or in the place of what was shown before."""
        self.pause = REDRAW
        picture = _Picture(self._name, progress)
        if self._handle is None:
            from IPython import display

            show: Any = display.display  # has no types
            self._handle = show(picture, display_id=True)
        else:
            self._handle.update(picture)


class _Picture:
    """What IPython shows, in the richest form that the reader's program can."""

    def __init__(self, name: str, progress: Progress) -> None:
        self._text = line_text(name, progress).removeprefix("okazja: ")
        self._progress = progress

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        done, total = self._progress.done, self._progress.total
        # Without a value the bar says that something goes on; at the end nothing does.
        state = f'value="{done}" max="{max(total, 1)}"' if total is not None else ""
        bar = f"<progress {state}></progress> " if total is not None or not self._progress.ended else ""
        return f'<div style="font-variant-numeric: tabular-nums">{bar}{escape(self._text)}</div>'
