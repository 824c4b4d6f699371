"""How numbers of items and seconds are said: short, and with the sense that they have at their size."""

from __future__ import annotations

from pathlib import PurePath
from unicodedata import east_asian_width

from okazja.progress.counts import Progress

__all__ = ["cells", "clock_text", "counts_text", "cut", "line_text", "notes", "rate_text", "short_name"]

NAME_WIDTH = 30  # characters of a name: the rest of an 80-column line is for the numbers


def short_name(name: str) -> str:
    """The name of a function or a target, without the folders of its file, and cut if that is long still."""
    place, separator, function = name.rpartition(":")
    if separator:
        name = f"{PurePath(place).name}:{function}"
    return cut("".join(letter if letter.isprintable() else "?" for letter in name), NAME_WIDTH)


def cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return (
        len(text) if text.isascii() else sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
    )


def cut(text: str, width: int) -> str:
    """The text, or so much of it as fits, with a mark that it goes on."""
    if cells(text) <= width:
        return text
    while text and cells(text) >= width:
        text = text[:-1]
    return f"{text}…"[:width]


def rate_text(rate: float | None) -> str:
    """``12,345/s``, ``3.2/s``, or for slow ones ``4.1 min an item``; nothing where nobody knows."""
    if not rate:
        return ""
    if rate >= 9.95:
        return f"{rate:,.0f}/s"
    if rate >= 1:
        return f"{rate:.1f}/s"
    value, unit = 1 / rate, "s"
    for larger in ("min", "h"):
        if value >= 99.5:
            value, unit = value / 60, larger
    return f"{value:.1f} {unit} an item" if value < 9.95 else f"{value:,.0f} {unit} an item"


def clock_text(seconds: float | None) -> str:
    """``0:01:07``, ``2 d 0:01:07``; ``-:--:--`` where nobody knows."""
    if seconds is None:
        return "-:--:--"
    days, rest = divmod(round(seconds), 86400)
    minutes, second = divmod(rest, 60)
    text = f"{minutes // 60}:{minutes % 60:02}:{second:02}"
    return f"{days:,} d {text}" if days else text


def counts_text(progress: Progress) -> str:
    """``12/40``, or ``12 done`` where the total is unknown."""
    done = f"{progress.done:,}"
    return f"{done} done" if progress.total is None else f"{done}/{progress.total:,}"


def notes(progress: Progress) -> list[str]:
    """What is worth a word only if it happens; failures first."""
    said = []
    if progress.failed:
        said.append(f"{progress.failed:,} failed")
    if progress.retried:
        said.append(f"{progress.retried:,} retried")
    if progress.known:
        said.append(f"{progress.known:,} from the journal")
    return said


def line_text(name: str, progress: Progress) -> str:
    """A line for a log: it says all by itself."""
    counts = f"{progress.done:,} items"
    if progress.total is not None:
        share = 100 * progress.done // progress.total if progress.total else 100
        counts = f"{progress.done:,} of {progress.total:,} items ({share} %)"
    parts = [counts, f"{clock_text(progress.seconds)} {'in all' if progress.ended else 'so far'}"]
    if progress.rate:
        parts.append(rate_text(progress.rate))
    if not progress.ended and progress.seconds_left is not None:
        parts.append(f"{clock_text(progress.seconds_left)} left")
    return f"okazja: {name}: {', '.join(parts + notes(progress))}"
