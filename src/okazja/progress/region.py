"""The last lines of a terminal, which several rows of progress share with all that is printed meanwhile.

While rows are shown, ``sys.stdout``, ``sys.stderr`` and the logging handlers that write to them have stand-ins: what
is printed goes where it would go anyway, unchanged, but the rows make way for it and are drawn again below it. What
other processes write can't be seen coming: it follows the row on a line of its own, because a row is as wide as the
terminal, and the row is drawn again below. The cursor is never hidden.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any, TextIO

__all__ = ["Region", "region_of"]

CLEAR = "\r\x1b[2K"  # the line of the cursor
CLEAR_ABOVE = "\x1b[1A\x1b[2K"
HASTE = 0.02  # seconds between two drawings that follow something printed


class Region:
    """Rows at the end of what was written to a terminal.

    Its lock is held while something is written to the terminal, and is re-entrant: a signal handler may print.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._lock = threading.RLock()
        self._rows: dict[object, str] = {}  # texts, each as wide as the terminal
        self._drawn = 0  # rows that are on the terminal now
        self._open_line = False  # somebody has written a line without its end
        self._last = 0.0  # when rows were drawn
        self._gone = False  # the terminal can't be written to any more
        self._arranging = threading.Lock()  # guards the stand-ins; whoever prints never takes it
        self._stand_ins: list[_StandIn] = []

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            columns, lines = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError):
            columns = lines = 0
        return columns or 80, lines or 24  # a terminal that was not told its size says 0

    def draw(self, row: object, text: str) -> None:
        """Show a new row, or another text in a row."""
        if self._gone:
            return
        with self._lock:
            self._rows[row] = text
        self._arrange()
        with self._lock:
            if not self._open_line:
                self._write(self._cleared() + self._drawing())
        self._arrange()  # the rows may have gone with the terminal

    def finish(self, row: object, text: str) -> None:
        """Leave the last text of a row where it is; later output follows it."""
        with self._lock:
            self._rows.pop(row, None)
            line_end = "\n" if self._open_line else ""
            self._open_line = False
            self._write(f"{self._cleared()}{line_end}{text}\n{self._drawing()}")
        self._arrange()

    def _cleared(self) -> str:
        """What clears the rows from the terminal."""
        drawn, self._drawn = self._drawn, 0
        return f"{CLEAR}{CLEAR_ABOVE * (drawn - 1)}" if drawn else ""

    def _drawing(self) -> str:
        if not self._rows or not self._in_foreground():
            return ""
        shown = list(self._rows.values())[: max(self.size()[1] - 1, 1)]
        self._drawn = len(shown)
        self._last = monotonic()
        return "\n".join(shown)

    def _in_foreground(self) -> bool:
        """Whether the terminal is ours to draw on: a shell's background job would write into the user's command."""
        try:
            return os.tcgetpgrp(self.stream.fileno()) == os.getpgrp()
        except (AttributeError, OSError, ValueError):  # not the terminal that controls this process
            return True

    def _write(self, text: str) -> None:
        """Write to the terminal. When it is gone, whoever prints elsewhere is not to suffer from it."""
        if text and not self._gone:
            try:
                self.stream.write(text)
                self.stream.flush()
            except (OSError, ValueError):
                self._gone = True
                self._rows.clear()

    # --- what others print

    def beside(self, stream: TextIO, text: str) -> int:
        """Write somebody's text to a stream, with the rows out of its way."""
        with self._lock:
            if not self._rows:
                return stream.write(text)
            self._write(self._cleared())
            written = stream.write(text)
            if text:
                self._open_line = not text.endswith("\n")
            if not self._open_line and monotonic() - self._last > HASTE:
                stream.flush()
                self._write(self._drawing())
            return written

    def _arrange(self) -> None:
        """Have stand-ins as long as there are rows."""
        with self._arranging:
            if self._rows and not self._stand_ins:
                self._stand_in()
            elif not self._rows and self._stand_ins:
                self._step_back()

    def _stand_in(self) -> None:
        self._stand_ins = [_StandIn(self, stream) for stream in _standard_streams() if _is_terminal(stream)]
        for stand_in in self._stand_ins:
            for name in ("stdout", "stderr"):
                if getattr(sys, name) is stand_in.stream:
                    setattr(sys, name, stand_in)
            _lead_handlers(stand_in.stream, stand_in)

    def _step_back(self) -> None:
        """Whoever has put something else in the place of a stand-in keeps it; a stand-in goes on to work."""
        stand_ins, self._stand_ins = self._stand_ins, []
        for stand_in in stand_ins:
            for name in ("stdout", "stderr"):
                if getattr(sys, name) is stand_in:
                    setattr(sys, name, stand_in.stream)
            _lead_handlers(stand_in, stand_in.stream)

    def after_fork(self) -> None:
        """The rows are the parent's, and some thread of it may have held the lock."""
        self._lock = threading.RLock()
        self._arranging = threading.Lock()
        self._rows.clear()
        self._drawn = 0
        self._step_back()


class _StandIn:
    """A standard stream whose text goes beside the rows."""

    def __init__(self, region: Region, stream: TextIO) -> None:
        self.region = region
        self.stream = stream

    def write(self, text: str) -> int:
        return self.region.beside(self.stream, text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def __iter__(self) -> Iterator[str]:
        return iter(self.stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _standard_streams() -> list[Any]:
    return [sys.stdout] if sys.stdout is sys.stderr else [sys.stdout, sys.stderr]


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty()) and not isinstance(stream, _StandIn)
    except (AttributeError, ValueError):
        return False


def _lead_handlers(old: Any, new: Any) -> None:
    """Have logging handlers that write to one stream write to the other."""
    loggers: list[Any] = [logging.root, *logging.root.manager.loggerDict.copy().values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):  # a mere place in the hierarchy has none
            if isinstance(handler, logging.StreamHandler) and handler.stream is old:
                handler.stream = new


_region: Region | None = None


def region_of(stream: Any) -> Region:
    """The one region of the terminal that a stream writes to."""
    global _region
    if isinstance(stream, _StandIn):
        return stream.region
    region = _region
    if region is None or region.stream is not stream:
        region = _region = Region(stream)
    return region


def _after_fork_in_child() -> None:
    if _region is not None:
        _region.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
