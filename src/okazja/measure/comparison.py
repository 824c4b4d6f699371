"""What a comparison found: a table, and a recommendation in words."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

__all__ = ["Comparison", "Row", "Way"]

WORTH_IT = 1.05  # a speed-up below this is within what machines vary by
WORTH_ONE_WORKER = (
    1.10  # one worker can't run in parallel: what little it seems to gain is the machine's noise
)
BUSY = 0.9  # CPU seconds a second of serial work, below which it waited for something
AS_GOOD = 0.97  # a way with fewer workers that is this close to the fastest is recommended instead
HEADINGS = (
    "backend",
    "workers",
    "time",
    "speed-up",
    "efficiency",
    "CPU time",
    "start-up",
    "processes",
    "threads",
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the work."""

    backend: str
    workers: int

    def __str__(self) -> str:
        if self.backend == "serial":
            return "serial"
        return f"{self.backend} with {self.workers} worker{'s' if self.workers != 1 else ''}"


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one way. Times are in seconds, medians of the rounds."""

    way: Way
    runs: tuple[float, ...]  # wall times of the rounds
    seconds: float  # wall time of the sample
    speedup: float  # serial's time / this way's time, the median of the rounds' ratios
    efficiency: float  # speed-up / min(workers, CPUs)
    cpu_seconds: float  # user and system time of this process and of all workers
    startup_seconds: float  # until the first tiny task was done
    processes: int  # seen in okazja.tree() while it ran
    threads: int  # likewise, of all these processes
    error: str = ""  # why this way can't be used: it failed, or its results differ from serial's

    def cells(self) -> tuple[str, ...]:
        """The row as texts, in the order of the table's columns."""
        start = (self.way.backend, str(self.way.workers))
        if self.error:
            return (*start, *["-"] * (len(HEADINGS) - 2))
        return (
            *start,
            _seconds(self.seconds),
            f"{self.speedup:.2f} ×",
            f"{self.efficiency:.0%}",
            _seconds(self.cpu_seconds),
            _seconds(self.startup_seconds),
            str(self.processes),
            str(self.threads),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """The ways to run one piece of work, side by side; ``str`` gives a table."""

    function: str
    total: int  # items there are
    sample: int  # items that were measured
    rounds: int
    cpus: int
    rows: tuple[Row, ...]  # serial first

    @property
    def errors(self) -> tuple[str, ...]:
        """What is wrong with the ways that failed or gave other results than serial."""
        return tuple(f"{row.way}: {row.error}" for row in self.rows if row.error)

    @property
    def best(self) -> Row:
        """The recommended way: the fastest, or one as fast with fewer workers; serial if none is worth it."""
        serial = self.rows[0]
        sound = [
            row
            for row in self.rows[1:]
            if not row.error and row.speedup > (WORTH_IT if row.way.workers > 1 else WORTH_ONE_WORKER)
        ]
        if not sound:
            return serial
        fastest = max(row.speedup for row in sound)
        near = [row for row in sound if row.speedup >= AS_GOOD * fastest]
        return min(near, key=lambda row: (row.way.workers, -row.speedup))

    @property
    def recommendation(self) -> str:
        """The best way in words."""
        if self.rows[0].error:
            failed = all(row.error for row in self.rows)
            return (
                "nothing: every way failed"
                if failed
                else "nothing: serial failed, so nothing is known to be right"
            )
        best = self.best
        if best is not self.rows[0]:
            return f"{best.way}: {best.speedup:.2f} × serial"
        others = [row for row in self.rows[1:] if not row.error]
        if not others:
            return "serial: nothing else could be measured"
        nearest = max(others, key=lambda row: row.speedup)
        return f"serial: nothing beats it here (the nearest: {nearest.way}, {nearest.speedup:.2f} × serial)"

    @property
    def doubt(self) -> str:
        """Why the numbers may be those of another day: serial had no CPU for part of its time; else empty."""
        serial = self.rows[0]
        if serial.error or serial.cpu_seconds >= BUSY * serial.seconds:
            return ""
        return (
            f"serial used a CPU for {serial.cpu_seconds / serial.seconds:.0%} of its time: either the items wait for "
            f"something, or this machine was busy; if it was, measure again"
        )

    def title(self) -> str:
        """What was measured."""
        return (
            f"{self.function}: {self.sample:,} of {self.total:,} items, spread evenly, "
            f"{self.rounds} rounds, {self.cpus} CPUs"
        )

    def notes(self) -> tuple[str, ...]:
        """What has to be said below the table; the recommendation comes last."""
        doubts = [f"note: {self.doubt}"] if self.doubt else []
        return (
            *(f"error: {error}" for error in self.errors),
            *doubts,
            f"Recommended: {self.recommendation}",
        )

    def __str__(self) -> str:
        table = [HEADINGS, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]) for cells in table
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([self.title(), "", *lines, "", *self.notes()])

    def __repr__(self) -> str:
        return f"<okazja comparison of {self.function}: {self.recommendation}>"

    def _repr_html_(self) -> str:
        """A table of the page; the recommended way is set in bold."""
        recommended = None if self.rows[0].error else self.best
        body = [_html_row("td", row.cells(), bold=row is recommended) for row in self.rows]
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes())
        return (
            f"<p>{html.escape(self.title())}</p>"
            f"<table><thead>{_html_row('th', HEADINGS)}</thead><tbody>{''.join(body)}</tbody></table>{notes}"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self) if cycle else str(self))


def _html_row(tag: str, cells: tuple[str, ...], *, bold: bool = False) -> str:
    """Numbers are aligned at their ends, as a notebook does by itself; the name of the backend at its start."""
    first, *rest = (html.escape(cell) for cell in cells)
    aligned = f'<{tag} style="text-align: left">{first}</{tag}>' + "".join(
        f"<{tag}>{cell}</{tag}>" for cell in rest
    )
    return f'<tr style="font-weight: bold">{aligned}</tr>' if bold else f"<tr>{aligned}</tr>"


def _seconds(value: float) -> str:
    """Three significant digits in a fitting unit."""
    if value >= 1:
        return f"{value:.2f} s"
    if value >= 1e-3:
        return f"{value * 1e3:.3g} ms"
    return f"{value * 1e6:.3g} µs"
