"""What is told of failed items at the end, in bounded memory however many they are."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from okazja._core.failure import texts_of
from okazja.cli.invocation import Invocation
from okazja.cli.output import ESCAPES
from okazja.cli.terminal import say

__all__ = ["Failures", "error_text"]

SHOWN = 10  # failed items that have a row
WIDTH = 300  # characters of a message or of an item in a row
WIDE = 120  # columns where standard error is no terminal


def error_text(error: BaseException) -> str:
    """Type and message on behalf of results: the same whether an item failed now or in an earlier run."""
    kind, message, _ = texts_of(error)
    return f"{kind.rpartition('.')[2]}: {message}"


@dataclass(slots=True)
class Failures:
    """Which items failed, and the first traceback."""

    count: int = 0
    items: list[Any] = field(default_factory=list)
    first: str = ""
    _rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, item: Any, error: BaseException, attempts: int) -> None:
        """Keep what the end will tell."""
        kind, message, trace = texts_of(error)
        kind = kind.rpartition(".")[2]
        if not self.count:
            self.first = trace.strip() or f"{kind}: {message}"
        if self.count < SHOWN:
            self.items.append(item)
            self._rows.append((_cell(item), kind, str(attempts), _cell(message)))
        self.count += 1

    def report(self, total: int) -> None:
        """Say which items failed and why, as a table, with the traceback of the first."""
        say(f"okazja: {self.count:,} of {total:,} items failed")
        self._show_table()
        if self.count > SHOWN:
            say(f"... and {self.count - SHOWN:,} more")
        say(f"The first one's error:\n{self.first}")

    def _show_table(self) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console(stderr=True)
        if not console.is_terminal:
            console = Console(file=sys.stderr, width=WIDE)
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="underline")
        for heading, ratio in (("item", 2), ("error", None), ("attempts", None), ("message", 3)):
            table.add_column(heading, ratio=ratio, overflow="fold", no_wrap=ratio is None)
        for row in self._rows:
            table.add_row(*map(Text, row))
        console.print(table)

    def again(self, invocation: Invocation, over: range | None, *, journal: bool) -> str:
        """How to run the failed items again, and no others."""
        if journal:
            return f"To run just the failed items again:\n  {invocation.having('--resume', '--retry-failed')}"
        if over is not None and self.count <= SHOWN:
            fresh = invocation.without("--out")
            commands = [f"  {fresh.giving('--over', text)}" for text in _as_ranges(self.items)]
            return "\n".join(["To run just the failed items again:", *commands])
        return (
            "With --journal FILE the failed items, and no others, could be run again: give one the next time."
        )


def _cell(value: Any) -> str:
    text = str(value).translate(ESCAPES)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"


def _as_ranges(numbers: list[int]) -> list[str]:
    """As few arguments of ``--over`` as give these numbers: one where they have the same distance, else one each."""
    if len(numbers) == 1:
        return [f"{numbers[0]}..{numbers[0]}"]
    step = numbers[1] - numbers[0]
    if step and numbers == list(range(numbers[0], numbers[-1] + (1 if step > 0 else -1), step)):
        return [f"{numbers[0]}..{numbers[-1]}" + ("" if step == 1 else f"..{step}")]
    return [f"{number}..{number}" for number in numbers]
