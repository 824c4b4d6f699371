"""Kills and stops workers, at random, from outside. Touches nothing but workers of the executors that it is given."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from okazja import Executor

__all__ = ["Vandal"]

PAUSES = (0.05, 1.0)  # seconds between two deeds: at least, at most; a worker that follows imports NumPy anew
STOPS = 0.4  # part of the deeds; the rest are kills
MOST_STOPPED = 1  # of all executors' workers at a time: those that are left have work to do
STOPPED = (0.01, 4.0)  # seconds after which a stopped worker is set going again, or killed
GOES_ON = 0.6  # part of the stopped ones that are set going


class Vandal:
    """A thread. Guarantees: signals go through pidfds, so never to a process that took over a number."""

    def __init__(self, rng: random.Random) -> None:
        self.kills = self.stops = self.continued = 0
        self._rng = rng
        self._lock = threading.Lock()
        self._executors: list[Executor] = []
        self._stopped: list[tuple[float, int]] = []  # when to act, and the pidfd
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._rage, name="vandal")

    @contextmanager
    def let_loose(self) -> Iterator[None]:
        """It acts inside the block. After it, no worker is left stopped."""
        self._thread.start()
        try:
            yield
        finally:
            self._end.set()
            self._thread.join()
            self._settle(float("inf"))

    @contextmanager
    def on(self, executor: Executor) -> Iterator[None]:
        """This executor's workers are fair game, inside the block."""
        with self._lock:
            self._executors.append(executor)
        try:
            yield
        finally:
            with self._lock:
                self._executors.remove(executor)

    def _rage(self) -> None:
        while not self._end.wait(self._rng.uniform(*PAUSES)):
            self._settle(monotonic())
            with self._lock:
                executor = self._rng.choice(self._executors) if self._executors else None
            worker = self._aim(executor) if executor is not None else None
            if worker is None:
                continue
            if len(self._stopped) < MOST_STOPPED and self._rng.random() < STOPS:
                self._stopped.append((monotonic() + self._rng.uniform(*STOPPED), worker))
                self.stops += strike(worker, signal.SIGSTOP)
            else:
                self.kills += strike(worker, signal.SIGKILL)
                os.close(worker)

    def _aim(self, executor: Executor) -> int | None:
        """A pidfd of one of its workers."""
        # Those that have started: who kills all that start breaks the executor, and is meant to.
        pids = [pid for pid, worker in executor._processes.items() if worker.ready]
        if not pids:
            return None
        pid = self._rng.choice(pids)
        try:
            worker = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        if pid in executor._processes:  # so the number was still the worker's when the pidfd was opened
            return worker
        os.close(worker)
        return None

    def _settle(self, now: float) -> None:
        """See to those that have been stopped for long enough."""
        due = [worker for when, worker in self._stopped if when <= now]
        self._stopped = [(when, worker) for when, worker in self._stopped if when > now]
        for worker in due:
            if self._rng.random() < GOES_ON:
                self.continued += strike(worker, signal.SIGCONT)
            else:
                self.kills += strike(worker, signal.SIGKILL)
            os.close(worker)


def strike(worker: int, number: signal.Signals) -> int:
    """Send the signal; 1 if the worker was still there."""
    try:
        signal.pidfd_send_signal(worker, number)
    except ProcessLookupError:
        return 0
    return 1
