"""How worker processes are started, signalled and waited for: by the zygote, or as multiprocessing does."""

from __future__ import annotations

import marshal
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import context as mp_context
from multiprocessing.connection import wait
from typing import Any, Protocol

from okazja._backends import ledger, zygote_process
from okazja._backends.base import Spec
from okazja._transport import pickling
from okazja._transport.arena import Reader
from okazja._transport.channel import Channel
from okazja._worker.cpus import share_of_cpus
from okazja._worker.entry import LateWiring, Wiring, start_from_multiprocessing
from okazja._worker.inner_threads import inner_threads, thread_variables, variables_of
from okazja._worker.logs import current_levels
from okazja._worker.spec import WorkerSpec
from okazja._worker.zygote import PassedFd
from okazja.errors import ExecutorBroken, NotPicklable

__all__ = ["ContextLauncher", "Exit", "Launcher", "WorkerProcess", "launcher"]

SEND_TIMEOUT = 10.0  # seconds, for a zygote that is alive to read a request


@dataclass(eq=False)
class WorkerProcess:
    """A worker as a process: what ``executor._processes`` shows. Ended through its methods alone."""

    key: int
    slot: int
    channel: Channel
    results: Reader  # of the arena that the worker writes
    name: str
    pid: int | None = None  # None until the zygote has said it
    exitcode: int | None = None
    gone: bool = False
    pidfd: int = -1
    handle: Any = None  # the multiprocessing.Process, if that started it
    launched: bool = False
    ready: bool = False  # its initializer has run
    useless: bool = False  # it was killed because it had lost its channel
    wanted: int = 0  # a signal to send as soon as there is a process to send it to

    def is_alive(self) -> bool:
        """Whether the process runs, as far as is known."""
        return not self.gone

    def send_signal(self, number: int) -> None:
        """Signal the process, if it is still there; never another one that got its number."""
        if self.gone:
            return
        try:
            if self.pidfd >= 0:
                signal.pidfd_send_signal(self.pidfd, number)
            elif self.handle is not None and self.handle.exitcode is None:
                os.kill(self.handle.pid, number)
            else:
                self.wanted = number
        except ProcessLookupError:
            pass

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def resume(self) -> None:
        """SIGCONT, for one that somebody has stopped: only then can it end. Nothing to one that runs."""
        if self.pid is not None:
            self.send_signal(signal.SIGCONT)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process has ended, at most ``timeout`` seconds."""
        if not self.gone and self.pidfd >= 0:
            try:
                select.select([self.pidfd], [], [], timeout)
            except (OSError, ValueError):
                pass  # it ended, and was forgotten, meanwhile
        elif not self.gone and self.handle is not None:
            wait([self.handle.sentinel], timeout)

    def ended(self, timeout: float) -> bool:
        """Whether the process has ended, waited for up to ``timeout`` seconds."""
        ending = self.pidfd if self.pidfd >= 0 or self.handle is None else self.handle.sentinel
        return self.gone or (ending >= 0 and bool(wait([ending], timeout)))

    def release(self) -> None:
        """Give descriptors back once the process is gone."""
        self.gone = True
        pidfd, self.pidfd = self.pidfd, -1
        if pidfd >= 0:
            os.close(pidfd)


@dataclass(frozen=True, slots=True)
class Exit:
    """A process that has ended, or could not be started (then with a reason)."""

    process: WorkerProcess
    exitcode: int | None
    reason: str = ""


class Launcher(Protocol):
    """Starts workers and tells of their end."""

    def launch(self, process: WorkerProcess, board: int, arguments: int) -> None:
        """Start a worker, with the board and the arena of arguments; its channel can be written to already."""

    def watched(self) -> list[int]:
        """Descriptors that become readable when ``exits`` has something to say."""

    def exits(self) -> Iterator[Exit]:
        """Processes that have ended since the last call. Never waits."""

    def close(self) -> None:
        """No more workers are wanted, and none is left."""


class ZygoteLauncher:
    """Workers are forked by the zygote. If that dies its workers live on, and a new one is started."""

    def __init__(self, spec: WorkerSpec, comm: str) -> None:
        self._comm = comm
        self._threads = inner_threads(spec.inner_max_num_threads, spec.cpus)
        self._inherited = _InheritedFds()
        mp_context.set_spawning_popen(self._inherited)  # type: ignore[arg-type]  # stands in for one
        try:
            pickled = pickling.dumps(spec, "the initializer and its initargs")
        finally:
            mp_context.set_spawning_popen(None)
        self._spec_fd = _in_memory("okazja-spec", pickled)
        self._started: dict[int, WorkerProcess] = {}  # by key; alive as far as is known
        self._orphans: dict[int, WorkerProcess] = {}  # by pidfd; their zygote is gone
        self._stillborn: list[WorkerProcess] = []  # the zygote died before it said that they live
        self._connect()

    def _connect(self) -> None:
        link = zygote_process.connect()
        self._send_link = socket.socket(fileno=os.dup(link.fileno()))
        self._send_link.settimeout(SEND_TIMEOUT)
        self._link = link
        self._link.setblocking(False)

    def launch(self, process: WorkerProcess, board: int, arguments: int) -> None:
        """Ask the zygote for a worker."""
        calls, replies = process.channel.worker_fds()
        with _stdio() as stdio:
            wiring = [calls, replies, board, arguments, process.results.fd]
            surroundings = {
                "environ": {**os.environ, **thread_variables(os.environ, self._threads)},
                "directory": _directory(),
                "path": [entry for entry in sys.path if type(entry) is str],
                "comm": f"{self._comm}.{process.slot}"[:15],
                "name": process.name,
                "levels": current_levels(),
                "blocked": list(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
            }
            packed = _in_memory("okazja-surroundings", marshal.dumps(surroundings))
            try:
                fds = [*wiring, self._spec_fd, packed, *stdio, *self._inherited.fds]
                self._ask_for(process, fds)
            finally:
                os.close(packed)

    def _ask_for(self, process: WorkerProcess, fds: list[int]) -> None:
        request = marshal.dumps(("spawn", process.key, process.slot))
        self._started[process.key] = process
        try:
            socket.send_fds(self._send_link, [request], fds)
        except OSError:
            del self._started[process.key]
            self._lose_zygote()
            self._connect()
            self._started[process.key] = process
            socket.send_fds(self._send_link, [request], fds)

    def watched(self) -> list[int]:
        """The link to the zygote, and orphans."""
        return [self._link.fileno(), *self._orphans]

    def exits(self) -> Iterator[Exit]:
        """Read what the zygote says, and look after orphans."""
        yield from self._stillborn_exits()
        yield from self._orphans_exits()
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._link, 1 << 12, 1)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                yield from self._zygote_lost()
                return
            what, key, *rest = marshal.loads(data)
            process = self._started.get(key)
            if process is None:
                for fd in fds:
                    os.close(fd)
            elif what == "spawned":
                process.pid, process.pidfd = rest[0], fds[0]
                process.channel.handed_over()
                ledger.started(rest[0])
                if process.wanted:
                    process.send_signal(process.wanted)
            elif what == "exit":
                del self._started[key]
                ledger.ended(rest[0], rest[2])
                yield Exit(process, rest[1])
            else:
                del self._started[key]
                yield Exit(process, None, rest[0])

    def _orphans_exits(self) -> Iterator[Exit]:
        for pidfd, process in list(self._orphans.items()):
            if select.select([pidfd], [], [], 0)[0]:
                del self._orphans[pidfd]
                ledger.ended(process.pid or 0, None)
                yield Exit(process, None)

    def _lose_zygote(self) -> None:
        """The zygote is gone; its living workers are watched through their pidfds from now on."""
        self._link.close()
        self._send_link.close()
        for key, process in list(self._started.items()):
            del self._started[key]
            if process.pidfd >= 0:
                self._orphans[process.pidfd] = process
            else:
                self._stillborn.append(process)

    def _zygote_lost(self) -> Iterator[Exit]:
        self._lose_zygote()
        self._connect()
        yield from self._stillborn_exits()

    def _stillborn_exits(self) -> Iterator[Exit]:
        while self._stillborn:  # perhaps it was forked; closing its channel ends it
            yield Exit(self._stillborn.pop(), None, "the zygote died while it started this worker")

    def close(self) -> None:
        """Let the zygote forget this client."""
        self._link.close()
        self._send_link.close()
        os.close(self._spec_fd)
        self._inherited.close()


def _in_memory(name: str, data: bytes) -> int:
    """A descriptor of an anonymous file that holds the data, of any size."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


