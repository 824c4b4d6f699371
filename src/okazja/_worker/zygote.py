"""The zygote: a small process with one thread and its imports done, which forks the workers.

It is started with a fresh interpreter, so what it forks has none of the parent's threads, locks and
open files. It serves several clients, one for each executor, over ``SOCK_SEQPACKET`` sockets:

    client → zygote   ("spawn", key, slot) with the worker's descriptors
    zygote → client   ("spawned", key, pid) with a pidfd, or ("refused", key, reason)
                      ("exit", key, pid, exitcode, CPU seconds) once the worker is gone and waited for
    main socket       a new client, as one descriptor; its end of file ends the zygote

A client whose socket closes loses its workers. The zygote runs no code of the user.
"""

from __future__ import annotations

import gc
import marshal
import os
import selectors
import signal
import socket
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NoReturn

from okazja._transport import codec  # noqa: F401  (what workers need is imported once, here)
from okazja._worker import loop  # noqa: F401
from okazja._worker.entry import Wiring, leave, run_worker
from okazja._worker.lifeline import die_with_parent

__all__ = ["main"]

PACKET = 1 << 20  # bytes of a request at most
SPEC_FDS = 10  # descriptors of a spawn request: wiring, spec, surroundings, stdin, stdout, stderr


@dataclass(slots=True, eq=False)
class _Client:
    socket: socket.socket
    workers: dict[int, int] = field(default_factory=dict)  # pid → key
    unsent: deque[tuple[bytes, list[int]]] = field(default_factory=deque)


class Zygote:
    """Everything the zygote knows."""

    def __init__(self, main_fd: int, lifeline: int) -> None:
        self._main = socket.socket(fileno=main_fd)
        self._lifeline = lifeline
        self._clients: set[_Client] = set()
        self._selector = selectors.DefaultSelector()
        self._wake, wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_end = wake_end
        signal.signal(signal.SIGCHLD, _nothing)
        signal.signal(signal.SIGINT, _nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked by whoever started this
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        self._selector.register(self._main, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the parent closes the main socket."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._main:
                    if not self._new_client():
                        return
                elif key.fileobj == self._wake:
                    os.read(self._wake, 1 << 12)
                    self._reap()
                elif key.data in self._clients:
                    self._serve_client(key.data)
            for client in self._clients:
                self._flush(client)

    def end(self) -> None:
        """Kill all workers that are left and wait for them."""
        for client in list(self._clients):
            self._drop(client)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
        self._selector.close()
        self._main.close()

    def _new_client(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._main, 16, 1)
        if not data:
            return False
        client = _Client(socket.socket(fileno=fds[0]))
        client.socket.setblocking(False)
        self._clients.add(client)
        self._selector.register(client.socket, selectors.EVENT_READ, client)
        return True

    def _serve_client(self, client: _Client) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(client.socket, PACKET, SPEC_FDS + 64)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if data:
            self._spawn(client, marshal.loads(data), fds)
        else:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        """A client is gone: so are its workers."""
        self._clients.discard(client)
        self._selector.unregister(client.socket)
        client.socket.close()
        for pid in client.workers:
            os.kill(pid, signal.SIGKILL)  # not waited for yet, so the number is still this worker's

    def _spawn(self, client: _Client, request: tuple[Any, ...], fds: list[int]) -> None:
        _, key, slot = request
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(client, ("refused", key, f"fork failed: {error}"))
        else:
            if pid == 0:
                self._become_worker(fds, slot)
            client.workers[pid] = key
            pidfd = os.pidfd_open(pid)
            self._tell(client, ("spawned", key, pid), pidfd)
        for fd in fds:
            os.close(fd)

    def _become_worker(self, fds: list[int], slot: int) -> NoReturn:
        """In the child: leave the zygote's things behind, take the parent's surroundings, and serve."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._main.close()
            self._selector.close()
            os.close(self._wake)
            os.close(self._wake_end)
            for client in self._clients:
                client.socket.close()
            wires, (spec_fd, surroundings_fd), stdio, inherited = fds[:5], fds[5:7], fds[7:10], fds[10:]
            for number, fd in enumerate(stdio):
                os.dup2(fd, number)
                os.close(fd)
            spec, surroundings = _read(spec_fd), marshal.loads(_read(surroundings_fd))
            _take(surroundings)
            received.extend(inherited)
            wiring = Wiring(*wires, self._lifeline, slot, surroundings["name"])  # type: ignore[call-arg,arg-type]
            run_worker(wiring, spec, surroundings["levels"])
            status = 0
        except BaseException:  # said on stderr, as an interpreter would; the exit status tells the parent
            sys.excepthook(*sys.exc_info())
        leave(status)
        raise AssertionError

    # --- telling clients ------------------------------------------------------------------------

    def _reap(self) -> None:
        """Wait for all workers that have ended, and tell their clients."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for client in self._clients:
                key = client.workers.pop(pid, None)
                if key is not None:
                    seconds = usage.ru_utime + usage.ru_stime
                    self._tell(client, ("exit", key, pid, os.waitstatus_to_exitcode(status), seconds))

    def _tell(self, client: _Client, message: tuple[Any, ...], fd: int = -1) -> None:
        client.unsent.append((marshal.dumps(message), [fd] if fd >= 0 else []))
        self._flush(client)

    def _flush(self, client: _Client) -> None:
        while client.unsent:
            data, fds = client.unsent[0]
            try:
                socket.send_fds(client.socket, [data], fds)
            except BlockingIOError:
                return  # tried again at the next wake-up; a client reads all the time
            except OSError:
                pass  # it is gone, which its end of file will say
            client.unsent.popleft()
            for fd in fds:
                os.close(fd)


# Descriptors that came with this worker's spec, in the order in which it names them.
received: list[int] = []


class PassedFd:
    """A descriptor inside a pickled spec: its place among those that came along."""

    def __init__(self, position: int) -> None:
        self._position = position

    def detach(self) -> int:
        """The descriptor itself, which now belongs to the caller."""
        return received[self._position]


def _read(fd: int) -> bytes:
    """All of a file that comes with a request, which is closed."""
    try:
        return os.pread(fd, os.fstat(fd).st_size, 0)  # its offset may be shared by all workers
    finally:
        os.close(fd)


def _take(surroundings: dict[str, Any]) -> None:
    """Environment, current directory and import path, as the parent has them now."""
    os.environ.clear()
    os.environ.update(surroundings["environ"])
    sys.path[:] = surroundings["path"]
    try:
        os.chdir(surroundings["directory"])
    except OSError:
        pass  # removed meanwhile; the parent could not say where it is either
    with open("/proc/self/comm", "w") as comm:
        comm.write(surroundings["comm"])
    signal.pthread_sigmask(signal.SIG_SETMASK, surroundings["blocked"])


def _nothing(*_: object) -> None:
    return None


def main(main_fd: int, lifeline: int) -> None:
    """Be the zygote; ``main_fd`` and ``lifeline`` are inherited."""
    die_with_parent(lifeline)
    os.set_inheritable(main_fd, False)
    os.set_inheritable(lifeline, False)
    try:
        with open("/proc/self/comm", "w") as comm:
            comm.write("okazja-zygote")
    except OSError:
        pass  # only a name
    gc.collect()
    gc.freeze()  # objects that workers share with the zygote stay shared
    zygote = Zygote(main_fd, lifeline)
    try:
        zygote.serve()
    finally:
        zygote.end()
