"""The parent's side of the zygote: one process for all executors of this one, started when first needed."""

from __future__ import annotations

import atexit
import marshal
import os
import signal
import socket
import subprocess
import sys
import threading

from okazja.errors import ExecutorBroken

__all__ = ["connect", "lifeline", "running"]

PATIENCE = 5.0  # seconds; for the zygote to leave by itself at exit

_BOOTSTRAP = (
    "import marshal, socket, sys; main, lifeline = int(sys.argv[1]), int(sys.argv[2]); "
    "link = socket.socket(fileno=main); own = marshal.loads(link.recv(1 << 20) or sys.exit()); link.detach(); "
    "at = [i for i, p in enumerate(sys.path) if p.endswith(('site-packages', 'dist-packages'))]; "
    "at = at[0] if at else len(sys.path); sys.path[at:at] = own; "
    "from okazja._worker.zygote import main as serve; serve(main, lifeline)"
)

_lock = threading.Lock()
_link: socket.socket | None = None
_process: subprocess.Popen[bytes] | None = None
_lifeline: tuple[int, int] | None = None  # read end, write end


def running() -> set[int]:
    """The process id of the zygote, if there is one."""
    process = _process
    return set() if process is None or process.poll() is not None else {process.pid}


def lifeline() -> int:
    """The read end of this process's lifeline, see okazja._worker.lifeline."""
    global _lifeline
    with _lock:
        if _lifeline is None:
            _lifeline = os.pipe()
        return _lifeline[0]


def connect() -> socket.socket:
    """A new connection to the zygote, which is started, or started again, if need be."""
    global _link, _process
    tether = lifeline()
    with _lock:
        for _ in range(2):
            if _process is not None and _process.poll() is None and _link is not None:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                try:
                    socket.send_fds(_link, [b"client"], [theirs.fileno()])
                except OSError:
                    ours.close()
                else:
                    return ours
                finally:
                    theirs.close()
            _let_go()
            _link, _process = _start(tether)
    raise ExecutorBroken("the zygote, which starts worker processes, does not stay alive")


def _start(tether: int) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    if not sys.executable:
        raise ExecutorBroken(
            "sys.executable is empty, so no interpreter can be started for worker processes: "
            'set it, or pass mp_context="fork"'
        )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    # A Ctrl-C while the interpreter starts is not for the zygote, which has no handler yet: it takes over
    # the mask of this thread and lifts it when it has one.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, *flags, "-P", "-c", _BOOTSTRAP, str(theirs.fileno()), str(tether)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), tether),
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    ours.send(marshal.dumps(_own_folders()))
    return ours, process


def _own_folders() -> list[str]:
    """Where okazja and cloudpickle are. The rest of the import path is for workers alone.

    They stand behind the standard library and before what is installed: a module of the user's that is
    called like one of the standard library can't stop the zygote, and its okazja is this one.
    """
    packages = [sys.modules["okazja"], sys.modules["cloudpickle"]]
    return [os.path.dirname(os.path.dirname(os.path.abspath(str(package.__file__)))) for package in packages]  # noqa: PTH100, PTH120


def _let_go() -> None:
    """Close the link, upon which the zygote ends its workers and leaves, and wait for it."""
    global _link, _process
    if _link is not None:
        _link.close()
    if _process is not None:
        try:
            _process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            _process.kill()
            _process.wait()
    _link = _process = None


def _after_fork_in_child() -> None:
    """A child has no zygote, and must not hold the ends whose closing says that the parent is gone."""
    global _lock, _link, _process, _lifeline
    _lock = threading.Lock()
    if _link is not None:
        _link.close()
    if _lifeline is not None:
        os.close(_lifeline[1])
    if _process is not None:
        _process.returncode = 0  # not this process's child: nothing to wait for, nothing to warn about
    _link = _process = _lifeline = None


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_let_go)