class _InheritedFds:
    """Stands in for the process that is being spawned, while multiprocessing's objects are pickled."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    def duplicate_for_child(self, fd: int) -> int:
        """Keep a copy of the descriptor for workers; returns its place."""
        self.fds.append(os.dup(fd))
        return len(self.fds) - 1

    DupFd = PassedFd

    def close(self) -> None:
        """Give the copies back."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


class _stdio:  # noqa: N801  (a context manager)
    """Descriptors for a worker's standard streams: nothing to read, and the parent's outputs of now."""

    def __enter__(self) -> list[int]:
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        return [self._null, *(number if _is_open(number) else self._null for number in (1, 2))]

    def __exit__(self, *_: object) -> None:
        os.close(self._null)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return "/"


def _needs_fork(error: NotPicklable) -> bool:
    """Whether initargs hold a primitive of multiprocessing's fork context, which can only be inherited."""
    cause = error.__cause__
    return isinstance(cause, (RuntimeError, FileNotFoundError)) and "fork" in str(cause)


class ContextLauncher:
    """Workers are started with the start method of a multiprocessing context."""

    def __init__(self, spec: WorkerSpec, context: Any, name: str) -> None:
        self._spec = spec
        self._context = context
        self._name = name
        self._lifeline = zygote_process.lifeline()
        self._started: dict[int, WorkerProcess] = {}  # by the descriptor that tells of its end

    @property
    def forks(self) -> bool:
        """Whether workers are forks of this process, so that they are best started before its threads."""
        return bool(self._context.get_start_method() == "fork")

    def launch(self, process: WorkerProcess, board: int, arguments: int) -> None:
        """Start a worker as a ``multiprocessing.Process``."""
        calls, replies = process.channel.worker_fds()
        fds = (calls, replies, board, arguments, process.results.fd, self._lifeline)
        wiring = LateWiring(Wiring(*fds, process.slot, process.name))
        args = (wiring, self._spec, current_levels(), variables_of(os.environ))
        handle = self._context.Process(target=start_from_multiprocessing, args=args, name=process.name)
        try:
            handle.start()
        except NotPicklable as error:
            raise ExecutorBroken(f"a worker process could not be started: {error}") from error
        process.handle, process.pid = handle, handle.pid
        process.channel.handed_over()
        self._started[self._ending(process)] = process
        ledger.started(handle.pid)

    def _ending(self, process: WorkerProcess) -> int:
        """What becomes readable when the process has ended.

        The sentinel of a fork or a spawn is a pipe, of which a child that a task forks keeps a copy open.
        """
        if self._context.get_start_method() == "forkserver":  # there it is written to
            return int(process.handle.sentinel)
        process.pidfd = os.pidfd_open(process.handle.pid)  # a child of ours: not waited for, so still there
        return process.pidfd

    def watched(self) -> list[int]:
        """What tells of their end."""
        return list(self._started)

    def exits(self) -> Iterator[Exit]:
        """Processes that have ended."""
        for ending, process in list(self._started.items()):
            if wait([ending], 0):
                del self._started[ending]
                seconds = ledger.cpu_seconds(process.handle.pid)
                process.handle.join()
                ledger.ended(process.handle.pid, seconds)
                yield Exit(process, process.handle.exitcode)

    def close(self) -> None:
        """Nothing is held."""


def launcher(spec: Spec) -> Launcher:
    """What starts the workers of an executor. Raises NotPicklable for an initializer that can't travel."""
    worker_spec = WorkerSpec(
        executor=spec.name,
        initializer=spec.initializer,
        initargs=spec.initargs,
        cpus=share_of_cpus(spec.max_workers),
        authkey=_authkey(),
        argv=tuple(sys.argv),
        memory_limit=spec.memory_limit,
        inner_max_num_threads=spec.inner_max_num_threads,
    )
    if spec.mp_context is None:
        try:
            return ZygoteLauncher(worker_spec, f"okazja-{spec.board.number}")
        except NotPicklable as error:
            if not _needs_fork(error):
                raise
    import multiprocessing

    context = spec.mp_context if spec.mp_context is not None else multiprocessing.get_context("fork")
    return ContextLauncher(worker_spec, context, spec.name)


def _authkey() -> bytes | None:
    process = sys.modules.get("multiprocessing.process")
    return bytes(process.current_process().authkey) if process is not None else None
