"""The engine: joins the scheduler and one backend, and outlives the Executor that is its face.

    submit, map, stream ─▶ Traffic (calls out, replies in) ─▶ Future, Outcome
    shutdown, Ctrl-C, forgotten, broken, forked ─▶ Engine

One lock guards the scheduler and the table of ports. It is never held while the user's code runs: not
while pickling, drawing input, completing futures or starting processes.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import weakref
from time import monotonic
from typing import Any, Protocol

from okazja._backends.base import Backend, Spec
from okazja._core.messages import Call, Stop
from okazja._engine import lifetime
from okazja._engine.alarm import Alarm
from okazja._engine.deaths import fresh
from okazja._engine.future import Future
from okazja._engine.retrying import Retrying
from okazja._engine.standstill import Standstill
from okazja._engine.traffic import Traffic
from okazja._transport import waiting
from okazja._transport.board import Board
from okazja._transport.codec import FunctionTable
from okazja.errors import ExecutorBroken, ExecutorShutdown

__all__ = ["Engine"]

GRACE = 1.0  # seconds for an interrupted call to end by itself

_numbers = itertools.count(1)


class Pass(Protocol):
    """A map or stream that has not drawn all of its input."""

    def finish(self, *, wait: bool) -> None:
        """Draw what is left of a sized input, and with ``wait`` see it through; give up an unsized one."""

    def forgotten(self) -> None:
        """The Executor is gone: end, unless somebody can still take results."""

    def abandon(self) -> None:
        """Draw no more; what has not begun is cancelled."""

    def shut(self) -> None:
        """The executor was shut down and has nothing left to do."""

    def after_fork(self) -> None:
        """In a child of a fork: end, without a wait for any lock."""


class Engine(Traffic):
    """One executor's traffic, and how it begins and ends. Thread-safe."""

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
        marked = min(max_workers, backend.capabilities.most_marked or max_workers)
        slots = marked + backend.capabilities.threads_beside
        board = Board.create(slots, number=self.number, backend=backend_name, name=self.name)
        super().__init__(backend, board, max_workers, max_items, spec_options.get("memory_limit"))
        self.functions = FunctionTable()
        self.runs: list[Pass] = []  # those that have input left to draw
        self.all_runs: weakref.WeakSet[Pass] = weakref.WeakSet()
        self.accepting = True
        self.retrying = Retrying()
        self.alarm = Alarm(self.name)
        self._standstill = Standstill(self)
        self.forgotten = False
        self.owner = os.getpid()
        self._initializes = spec_options.get("initializer") is not None
        backend.open(Spec(name=self.name, max_workers=max_workers, board=board, **spec_options), self.deliver)
        self.arena = backend.arena  # for large arguments
        lifetime.register(self)

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

    # --- the end --------------------------------------------------------------------------------------------

    def break_off(self, error: BaseException) -> None:
        """Give up: everything pending fails with ``error``, workers are killed."""
        with self.lock:
            if self.broken is None:
                self.broken = error
            self.accepting = False
            dropped = self.scheduler.drop_all()
        for call in dropped:
            if call.sink._begin():
                call.sink._fail(call, fresh(error))
        self._close(getattr(signal, "SIGKILL", signal.SIGTERM))
        self.retrying.give_up()

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
        if cancel_futures:
            self.retrying.give_up()
        self._closing = True
        self._close_if_done()
        for port in list(self.ports):  # what a stopped worker has begun can be finished only if it goes on
            if port is not None and (resume := getattr(port, "resume", None)) is not None:
                resume()
        if wait:
            self.join()

    def join(self) -> None:
        """Wait until all is done and the workers are gone."""
        waiting.for_calls[threading.get_ident()] = self
        try:
            self.backend.join()
        finally:
            waiting.for_calls.pop(threading.get_ident(), None)
        for run in list(self.all_runs):
            run.shut()

    def _cancel(self) -> None:
        """Cancel all that has not begun, wherever it waits."""
        with self.lock:
            dropped = self.scheduler.drop_backlog()
            workers = self.scheduler.workers
            # An initializer may hang; without one, a worker that starts will run the call that it was sent.
            starting = self._initializes
            slots = [w.slot for w in workers if len(w.held) > 1 or (starting and w.held and not w.ready)]
        self._reclaim(slots)
        with self.lock:
            dropped += self.scheduler.drop_backlog()
        dropped += self.backend.drop()
        for call in dropped:
            call.sink._drop(call)

    def interrupt(self) -> None:
        """After Ctrl-C: cancel what has not begun, interrupt what runs, and kill what goes on all the same.

        Calls on threads can't be stopped, and coroutines are cancelled; neither are waited for here.
        """
        self.interrupted = True
        self.interrupt_softly("Ctrl-C came")
        if not self.backend.capabilities.can_kill or os.getpid() != self.owner:
            return
        with self.lock:
            running = [
                (port, next(iter(worker.held)))
                for port, worker in zip(self.ports, self.scheduler.workers, strict=True)
                if port is not None and worker.held
            ]
        for port, number in running:
            self.backend.interrupt(port, number)
        if not self.backend.join(GRACE):
            self.kill(signal.SIGKILL, "Ctrl-C")
            self.backend.join()

    def interrupt_softly(self, why: str = "the task that used the executor was cancelled") -> None:
        """Cancel what has not begun, and what runs where that harms nothing else. Doesn't wait."""
        self.shutdown(wait=False, cancel_futures=True)
        if self.cancels and os.getpid() == self.owner:
            self.backend.stop(_any, Stop(monotonic(), why, abandon=False))

    def release(self, run: object) -> None:
        """A map was closed early: get back what workers hold of it, so that it never begins."""
        if not self._places or self.closed:
            return
        with self.lock:
            slots = [
                worker.slot
                for worker in self.scheduler.workers
                if any(getattr(call.sink, "run", None) is run for call in list(worker.held.values()))
            ]
        if slots:
            self._reclaim(slots)
        self.backend.wake()  # the collector drops them, for their run is closed

    def stop(self, run: object, stop: Stop) -> list[Call]:
        """End what runs of a stream: interrupted, and after a grace killed. Returns its calls that had not begun."""
        if os.getpid() != self.owner:
            return []

        def chosen(call: Call) -> bool:
            return getattr(call.sink, "run", None) is run

        if not self._places:
            return self.backend.stop(chosen, stop)
        with self.lock:
            dropped = self.scheduler.withdraw(chosen)
            held = [w for w in self.scheduler.workers if any(map(chosen, list(w.held.values())))]
        self._reclaim([worker.slot for worker in held])
        with self.lock:
            dropped += self.scheduler.withdraw(chosen)
            self.limits.stop([call for w in held for call in w.held.values() if chosen(call)], stop)
        self.backend.wake()
        self._close_if_done()
        return dropped

    def stop_call(self, call: Call) -> None:
        """The task that awaited a call was cancelled while that runs."""
        self.backend.stop_call(
            call, Stop(monotonic(), "the task that awaited it was cancelled", abandon=False)
        )

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
        with self.lock:
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
        with self.lock:
            if self.broken is None:
                self.broken = error
            dropped = self.scheduler.drop_all()
        for run in list(self.runs):
            run.abandon()
        self.retrying.give_up()
        for call in dropped:
            if call.sink._begin():
                call.sink._fail(call, fresh(error))
                self._hush(call)
        self._close(number)

    def _look_for_standstill(self) -> None:
        self._standstill.look()

    def _close_if_done(self) -> None:
        if not self._closing:
            return
        with self.lock:  # no call is accepted between the look and the end
            if self.closed or self.scheduler.pending or self.retrying.unsettled():
                return
            self.closed = True
        self.backend.close(None)

    def _close(self, number: int | None) -> None:
        with self.lock:
            again, self.closed = self.closed, True
        if not again or number is not None:
            self.backend.close(number)

    def after_fork(self) -> None:
        """In a child of a fork: this executor is the parent's."""
        self.lock = threading.RLock()
        self.alarm = Alarm(self.name)
        self.accepting = False
        self.broken = ExecutorBroken(
            "this executor belongs to the process that forked this one: make a new one here"
        )
        self.closed = True
        for run in list(self.all_runs):
            run.after_fork()
        for call in [*self.scheduler.drop_all(), *self.backend.drop()]:
            if isinstance(call.sink, Future):
                call.sink._after_fork(self.broken)
        self.backend.after_fork()


def _any(_: Call) -> bool:
    """All calls are meant."""
    return True
