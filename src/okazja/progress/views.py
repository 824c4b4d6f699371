"""Where progress is shown: what fits a callback, a log, a terminal, a notebook."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

from okazja._core.observer import Observer
from okazja.errors import TaskTypeError
from okazja.progress.counts import Progress
from okazja.progress.watching import Place, Watched
from okazja.progress.wording import line_text, short_name

__all__ = ["Calls", "LogLines", "progress_for"]

PATIENCE = 1.0  # seconds that the end waits for what may come later as well: a call, a line, a row
# In a notebook, what comes after the end of its cell is lost. Not for ever: where a finalizer brings the end, its
# thread may hold what IPython needs.
CELL_PATIENCE = 10.0  # seconds; as long as ipykernel itself waits for its output
OFTEN = 0.2  # seconds between two calls, at least
FIRST = 10.0  # seconds until a log has its first line; work that is done by then leaves none
SELDOM = 300.0  # seconds between two lines, at most; until then each comes at twice the time of the last


def progress_for(
    progress: bool | Callable[[Progress], object] | Watched | None, name: str
) -> Observer | None:
    """What shows the progress of the work of this name, None for False and None.

    progress: True: where it fits, on a terminal, in a notebook or as lines of a log; or a callable, which gets a
    Progress at most 5 times a second, when there is news, and at the end, in a thread of its own; or what this function
    has given before.
    Raises TaskTypeError (a TypeError).
    """
    if progress is None or progress is False:
        return None
    if isinstance(progress, Watched):
        return progress
    name = short_name(name)
    if progress is True:
        return Watched(name, partial(_place_here, name))
    if not callable(progress):
        raise TaskTypeError(
            f"progress must be True, False or a callable that takes a Progress, got {progress!r}"
        )
    return Watched(name, lambda: Place(partial(Calls, progress), PATIENCE))


def _place_here(name: str) -> Place | None:
    """Where this process shows things."""
    if getattr(_shell(), "kernel", None) is not None:
        from okazja.progress.notebook import NotebookOutput

        return Place(partial(NotebookOutput, name), CELL_PATIENCE)
    stream = sys.stderr
    if stream is None:
        return None
    if _is_terminal(stream):
        from okazja.progress.terminal import TerminalRow

        return Place(partial(TerminalRow, name, stream), PATIENCE)
    return Place(partial(LogLines, name, stream), PATIENCE)


def _shell() -> Any:
    """IPython's shell, if this is one."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except (AttributeError, ValueError):  # closed, or a stand-in that lacks it
        return False


class Calls:
    """Hands progress to a function of the user's."""

    def __init__(self, call: Callable[[Progress], object]) -> None:
        self.pause = OFTEN
        self._call = call
        self._counts = (0, 0, 0, 0)

    def show(self, progress: Progress) -> None:
        """Call it, if there is news."""
        if progress.ended or progress.counts != self._counts:
            self._counts = progress.counts
            self._call(progress)


class LogLines:
    """Whole lines now and then: the first after 10 s, then at growing distances of up to 5 minutes, and a last one."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.pause = FIRST
        self._name = name
        self._stream = stream
        self._next = FIRST

    def show(self, progress: Progress) -> None:
        """Write a line if it is time."""
        seconds = progress.seconds
        if seconds >= self._next or (progress.ended and self._next > FIRST):
            self._stream.write(
                f"{line_text(self._name, progress)}\n"
            )  # one write: lines of others don't mix with it
            self._stream.flush()
            self._next = seconds + min(max(seconds, FIRST), SELDOM)
        self.pause = self._next - seconds
