"""Items that run for too long on workers: found on the board, interrupted, and ended with their worker.

The collector looks when the earliest of them is due and not before; while no such call is held, never.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from okazja._backends.base import Backend
from okazja._core.messages import Call, Died, Port, Stop
from okazja._core.scheduler import Scheduler
from okazja._core.timeouts import GRACE, LONGEST_PAUSE, Step, Timeouts, overdue_error, stop_call
from okazja._transport.board import CALL, ITEM, PID, STARTED, Board

__all__ = ["Limits"]

Due = tuple[Port, Step, Call, int]


class Limits:
    """The limits of one engine's items. The engine's lock is held around all but ``carry_out``."""

    def __init__(self, backend: Backend, board: Board, scheduler: Scheduler) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._words = [board.words(slot) for slot in range(len(scheduler.workers))]
        self._timeouts = Timeouts()
        self._next: float | None = None  # when to look; None: no call with a limit is held

    def expect(self, calls: Sequence[Call], now: float) -> bool:
        """Calls go to a worker. True if one may be due before the next look."""
        limits = [call.limit for call in calls if call.limit is not None]
        if not limits or (self._next is not None and self._next <= now + min(limits)):
            return False
        self._next = now + min(limits)
        return True

    def stop(self, calls: Sequence[Call], stop: Stop) -> None:
        """Have calls that workers hold end: whoever runs one is interrupted, and ended if that does not help."""
        for call in calls:
            stop_call(call, stop)
            self._next = stop.since

    def look(self, ports: Sequence[Port | None], now: float) -> tuple[list[Due], float | None]:
        """What to carry out once the lock is free, and in how many seconds to look again."""
        if self._next is None:
            return [], None
        if now < self._next:
            return [], min(self._next - now, LONGEST_PAUSE)
        due: list[Due] = []
        pauses: list[float] = []
        for port in ports:
            if port is not None:
                self._look_at(port, now, due, pauses)
        pause = min(pauses, default=None)
        self._next = None if pause is None else now + pause
        return due, pause

    def _look_at(self, port: Port, now: float, due: list[Due], pauses: list[float]) -> None:
        held = self._scheduler.workers[port.slot].held
        limits = [call.limit for call in held.values() if call.limit is not None]
        if not limits:
            self._timeouts.gone(port)
            return
        number, item, started = self._running(port)
        call = held.get(number)
        if call is not None and call.stop is not None:
            started = started or call.stop.since  # also the function may take too long to be loaded
        if call is None or call.limit is None or not started:
            pauses.append(self._timeouts.look(port, None, 0.0, min(limits), now)[1])
            return
        step, pause = self._timeouts.look(port, (number, item), started, call.limit, now)
        if step is not Step.WAIT:
            due.append((port, step, call, item))
        pauses.append(min(pause, *limits) if len(limits) > 1 else pause)

    def _running(self, port: Port) -> tuple[int, int, float]:
        """The call and the item that a worker runs, and since when; all 0 where it is between two."""
        words = self._words[port.slot]
        number, item = words[CALL], words[ITEM]
        started = words[STARTED]
        same = words[CALL] == number and words[ITEM] == item and words[STARTED] == started
        if not same or words[PID] != getattr(port, "pid", 0):
            return 0, 0, 0.0
        return number, item, started / 1e9

    def carry_out(self, due: Sequence[Due]) -> None:
        """Interrupt, or kill; with no lock held."""
        for port, step, call, item in due:
            if step is Step.INTERRUPT:
                self._backend.interrupt(port, call.id, item if call.base >= 0 else None)
            elif self._running(port)[:2] == (call.id, item):
                worker: Any = port
                worker.kill()

    def buried(self, death: Died) -> tuple[TimeoutError | None, bool]:
        """The error of the item that a dead worker ran, if it was overdue; and whether another was killed for."""
        overdue = self._timeouts.gone(death.port)
        if overdue is None:
            return None, False
        item, given_up = overdue
        if item != (death.call, death.item):
            return None, given_up
        call = self._scheduler.workers[death.port.slot].held.get(death.call)
        if call is None or call.limit is None:
            return None, False
        what = "was interrupted, upon which its worker ended"
        if given_up:
            what = f"was killed with its worker, because an interrupt did not end it within {GRACE:g} s"
        return overdue_error(call, what), False
