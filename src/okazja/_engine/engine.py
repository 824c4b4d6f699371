"""The engine: joins the scheduler and one backend, and outlives the Executor that is its face.

    submit ─▶ dispatch ─▶ Scheduler.offer ─▶ Backend.send ─▶ worker
                               ▲   │                            │
                          top_up   ▼                            ▼
    Future ◀─ Sink._settle ◀─ deliver ◀──────── replies, Ready, HandedBack, Died

One lock guards the scheduler and the table of ports. It is never held while the user's code runs: not
while pickling, drawing input, completing futures or starting processes.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from okazja._backends.base import Backend, Spec
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
)
from okazja._core.scheduler import Scheduler
from okazja._engine import lifetime
from okazja._engine.deaths import backend_failed, fresh, start_failed, worker_died, workers_die_at_start
from okazja._engine.future import Future
from okazja._transport.board import Board
from okazja._transport.codec import FunctionTable
from okazja.errors import ExecutorBroken, ExecutorShutdown

__all__ = ["Engine"]

GRACE = 1.0  # seconds for an interrupted call to end by itself

_numbers = itertools.count(1)
log = logging.getLogger("okazja")


class Pass(Protocol):
    """A map or stream that has not drawn all of its input."""

    def finish(self, *, wait: bool) -> None:
        """Draw what is left of a sized input, and with ``wait`` see it through; give up an unsized one."""

    def forgotten(self) -> None:
        """The Executor is gone: end, unless somebody can still take results."""

    def abandon(self) -> None:
        """Draw no more; what has not begun is cancelled."""

    def after_fork(self) -> None:
        """In a child of a fork: end, without a wait for any lock."""


@dataclass(slots=True)
class _News:
    """What follows from one delivery, to be carried out once the lock is free."""

    sends: list[tuple[Port, Sequence[Call]]] = field(default_factory=list)
    retiring: list[Port] = field(default_factory=list)
    stuck: list[int] = field(default_factory=list)
    pause: float | None = None  # seconds until something is due
    settled: list[tuple[Call, Reply]] = field(default_factory=list)
    failed: list[tuple[Call, BaseException]] = field(default_factory=list)
    broken: BaseException | None = None


class Engine:
    """One executor's scheduler, backend, board and state. Thread-safe."""

    def __init__(
        self,
        backend: Backend,
        backend_name: str,
        spec_options: dict[str, Any],
        max_workers: int,
        max_items: int | None,
    ) -> None:
        self.number = next(_numbers)
        self.name = f"{backend_name}-{self.number}"
        self.backend_name = backend_name
        self.backend = backend
        self.max_workers = max_workers
        self.board = Board.create(max_workers, number=self.number, backend=backend_name, name=self.name)
        self.functions = FunctionTable()
        self.runs: list[Pass] = []  # those that have input left to draw
        self.all_runs: weakref.WeakSet[Pass] = weakref.WeakSet()
        self.shares_memory = backend.capabilities.shares_memory
        self.broken: BaseException | None = None
        self.accepting = True
        self._places = not backend.capabilities.places_calls
        self._lock = threading.RLock()
        self._scheduler = Scheduler(max_workers, max_items)
        self._ports: list[Port | None] = [None] * max_workers
        self._closing = False  # told to close when nothing is pending
        self.closed = False  # the backend was told
        self._killed = ""  # by which method the workers were ended, if so
        self.forgotten = False
        self.interrupted = False  # by Ctrl-C
        self.owner = os.getpid()
        backend.open(
            Spec(name=self.name, max_workers=max_workers, board=self.board, **spec_options), self.deliver
        )
        lifetime.register(self)

    def number_call(self) -> int:
        """A number for a new call."""
        return self._scheduler.number()

    # --- calls go out -------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise if no new work is taken."""
        if self.broken is None:
            self.broken = self.backend.broken
        if self.broken is not None:
            raise fresh(self.broken)
        if not self.accepting:
            raise ExecutorShutdown("cannot schedule new futures after shutdown of the executor")
        if lifetime.interpreter_exits():
            raise ExecutorShutdown("cannot schedule new futures after interpreter shutdown")

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
        with self._lock:
            if self.broken is not None or self.closed:
                refused = self.broken or ExecutorShutdown("the executor was shut down meanwhile")
            else:
                refused = None
                slot = self._scheduler.offer(call)
                if slot is None:
                    return
                call.sink._begin()
                sends: list[tuple[int, Sequence[Call]]] = [(slot, (call,))]
                if self._scheduler.backlog:  # of a chunk, the items that this worker may not run any more
                    sends += self._scheduler.top_up()
                ported = self._with_ports(sends)
        if refused is not None:
            call.sink._fail(call, refused)
            return
        for port, calls in ported:
            self._send(port, calls)

    def _with_ports(self, sends: Sequence[tuple[int, Sequence[Call]]]) -> list[tuple[Port, Sequence[Call]]]:
        """Where to send what. If no new port can be made (out of descriptors) the executor is broken off."""
        try:
            return [(self._port(slot), calls) for slot, calls in sends]
        except OSError as error:
            self.break_off(backend_failed(error))
            return []

    def _port(self, slot: int) -> Port:
        port = self._ports[slot]
        if port is None:
            port = self._ports[slot] = self.backend.port(slot)
            assert port is not None
        return port

    def _send(self, port: Port, calls: Sequence[Call]) -> None:
        try:
            unsent = self.backend.send(port, calls)
        except Exception as error:
            broken = ExecutorBroken(f"a worker could not be started: {type(error).__name__}: {error}")
            broken.__cause__ = error
            self.break_off(broken)
            return
        except BaseException:
            # Ctrl-C, and nobody knows whether the packet left: with the worker its calls come back.
            kill = getattr(port, "kill", None)
            if kill is not None:
                kill()
            if getattr(port, "gone", False):  # it was not even started: nobody else will tell of its end
                self.deliver((), [Died(port, 0, None, 0, 0, "its start was interrupted")])
            raise
        if unsent:
            with self._lock:
                if self._ports[port.slot] is port:
                    self._scheduler.take_back(port.slot, unsent)

    # --- replies and events come in ---------------------------------------------------------------------

    def deliver(
        self, replies: Sequence[tuple[Port | None, Sequence[Reply]]], events: Sequence[Event]
    ) -> float | None:
        """What the backend has to tell; see okazja._backends.base.Deliver."""
        if not self._places:
            self._pass_on(replies)
            return None
        news = _News()
        with self._lock:
            self._take_note(replies, events, news)
            if news.broken is None:
                news.sends = self._with_ports(self._scheduler.top_up())
            news.retiring = [port for slot in self._scheduler.retiring() if (port := self._ports[slot])]
            news.stuck, news.pause = self._scheduler.stuck(monotonic())
        return self._carry_out(news)

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

    def _carry_out(self, news: _News) -> float | None:
        """What follows from a delivery. Returns when to deliver again, in seconds."""
        for port, calls in news.sends:  # first of all, have the workers busy
            self._send(port, calls)
        for port in news.retiring:
            self.backend.end_worker(port)
        self._settle(news)
        if news.broken is not None:
            self.break_off(news.broken)
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
            elif not isinstance(event, Died):
                self._note(event)
        for port, frames in replies:
            assert port is not None
            if self._ports[port.slot] is port:
                for reply in frames:
                    call = self._scheduler.replied(port.slot, reply[0])
                    if call is not None:
                        call.fn.timing.measured(reply[3])
                        news.settled.append((call, reply))
        for event in events:
            if isinstance(event, Died) and self._ports[event.port.slot] is event.port:
                news.broken = self._bury(event, news.failed) or news.broken

    def _note(self, event: Ready | HandedBack) -> None:
        port = event.port
        if self._ports[port.slot] is not port:
            return
        if isinstance(event, Ready):
            self._scheduler.ready(port.slot)
        elif isinstance(event, HandedBack):
            held = self._scheduler.workers[port.slot].held
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
                    self._scheduler.narrow(port.slot, number, first)
            self._scheduler.take_back(port.slot, back)
            self._scheduler.answered(port.slot)

    def _bury(self, death: Died, failed: list[tuple[Call, BaseException]]) -> BaseException | None:
        """A worker has died: blame one item, keep the others. Returns why the executor is broken, if it is."""
        self._ports[death.port.slot] = None
        verdict = self._scheduler.died(death.port.slot, death.call, death.item)
        if verdict.guilty is not None:
            failed.append((verdict.guilty, worker_died(death, verdict.guilty, self._killed)))
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
            self._hush(call)
        for call, error in news.failed:
            try:
                call.sink._fail(call, error)
            except BaseException:
                log.exception("the failure of %s could not be delivered", call.fn.name)
            self._hush(call)

    def _reclaim(self, slots: Sequence[int]) -> bool:
        """Get back calls that wait behind a running one. True if some came at once."""
        some = False
        for slot in slots:
            with self._lock:
                port, held = self._ports[slot], self._scheduler.workers[slot].held
                running = next(iter(held), 0)
            if port is None:
                continue
            numbers = self.backend.reclaim(port, running)
            with self._lock:
                if self._ports[slot] is port:
                    self._scheduler.take_back(slot, [held[n] for n in numbers if n in held])
                    some = some or bool(numbers)
        return some

    # --- the end --------------------------------------------------------------------------------------------

    def break_off(self, error: BaseException) -> None:
        """Give up: everything pending fails with ``error``, workers are killed."""
        with self._lock:
            if self.broken is None:
                self.broken = error
            self.accepting = False
            dropped = self._scheduler.drop_all()
        for call in dropped:
            if call.sink._begin():
                call.sink._fail(call, fresh(error))
        self._close(getattr(signal, "SIGKILL", signal.SIGTERM))

    def shutdown(self, *, wait: bool, cancel_futures: bool) -> None:
        """Take no more work; see Executor.shutdown."""
        self.accepting = False
        if os.getpid() != self.owner:
            return  # a fork of the owner: nothing here is its own
        wait = wait and not self.backend.inside()  # nobody can wait for itself
        if cancel_futures:
            self._cancel()
        for run in list(self.runs):
            if cancel_futures:
                run.abandon()
            else:
                run.finish(wait=wait)
        self._closing = True
        self._close_if_done()
        for port in list(self._ports):  # what a stopped worker has begun can be finished only if it goes on
            if port is not None and (resume := getattr(port, "resume", None)) is not None:
                resume()
        if wait:
            self.backend.join()

    def _cancel(self) -> None:
        """Cancel all that has not begun, wherever it waits."""
        with self._lock:
            dropped = self._scheduler.drop_backlog()
            workers = self._scheduler.workers
            slots = [w.slot for w in workers if len(w.held) > 1 or (w.held and not w.ready)]
        self._reclaim(slots)
        with self._lock:
            dropped += self._scheduler.drop_backlog()
        dropped += self.backend.drop()
        for call in dropped:
            call.sink._drop(call)

    def interrupt(self) -> None:
        """After Ctrl-C: cancel what has not begun, interrupt what runs, and kill what goes on all the same.

        Calls on threads can't be stopped; they are not waited for here.
        """
        self.interrupted = True
        self.shutdown(wait=False, cancel_futures=True)
        if not self.backend.capabilities.can_kill or os.getpid() != self.owner:
            return
        with self._lock:
            running = [
                (port, next(iter(worker.held)))
                for port, worker in zip(self._ports, self._scheduler.workers, strict=True)
                if port is not None and worker.held
            ]
        for port, number in running:
            self.backend.interrupt(port, number)
        if not self.backend.join(GRACE):
            self.kill(signal.SIGKILL, "Ctrl-C")
            self.backend.join()

    def release(self, run: object) -> None:
        """A map was closed early: get back what workers hold of it, so that it never begins."""
        if not self._places or self.closed:
            return
        with self._lock:
            slots = [
                worker.slot
                for worker in self._scheduler.workers
                if any(getattr(call.sink, "run", None) is run for call in list(worker.held.values()))
            ]
        if slots:
            self._reclaim(slots)
        if self.deliver((), ()) == 0.0:  # drops them, for their run is closed
            self.deliver((), ())

    def forget(self) -> None:
        """The Executor is gone: end once its work is done. May run in any thread, during a collection."""
        if lifetime.interpreter_exits() or os.getpid() != self.owner or self._closing:
            return
        self.accepting = False
        self.forgotten = True
        for run in list(self.runs):
            run.forgotten()
        if not self.runs:
            self._closing = True
        self._close_if_done()

    def run_ended(self, run: Pass) -> None:
        """A map has drawn all of its input, or was closed."""
        with self._lock:
            if run in self.runs:
                self.runs.remove(run)
            last = self.forgotten and not self.runs
        if last:
            self._closing = True
            self._close_if_done()

    def kill(self, number: int, method: str) -> None:
        """Signal all workers and shut down: pending calls fail as those of a broken pool do."""
        self.accepting = False
        self._killed = method
        error = ExecutorBroken(f"the workers were ended by {method}()")
        with self._lock:
            if self.broken is None:
                self.broken = error
            dropped = self._scheduler.drop_all()
        for run in list(self.runs):
            run.abandon()
        for call in dropped:
            if call.sink._begin():
                call.sink._fail(call, fresh(error))
                self._hush(call)
        self._close(number)

    def _close_if_done(self) -> None:
        if self._closing and not self.closed:
            with self._lock:
                done = not self._scheduler.pending
            if done:
                self._close(None)

    def _close(self, number: int | None) -> None:
        with self._lock:
            again, self.closed = self.closed, True
        if not again or number is not None:
            self.backend.close(number)

    def after_fork(self) -> None:
        """In a child of a fork: this executor is the parent's."""
        self._lock = threading.RLock()
        self.accepting = False
        self.broken = ExecutorBroken(
            "this executor belongs to the process that forked this one: make a new one here"
        )
        self.closed = True
        for run in list(self.all_runs):
            run.after_fork()
        for call in [*self._scheduler.drop_all(), *self.backend.drop()]:
            if isinstance(call.sink, Future):
                call.sink._after_fork(self.broken)
        self.backend.after_fork()
