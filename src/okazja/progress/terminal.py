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
    said = notes(progress)
    counts, rate = counts_text(progress), rate_text(progress.rate)
    elapsed = clock_text(progress.seconds)
    left = f"left {clock_text(progress.seconds_left)}" if progress.total is not None else ""
    later = said[: len(said) - (progress.known > 0)]  # what the journal had is the least of the news
    short = cut(name, SHORT_NAME)
    for shown, with_bar, parts in (
        (name, True, (counts, rate, elapsed, left, ", ".join(said))),
        (short, True, (counts, rate, elapsed, left, ", ".join(said))),
        (short, True, (counts, rate, left, ", ".join(later))),
        (short, False, (counts, rate, left, ", ".join(later))),
    ):
        numbers = " ".join(filter(None, parts))
        room = width - cells(f"{shown} {numbers}")
        drawn = with_bar and progress.total is not None
        if room >= (LEAST_BAR + 1 if drawn else 0):
            break
    else:
        failed = said[: progress.failed > 0]
        text = " ".join(filter(None, (counts, *failed, rate, left, *later[len(failed) :], short)))
        return _padded(cut(text, width), width)
    if drawn:
        columns = min(room - 1, MOST_BAR)
        shown = f"{shown} {_bar(progress, columns, bar, coloured)}"
        room -= columns + 1
    if coloured and progress.failed:
        numbers = numbers.replace(said[0], f"{RED}{said[0]}{PLAIN}", 1)
    return f"{shown} {numbers}{' ' * room}"


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
