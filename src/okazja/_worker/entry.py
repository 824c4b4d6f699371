"""How a worker process starts and ends."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import reduction
from typing import Any

from okazja._transport import pickler, pickling  # noqa: F401  (the pickler: before workers fork and calls come)
from okazja._transport.arena import Arena, Reader
from okazja._transport.board import Board
from okazja._transport.namespaces import keep_globals
from okazja._worker.coroutines import close_loop, finished
from okazja._worker.lifeline import die_with_parent
from okazja._worker.limits import MemoryLimit
from okazja._worker.logs import LogLevels, WorkerMouth, log_to_parent
from okazja._worker.loop import Worker
from okazja._worker.output import flush, print_whole_lines
from okazja._worker.spec import WorkerSpec

__all__ = ["Wiring", "run_worker", "start_from_multiprocessing"]


@dataclass(frozen=True, slots=True)
class Wiring:
    """The descriptors of a new worker, and its place."""

    calls: int
    replies: int
    board: int
    arguments: int  # arena that the parent writes
    results: int  # arena that this worker writes
    lifeline: int
    slot: int
    name: str  # of the worker, in log records

    def fds(self) -> list[int]:
        """The descriptors, in the order of the fields."""
        return [self.calls, self.replies, self.board, self.arguments, self.results, self.lifeline]


class PassedWiring:
    """A Wiring on its way through multiprocessing's spawn or forkserver, which pass descriptors on."""

    def __init__(self, wiring: Wiring) -> None:
        self._fds: list[Any] = [reduction.DupFd(fd) for fd in wiring.fds()]
        self._slot, self._name = wiring.slot, wiring.name

    def arrive(self) -> Wiring:
        """The wiring, with the descriptors as they are numbered here."""
        calls, replies, board, arguments, results, lifeline = (fd.detach() for fd in self._fds)
        return Wiring(calls, replies, board, arguments, results, lifeline, self._slot, self._name)


class LateWiring:
    """Pickles as a PassedWiring, at the moment when multiprocessing starts the process."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def __reduce__(self) -> tuple[Any, ...]:
        return _identity, (PassedWiring(self._wiring),)

    def arrive(self) -> Wiring:
        """The wiring as it is: after a fork the descriptors have kept their numbers."""
        return self._wiring


def _identity(value: Any) -> Any:
    return value


def start_from_multiprocessing(
    late: LateWiring, spec: WorkerSpec, levels: LogLevels, thread_variables: dict[str, str]
) -> None:
    """Target of the ``multiprocessing.Process`` of a worker."""
    from okazja._worker.inner_threads import inner_threads, limit_threads

    wiring = late.arrive()
    wanted = spec.inner_max_num_threads
    limit_threads(thread_variables, wanted, inner_threads(wanted, spec.cpus))
    run_worker(wiring, spec, levels)


def run_worker(wiring: Wiring, spec: WorkerSpec | bytes, levels: LogLevels) -> None:
    """Be a worker until no more calls come. A pickled spec is loaded here, where its errors are told."""
    die_with_parent(wiring.lifeline)
    # Ctrl-C reaches the whole process group; the parent decides what it means. A handler that does
    # nothing, unlike SIG_IGN, is not inherited by programs that a task starts.
    signal.signal(signal.SIGINT, _nothing)
    mouth = WorkerMouth(wiring.calls, wiring.replies)
    Reader(wiring.arguments, wiring.slot, private=True)
    worker = Worker(mouth, Board.attach(wiring.board), wiring.slot, Arena(wiring.results))
    print_whole_lines()
    log_to_parent(mouth, wiring.name, levels)
    if _prepare(worker, spec):
        worker.ready()
        worker.serve()
        close_loop()
    flush()


def _prepare(worker: Worker, spec: WorkerSpec | bytes) -> bool:
    """Settle in and run the initializer; False if that failed, which the parent has been told."""
    try:
        if isinstance(spec, bytes):
            spec = pickling.loads(spec)
        assert isinstance(spec, WorkerSpec)
        _settle_in(spec)
        if spec.memory_limit is not None:
            worker.memory = MemoryLimit(spec.memory_limit)
        if spec.initializer is not None:
            _initialize(spec.initializer, spec.initargs)
    except BaseException as error:
        if worker.memory is not None:
            worker.memory.make_room()
        # As the standard library's workers do: here the initializer may have set up logging.
        logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
        _leave_multiprocessing()
        worker.failed(error)  # upon which the parent may kill this process
        return False
    return True


def _initialize(initializer: Callable[..., object], initargs: tuple[Any, ...]) -> None:
    """Run the initializer; the globals that it sets are this worker's own from now on."""
    inner: Any = initializer
    while isinstance(inner, functools.partial):
        inner = inner.func
    if not hasattr(inner, "__globals__"):  # a callable object, or a bound method
        inner = getattr(inner, "__func__", type(inner).__call__)
    namespace = getattr(inner, "__globals__", {})
    before = dict(namespace)
    finished(initializer(*initargs))
    missing = object()
    changed = {name: value for name, value in namespace.items() if before.get(name, missing) is not value}
    if changed:
        keep_globals(namespace.get("__name__", ""), changed)


def _settle_in(spec: WorkerSpec) -> None:
    from okazja._worker.cpus import limit_share

    limit_share(spec.cpus)
    sys.argv[:] = spec.argv
    if spec.authkey is not None:
        from multiprocessing.process import current_process

        current_process().authkey = spec.authkey
    for name in ("numpy.random", "random"):
        if name in sys.modules:
            sys.modules[name].seed()  # a fork copies the generator's state along


def _nothing(*_: object) -> None:
    return None


def _leave_multiprocessing() -> None:
    """Join the feeder threads of queues, so that nothing that was put is lost."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._exit_function()


def leave(status: int) -> None:
    """End a forked worker as an interpreter would end: threads joined, exit handlers run, all flushed."""
    import atexit
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter itself calls
        _leave_multiprocessing()
        atexit._run_exitfuncs()
        flush()
    finally:
        os._exit(status)
