"""A process with open executors forks: neither side harms the other."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from concurrent.futures import Executor

from okazja.testing import tasks
from okazja.testing.check import Maker, Traits, caught, needs
from okazja.testing.gate import PATIENCE, Gate


def _can_fork(traits: Traits) -> bool:
    return traits.extended and hasattr(os, "fork")


@needs(_can_fork)
def check_child_of_a_fork(make: Maker) -> None:
    """In the child the parent's executor refuses work or does it, but never hangs, and can be shut down."""
    with make() as executor:
        assert executor.submit(tasks.square, 2).result(PATIENCE) == 4
        assert _status_of_child(lambda: _use_or_be_refused(executor)) == 0
        assert executor.submit(tasks.square, 3).result(PATIENCE) == 9


@needs(lambda traits: traits.forks and _can_fork(traits))
def check_new_executor_in_the_child(make: Maker) -> None:
    """In the child a new executor works, while the parent's has calls running; these are done as ever."""
    with make() as executor, Gate() as gate:
        if make.traits.concurrent:
            running = executor.submit(tasks.wait_and_return, gate.address, 5)
            gate.arrivals(1)
        else:
            running = executor.submit(tasks.identity, 5)
        assert _status_of_child(lambda: _use_a_new_one(make)) == 0
        gate.open()
        assert running.result(PATIENCE) == 5


def _use_or_be_refused(executor: Executor) -> bool:
    try:
        right = executor.submit(tasks.square, 3).result(PATIENCE) == 9
    except RuntimeError:
        right = isinstance(caught(executor.map, tasks.square, [1]), RuntimeError)
    executor.shutdown()
    return right


def _use_a_new_one(make: Maker) -> bool:
    with make() as executor:
        return list(executor.map(tasks.square, range(5))) == [0, 1, 4, 9, 16]


def _status_of_child(works: Callable[[], bool]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that threads are lost is the subject
        child = os.fork()
    if not child:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(PATIENCE))  # ends a child that hangs
            status = 0 if works() else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
