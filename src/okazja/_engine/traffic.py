"""Calls go out, replies come in: how one engine's scheduler and backend are joined.

dispatch ─▶ Scheduler.offer ─▶ Backend.send ─▶ worker
▲   │                            │
top_up   ▼                            ▼
Sink._settle ◀─ deliver ◀──────────── replies, Ready, HandedBack, Died
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from okazja._backends.base import Backend
from okazja._core.messages import (
    BackendFailed,
    Call,
    Died,
    Event,
    HandedBack,
    Port,
    Ready,
    Reply,
    StartFailed,
    Waits,
    WornOut,
)
from okazja._core.scheduler import Scheduler
from okazja._engine.deaths import backend_failed, start_failed, worker_died, workers_die_at_start
from okazja._engine.future import Future
from okazja._engine.limits import Due, Limits
from okazja._engine.shortcut import Shortcut
from okazja._transport.board import Board
from okazja._transport.codec import ERROR
from okazja._worker.cpus import cpu_count
from okazja.errors import ExecutorBroken, ExecutorShutdown

__all__ = ["Traffic"]

log = logging.getLogger("okazja")


@dataclass(slots=True)
class _News:
    """What follows from one delivery, to be carried out once the lock is free."""

    sends: list[tuple[Port, Sequence[Call]]] = field(default_factory=list)
    retiring: list[Port] = field(default_factory=list)
    stuck: list[int] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    pause: float | None = None  # seconds until something is due
    settled: list[tuple[Call, Reply]] = field(default_factory=list)
    again: list[tuple[Call, Reply]] = field(default_factory=list)  # perhaps settled, but not to the end
    failed: list[tuple[Call, BaseException]] = field(default_factory=list)
    refused: list[Call] = field(default_factory=list)
    broken: BaseException | None = None
    waits: bool = False  # a worker's task has waited for long


class Traffic(ABC):
    """What an engine has to do with calls and replies, until it ends. Thread-safe."""

    def __init__(
        self,
        backend: Backend,
        board: Board,
        max_workers: int,
        max_items: int | None,
        memory_limit: int | None,
    ) -> None:
        self.backend = backend
        self.max_workers = max_workers
        self.board = board
        self.shares_memory = backend.capabilities.shares_memory
        self.cancels = backend.capabilities.cancels
        self.runs_at_once = backend.capabilities.runs_at_once
        self.broken: BaseException | None = None
        self.closed = False  # the backend was told
        self.interrupted = False  # by Ctrl-C
        self.groups: set[object] = set()  # open ones, whose tasks must not begin after a failure
        self.lock = threading.RLock()
        self._places = not backend.capabilities.places_calls
        placed = max_workers if self._places else 0  # workers that the scheduler gives calls to
        self.scheduler = Scheduler(placed, max_items, cpu_count())
        self.limits = Limits(backend, board, self.scheduler)
        self.ports: list[Port | None] = [None] * placed
        self.shortcut = Shortcut(self)
        self._memory_limit = memory_limit  # bytes a worker may have
        self._killed = ""  # by which method the workers were ended, if so
        self._closing = False  # told to close when nothing is pending

    @abstractmethod
    def break_off(self, error: BaseException) -> None:
        """Give up: see Engine."""

    @abstractmethod
    def _close_if_done(self) -> None:
        """Close the backend if that is what is waited for."""

    @abstractmethod
    def _look_for_standstill(self) -> None:
        """See whether every task waits, and nobody is left who could end that."""

    def number_call(self) -> int:
        """A number for a new call."""
        return self.scheduler.number()

    # --- calls go out -------------------------------------------------------------------------------

    def dispatch(self, call: Call) -> None:
        """Have a call run."""
        if not self._places:
            try:
                self.backend.send(None, (call,))
            except ExecutorShutdown as error:  # it was shut down since check_open
                call.sink._fail(call, error)
            finally:
                del call  # see serial.execute
            return
        given: list[int] = []
        try:
            sooner, refused, ported = self._decide(call, given)
            for port, calls in ported:
                self._send(port, calls)
            if sooner:
                self.backend.wake()
        except BaseException:
            self._give_again(given)
            raise
        if refused is not None:
            call.sink._fail(call, refused)

    def _decide(
        self, call: Call, given: list[int]
    ) -> tuple[bool, BaseException | None, list[tuple[Port, Sequence[Call]]]]:
        """Whether the collector is to look sooner; why the call is refused, if it is; what to send where.

        ``given``: filled in with the slots that were given something, at once and so in any case.
        """
        with self.lock:
            if self.broken is not None or self.closed:
                return False, self.broken or ExecutorShutdown("the executor was shut down meanwhile"), []
            self.scheduler.given = given
            ported = self._with_ports(self._accept(call))
            sooner = self.scheduler.needs_watch()
            if call.limit is not None:
                for _, calls in ported:
                    sooner = self.limits.expect(calls, monotonic()) or sooner
            sooner = sooner or bool(self.scheduler.refused)
        return sooner, None, ported

    def _accept(self, call: Call) -> Sequence[tuple[int, Sequence[Call]]]:
        """Give a call to the scheduler; what to send to whom now."""
        scheduler = self.scheduler
        slot = scheduler.offer(call)
        if slot is None:
            return scheduler.top_up(scheduler.some_slots()) if scheduler.is_ripe() else ()
        call.sink._begin()
        sends: list[tuple[int, Sequence[Call]]] = [(slot, (call,))]
        if scheduler.backlog:  # of a chunk, the items that this worker may not run any more
            sends += scheduler.top_up()
        return sends

    def _with_ports(self, sends: Sequence[tuple[int, Sequence[Call]]]) -> list[tuple[Port, Sequence[Call]]]:
        """Where to send what. If no new port can be made (out of descriptors) the executor is broken off."""
        try:
            return [(self._port(slot), calls) for slot, calls in sends]
        except OSError as error:
            self.break_off(backend_failed(error))
            return []

    def _port(self, slot: int) -> Port:
        port = self.ports[slot]
        if port is None:
            port = self.ports[slot] = self.backend.port(slot)
            assert port is not None
        return port

    def _send(self, port: Port, calls: Sequence[Call]) -> None:
        try:
            unsent = self.backend.send(port, calls)
        except Exception as error:
            what = "reached" if getattr(port, "launched", False) else "started"
            broken = ExecutorBroken(f"a worker could not be {what}: {type(error).__name__}: {error}")
            broken.__cause__ = error
            self.break_off(broken)
            return
        if unsent:
            with self.lock:
                if self.ports[port.slot] is port:
                    self.scheduler.take_back(port.slot, unsent)
                idle = not self.scheduler.workers[port.slot].held
            if idle:  # its last reply was heard before they came back: nothing else would bring them on
                self.backend.wake()

    def _give_again(self, slots: Sequence[int]) -> None:
        """An exception (Ctrl-C) broke in, and nobody knows which of these workers got their calls.

        With the worker its calls come back: what it has not begun runs elsewhere.
        """
        for slot in set(slots):
            with self.lock:
                port = self.ports[slot]
                if port is None:  # nothing was sent to it
                    self.scheduler.take_back(slot, list(self.scheduler.workers[slot].held.values()))
                    continue
            kill = getattr(port, "kill", None)
            if kill is not None:
                kill()
            if getattr(port, "gone", False) or not getattr(port, "launched", True):
                # Nobody else will tell of its end.
                self.deliver((), [Died(port, 0, None, 0, 0, "its start was interrupted")])
        self.deliver((), ())

    # --- replies and events come in ---------------------------------------------------------------------

    def deliver(
        self, replies: Sequence[tuple[Port | None, Sequence[Reply]]], events: Sequence[Event]
    ) -> float | None:
        """What the backend has to tell; see okazja._backends.base.Deliver."""
        if not self._places:
            self._pass_on(replies)
            return None
        news = _News()
        with self.lock:
            if self.shortcut.is_broken:
                news.again = self.shortcut.repair(self)
            self._take_note(replies, events, news)
            if self.groups:
                _halt_groups(news)
            self.scheduler.given = []
            now = monotonic()
            relief = self.scheduler.relieve(now)
            if news.broken is None:
                heard = None if events else {port.slot for port, _ in replies if port is not None}
                news.sends = self._with_ports(self.scheduler.top_up(heard))
            news.retiring = [port for slot in self.scheduler.retiring() if (port := self.ports[slot])]
            news.stuck, pause = self.scheduler.stuck(now)
            news.pause = _sooner(relief, pause)
            for _, calls in news.sends:
                self.limits.expect(calls, now)
            news.due, pause = self.limits.look(self.ports, now)
            news.refused, self.scheduler.refused = self.scheduler.refused, []
        if pause is not None:
            news.pause = _sooner(news.pause, pause)
        if (pause is not None or relief is not None) and not self.backend.inside():
            self.backend.wake()  # whoever this is, it is not who will wait for so long
        return self._carry_out(news)

    def look_after(self) -> None:
        """A call was settled past `deliver`: have the collector see to what follows from it, if anything does."""
        if self.scheduler.backlog or self.scheduler.max_items is not None:
            self.backend.wake()
        elif self._closing:
            self._close_if_done()

    def _pass_on(self, replies: Sequence[tuple[Port | None, Sequence[Reply]]]) -> None:
        """Replies of a backend that places calls itself name their call; they come in the thread that ran it."""
        for _, frames in replies:
            for reply in frames:
                try:
                    reply[0].sink._settle(reply[0], reply)
                except BaseException:
                    if not self.backend.inside():
                        raise  # the caller's own thread
                    log.exception("the result of %s could not be delivered", reply[0].fn.name)
                if self.interrupted and self.cancels:
                    self._hush(reply[0])

    def _carry_out(self, news: _News) -> float | None:
        """What follows from a delivery. Returns when to deliver again, in seconds."""
        for port, calls in news.sends:  # first of all, have the workers busy
            self._send(port, calls)
        self.limits.carry_out(news.due)
        for port in news.retiring:
            self.backend.end_worker(port)
        self._settle(news)
        if news.broken is not None:
            self.break_off(news.broken)
        if news.waits:
            self._look_for_standstill()
        if self._reclaim(news.stuck):
            return 0.0  # at once: the calls go to those who have nothing to do
        self._close_if_done()
        return news.pause

    def _take_note(
        self, replies: Sequence[tuple[Port | None, Sequence[Reply]]], events: Sequence[Event], news: _News
    ) -> None:
        """Tell the scheduler, with the lock held. What comes from a port that was given up is too late."""
        for event in events:  # hand-backs first: they narrow calls whose replies come with them
            if isinstance(event, StartFailed | BackendFailed):
                say = start_failed if isinstance(event, StartFailed) else backend_failed
                news.broken = news.broken or say(event.error)
            elif isinstance(event, Waits):
                news.waits = True
            elif not isinstance(event, Died):
                self._note(event)
        for port, frames in replies:
            assert port is not None
            if self.ports[port.slot] is port:
                news.settled += self.scheduler.replied(port.slot, frames)
        for event in events:
            if isinstance(event, Died) and self.ports[event.port.slot] is event.port:
                news.broken = self._bury(event, news.failed) or news.broken

    def _note(self, event: Ready | HandedBack | WornOut) -> None:
        port = event.port
        if self.ports[port.slot] is not port:
            return
        if isinstance(event, Ready):
            self.scheduler.ready(port.slot)
        elif isinstance(event, WornOut):
            self.scheduler.wear_out(port.slot)
        elif isinstance(event, HandedBack):
            held = self.scheduler.workers[port.slot].held
            back = []
            for number, first in event.calls:
                call = held.get(number)
                if call is None:
                    continue
                forget = getattr(port, "forget", None)
                if forget is not None and call.fn.token:
                    forget(call.fn.token)
                if first == call.lo:
                    back.append(call)
                else:
                    self.scheduler.narrow(port.slot, number, first)
            self.scheduler.take_back(port.slot, back)
            self.scheduler.answered(port.slot)

    def _bury(self, death: Died, failed: list[tuple[Call, BaseException]]) -> BaseException | None:
        """A worker has died: blame one item, keep the others. Returns why the executor is broken, if it is."""
        slot = death.port.slot
        self.ports[slot] = None
        timed_out, innocent = self.limits.buried(death)
        call = self.scheduler.workers[slot].held.get(death.call)
        lost = getattr(call.sink, "_lost", None) if call is not None else None
        innocent = innocent and lost is not None  # a submitted call that began never begins again
        if call is not None and lost is not None:
            lost(call, min(_end_of_lost(call, death.item) + innocent, call.hi))
        verdict = self.scheduler.died(slot, 0 if innocent else death.call, death.item, death.span)
        guilty = verdict.guilty
        if guilty is not None:
            guilty.slot, guilty.spent = slot, death.seconds
            error = timed_out or worker_died(death, guilty, self._killed, self._memory_limit)
            failed.append((guilty, error))
        return workers_die_at_start(death) if verdict.broken and not self.closed else None

    def _hush(self, call: Call) -> None:
        """After Ctrl-C nobody needs to be told that calls have failed."""
        if self.interrupted and isinstance(call.sink, Future):
            call.sink._looked_at()

    def _settle(self, news: _News) -> None:
        for call, reply in news.settled:
            try:
                call.sink._settle(call, reply)
            except (
                BaseException
            ):  # not the task's: a callback that exits, a future that somebody else completed
                log.exception("the result of %s could not be delivered", call.fn.name)
            if self.interrupted:
                self._hush(call)
        for call, reply in news.again:
            if isinstance(call.sink, Future):
                call.sink._settle_again(call, reply)
        for call, error in news.failed:
            try:
                call.sink._fail(call, error)
            except BaseException:
                log.exception("the failure of %s could not be delivered", call.fn.name)
            self._hush(call)
        for call in news.refused:
            call.sink._refused(call)

    def _reclaim(self, slots: Sequence[int]) -> bool:
        """Get back calls that wait behind a running one. True if some came at once."""
        some = False
        for slot in slots:
            with self.lock:
                port, held = self.ports[slot], self.scheduler.workers[slot].held
                running = next(iter(held), 0)
            if port is None:
                continue
            numbers = self.backend.reclaim(port, running)
            with self.lock:
                if self.ports[slot] is port:
                    self.scheduler.take_back(slot, [held[n] for n in numbers if n in held])
                    some = some or bool(numbers)
        return some


def _halt_groups(news: _News) -> None:
    """Before the workers get more to do: where a group's task has failed, none of the group begins any more."""
    failed = [call for call, reply in news.settled if reply[1] == ERROR] + [call for call, _ in news.failed]
    for call in failed:
        halt = getattr(call.sink, "_halt_group", None)
        if halt is not None:
            halt()


def _sooner(one: float | None, other: float | None) -> float | None:
    """The shorter of two pauses, None where there is neither."""
    return other if one is None else one if other is None else min(one, other)


def _end_of_lost(call: Call, item: int) -> int:
    """The items before this one had begun on a worker that died, and will begin once more."""
    if item < call.hi:
        return item
    return call.hi if call.items > 1 else call.lo  # unknown which; a single one is blamed in any case
