"""A row of progress on a terminal: name, bar, counts, rate, time and what went wrong."""

from __future__ import annotations

import os
from typing import TextIO

from okazja.progress.counts import Progress
from okazja.progress.region import region_of
from okazja.progress.wording import cells, clock_text, counts_text, cut, notes, rate_text

__all__ = ["TerminalRow", "row_text"]

REDRAW = 0.2  # seconds between two drawings
LEAST_BAR, MOST_BAR = 5, 60  # columns
SHORT_NAME = 12  # columns of the name where space is short
GREEN, BLUE, RED, DIM, PLAIN = "\x1b[32m", "\x1b[34m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


class TerminalRow:
    """One of the rows at the end of a terminal."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.pause = 0.0
        self._name = name
        self._region = region_of(stream)
        self._coloured = not os.environ.get("NO_COLOR")
        self._bar = "━─" if _can_show(self._region.stream, "━─…") else "#-"

    def show(self, progress: Progress) -> None:
        """Draw the row."""
        self.pause = REDRAW
        text = row_text(self._name, progress, self._region.size()[0], self._bar, self._coloured)
        if progress.ended:
            self._region.finish(self, text)
        else:
            self._region.draw(self, text)


def row_text(name: str, progress: Progress, width: int, bar: str = "━─", coloured: bool = False) -> str:
    """A line that fills exactly so many columns: what is done and failed comes first where there is little room."""
    failed = progress.failed > 0
    said = notes(progress)
    times = [clock_text(progress.seconds)]
    if progress.total is not None:
        times += ["left", clock_text(progress.seconds_left)]
    fixed = [
        text for text in (counts_text(progress), rate_text(progress.rate), *times, ", ".join(said)) if text
    ]
    least = 0 if progress.total is None else LEAST_BAR + 1
    for shown in (name, cut(name, SHORT_NAME)):
        room = width - cells(shown) - 1 - cells(" ".join(fixed))
        if room >= least:
            break
    else:
        text = cut(" ".join([counts_text(progress), *said, *times[1:], shown]), width)
        return _padded(text, width)
    drawn = ""
    if progress.total is not None:
        drawn = f"{_bar(progress, min(room - 1, MOST_BAR), bar, coloured)} "
        room -= min(room - 1, MOST_BAR) + 1
    tail = " " * room
    if coloured and failed:
        fixed[-1] = fixed[-1].replace(said[0], f"{RED}{said[0]}{PLAIN}", 1)
    return f"{shown} {drawn}{' '.join(fixed)}{tail}"


def _bar(progress: Progress, width: int, bar: str, coloured: bool) -> str:
    done, total = progress.done, progress.total
    filled = width * done // total if total else width
    full, empty = bar[0] * filled, bar[1] * (width - filled)
    if not coloured:
        return full + empty
    return f"{GREEN if filled == width else BLUE}{full}{PLAIN}{DIM}{empty}{PLAIN}"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def _can_show(stream: TextIO, letters: str) -> bool:
    try:
        letters.encode(stream.encoding or "utf-8")
    except (LookupError, UnicodeError):
        return False
    return True
