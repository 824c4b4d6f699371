"""``okazja status``: how far the work of a journal is."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from okazja.cli.output import ESCAPES
from okazja.progress.wording import clock_text, cut, rate_text

__all__ = ["status"]

FIRST = 3  # errors that are shown
WIDTH = 100  # characters of each


@dataclass(frozen=True, slots=True)
class StatusOptions:
    """Which journal, and for whom."""

    journal: Path
    as_json: bool


@click.command(short_help="Show how far the work of a journal is.")
@click.argument("journal", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def status(**options: Any) -> int:
    """Show how far the work of JOURNAL is: while it runs, and after it has ended or was killed.

    Done and failed count all outcomes in the journal, the rate those of the last run alone.
    """
    from okazja.journal import Journal

    parsed = StatusOptions(**options)
    with Journal(parsed.journal) as journal:
        found = journal.status()
        failed = journal.failures(FIRST) if found.failed else []
    errors = [
        {"item": entry.item, "error_type": entry.error_type, "error": entry.error, "attempts": entry.attempts}
        for entry in failed
    ]
    if parsed.as_json:
        click.echo(json.dumps({**dataclasses.asdict(found), "first_errors": errors}, default=repr))
        return 0
    for name, text in _facts(found):
        click.echo(f"{name:<14} {text}")
    for number, error in enumerate(errors):
        heading = "" if number else "first errors"
        text = f"{error['item']}: {error['error_type']}: {error['error']}".translate(ESCAPES)
        click.echo(f"{heading:<14} {cut(text, WIDTH)}")
    return 0


def _facts(found: Any) -> list[tuple[str, str]]:
    recorded, total = found.done + found.failed, found.total
    facts = [("function", found.function)]
    if found.version is not None:
        facts.append(("version", found.version))
    facts += [("done", f"{found.done:,}"), ("failed", f"{found.failed:,}")]
    if total is None:
        facts.append(("of", "an input of unknown length"))
    else:
        share = f" ({100 * recorded // total} %)" if 0 < total >= recorded else ""
        facts.append(("of", f"{total:,}{share}"))
    facts.append(("rate", rate_text(found.rate) or "unknown"))
    if found.running is not None:
        facts.append(("time left", clock_text(found.seconds_left)))
        facts.append(("running", f"in process {found.running}, since {_time(found.started)}"))
    elif total is not None and recorded >= total:
        facts.append(("finished", _time(found.updated)))
    else:
        facts.append(("stands", f"since {_time(found.updated)}: to go on, run it again with --resume"))
    return facts


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
