"""The serial backend: calls run in the calling thread, at once."""

from __future__ import annotations

import dis
import logging
import os
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic, monotonic_ns, perf_counter
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING

from okazja._backends.base import Capabilities, Deliver, OwnPlacement, Spec
from okazja._core.messages import Call, Port, Reply, Stop
from okazja._transport.board import CALL, DONE, FIRST, PID, STARTED, TID
from okazja._transport.codec import RAISED, VALUE
from okazja._worker.coroutines import close_loop, finish, finished
from okazja.errors import ExecutorBroken, RemoteTraceback, describe, set_cause

if TYPE_CHECKING:
    from okazja.sync.local import LocalPrimitives

__all__ = ["SerialBackend", "execute", "initializer_failed"]


class SerialBackend(OwnPlacement):
    """No thread, no queue: ``send`` returns when the calls are done."""

    capabilities = Capabilities(
        places_calls=True, shares_memory=True, can_kill=False, times_items=False, runs_at_once=True
    )

    @property
    def primitives(self) -> LocalPrimitives:
        """Locks, queues and the like, by reference."""
        from okazja.sync.local import LocalPrimitives

        return LocalPrimitives("serial", alone=True)

    def open(self, spec: Spec, deliver: Deliver) -> None:
        """The initializer runs with the first call, as it would in a worker."""
        self._spec = spec
        self._deliver = deliver
        self._starting = threading.RLock()
        self._started = False
        self._broken: ExecutorBroken | None = None
        self._words = spec.board.words(0)

    def send(self, port: Port | None, calls: Sequence[Call]) -> Sequence[Call]:
        """Run the calls."""
        self._start()
        words = self._words
        for call in calls:
            if self._broken is not None:
                call.sink._fail(call, self._broken)
                continue
            if not call.sink._begin():
                call.sink._refused(call)
                continue
            outer = words[CALL], words[FIRST]  # a task may submit to its own executor
            self._spec.board.describe(0, call.fn.name)
            words[FIRST] = call.base + 1
            words[STARTED] = monotonic_ns()
            words[CALL] = call.id
            call.slot = 0
            reply = execute(call)
            words[DONE] += 1
            words[CALL], words[FIRST] = outer
            ctrl_c = reply[2] if reply[1] == RAISED and _is_ctrl_c(reply[2]) else None
            if ctrl_c is not None:
                call.stop = Stop(monotonic(), "Ctrl-C came", abandon=False)  # no outcome of its own
            self._deliver([(None, [reply])], ())
            del call, reply  # see execute
            if ctrl_c is not None:
                raise ctrl_c
        del calls
        return ()

    def _start(self) -> None:
        with self._starting:  # other threads wait for the initializer, which may submit itself
            if not self._started:
                self._started = True
                self._initialize()

    def _initialize(self) -> None:
        self._words[PID] = os.getpid()
        self._words[TID] = threading.get_native_id()
        if self._spec.initializer is not None:
            try:
                finished(self._spec.initializer(*self._spec.initargs))
            except BaseException as error:
                self._broken = initializer_failed(error)
                if _is_ctrl_c(error):
                    raise

    @property
    def broken(self) -> ExecutorBroken | None:
        """Why no call can run, if so."""
        return self._broken

    def drop(self) -> list[Call]:
        """Nothing waits."""
        return []

    def stop(self, chosen: Callable[[Call], bool], stop: Stop) -> list[Call]:
        """Nothing waits, and what runs can't be ended."""
        return []

    def close(self, signal: int | None) -> None:
        """Nothing runs. The loop of this thread, if coroutines have run here, ends."""
        self._spec.board.close()
        close_loop()
        self._spec = replace(self._spec, initializer=None, initargs=())

    def join(self, timeout: float | None = None) -> bool:
        """Nothing runs."""
        return True

    def inside(self) -> bool:
        """There is no thread."""
        return False

    def after_fork(self) -> None:
        """Nothing runs."""


def execute(call: Call) -> Reply:
    """Run one call in this thread, in its context. Any exception becomes part of the reply."""
    args, kwargs = call.payload
    start = perf_counter()
    try:
        value = call.context.run(call.fn.target, *args, **kwargs)
        if type(value) is CoroutineType:
            value = call.context.run(finish, value)
        return call, VALUE, value, perf_counter() - start, 1
    except BaseException as error:
        trace = error.__traceback__
        return call, RAISED, error.with_traceback(trace.tb_next if trace else None), perf_counter() - start, 1
    finally:
        # The frames of an exception lead to this one: without this it would keep the call, with its
        # future, and so itself, alive until the next garbage collection.
        del call, args, kwargs


def initializer_failed(error: BaseException) -> ExecutorBroken:
    """The error for all calls of an executor whose initializer raised; the standard library logs it as well."""
    logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=error)
    broken = ExecutorBroken(f"the initializer failed, so no call can run: {describe(error)}")
    # The traceback as text: its frames lead to whoever submitted, and would keep the executor alive.
    text = "".join(traceback.format_exception(error))
    broken.__cause__ = error.with_traceback(None)
    set_cause(error, RemoteTraceback(text))
    return broken


def _is_ctrl_c(error: BaseException) -> bool:
    """Whether a KeyboardInterrupt came from a real Ctrl-C rather than from a ``raise`` of the task."""
    if type(error) is not KeyboardInterrupt or threading.current_thread() is not threading.main_thread():
        return False
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return True
    opcode = trace.tb_frame.f_code.co_code[trace.tb_lasti]
    return dis.opname[opcode] not in ("RAISE_VARARGS", "RERAISE")
