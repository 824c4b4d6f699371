"""Who was reported, and whether what was reported is right."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.soak.items import Item, fits
from okazja import WorkerDied

__all__ = ["Ledger", "Pass"]

SHOWN = 20  # complaints that are kept; the rest is counted
SABOTAGE = ("lose", "double", "falsify")


@dataclass
class Pass:
    """One pass over an input: how often each item was reported. The thread that makes it has it to itself."""

    name: str
    given: int = 0  # numbers 0 to given - 1 went in
    reported: Counter[int] = field(default_factory=Counter)


class Ledger:
    """Sums of all passes. Any thread may write to it.

    sabotage: faults of SABOTAGE that the ledger itself makes, each once, to show that they are found.
    """

    def __init__(self, sabotage: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._sabotage = list(sabotage)
        self.items = 0
        self.retries = 0
        self.struck = 0  # items whose worker was killed or stopped from outside, for good
        self.strikes_needed = 0  # deeds of the vandal that this takes
        self.lost = 0
        self.doubled = 0
        self.kinds: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.wrong = 0

    def report(
        self, run: Pass, item: Item, value: Any, error: BaseException | None, attempts: int = 1
    ) -> None:
        """What came of an item."""
        right = fits(item, value, error)
        if right and self._sabotage:
            sabotage = self._sabotage.pop()
            if sabotage == "lose":
                return
            right = sabotage != "falsify"
            run.reported[item.number] += sabotage == "double"
        run.reported[item.number] += 1
        struck = not right and error is not None and from_outside(error)
        with self._lock:
            self.items += 1
            self.kinds[item.kind] += 1
            self.retries += attempts - 1
            if error is not None:
                self.errors[type(error).__name__] += 1
            if struck:
                self.struck += 1
                self.strikes_needed += attempts
        if not right and not struck:
            what = f"value {value!r:.100}" if error is None else f"error {error!r:.300}"
            self.complain(f"{run.name}: item {item.number} ({item.kind}), attempt {attempts}: {what}")

    def finish(self, run: Pass) -> None:
        """A pass is over: what is missing never comes."""
        lost = [number for number in range(run.given) if not run.reported[number]]
        doubled = [number for number, times in run.reported.items() if times > 1]
        with self._lock:
            self.lost += len(lost)
            self.doubled += len(doubled)
        if lost:
            self.complain(f"{run.name}: {len(lost)} of {run.given} items were lost: {lost[:5]} …")
        if doubled:
            self.complain(f"{run.name}: {len(doubled)} items were reported twice: {doubled[:5]} …")

    def complain(self, text: str) -> None:
        """Note that something is wrong."""
        with self._lock:
            self.wrong += 1
            if len(self.complaints) < SHOWN:
                self.complaints.append(text)


def from_outside(error: BaseException) -> bool:
    """Whether the vandal may have done it: by a kill, or by a stop, after which the item's time ran out."""
    return isinstance(error, TimeoutError) or (
        isinstance(error, WorkerDied) and error.exitcode == -signal.SIGKILL
    )
