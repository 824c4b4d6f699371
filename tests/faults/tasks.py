"""Tasks that misbehave, and innocent ones beside them."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from okazja import Executor

GUILTY = 777  # the item at which a deadly task dies


def by_sigkill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def by_sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def by_segfault() -> None:
    faulthandler.disable()  # its report of this death would only be noise
    ctypes.string_at(0)


def by_exit() -> None:
    os._exit(21)


def by_abort() -> None:
    faulthandler.disable()
    os.abort()


DEATHS: dict[str, tuple[Callable[[], None], int]] = {
    "SIGKILL": (by_sigkill, -signal.SIGKILL),
    "SIGTERM": (by_sigterm, -signal.SIGTERM),
    "SIGSEGV": (by_segfault, -signal.SIGSEGV),
    "SIGABRT": (by_abort, -signal.SIGABRT),
    "status 21": (by_exit, 21),
}


def die_at(death: str, guilty: int, number: int) -> int:
    """Square a number; die at one of them."""
    if number == guilty:
        DEATHS[death][0]()
    return number * number


def announce_and_sleep(_: object = None) -> None:
    """Say so on the standard output, then run for longer than anybody waits."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(600)


def square(number: int) -> int:
    return number * number


def close_all_descriptors(_: object = None) -> str:
    os.closerange(3, 1 << 16)
    return "closed"


def print_megabytes(_: object = None) -> int:
    text = "x" * 1023 + "\n"
    for _ in range(2 << 10):
        sys.stdout.write(text)
        os.write(2, text.encode())
    return len(text)


def fork_and_return(_: object = None) -> int:
    """Return in both processes."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return os.getpid()


def fork_at(guilty: int, path: str, number: int) -> int:
    """Fork at one item; every process that goes on leaves a line."""
    if number == guilty:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
    with Path(path).open("a") as file:
        file.write(f"{number}\n")
    return number


def fork_and_raise(_: object = None) -> int:
    child = os.fork()
    if not child:
        raise RuntimeError("in the child")
    os.waitpid(child, 0)
    return os.getpid()


def fork_and_leave_properly(_: object = None) -> int:
    child = os.fork()
    if not child:
        os._exit(5)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def start_programs(_: object = None) -> str:
    return subprocess.run(["echo", "hello"], capture_output=True, text=True, check=True).stdout


def run_multiprocessing(number: int = 3) -> int:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=queue.put, args=(number,))
    child.start()
    got: int = queue.get()
    child.join()
    return got


def change_directory(_: object = None) -> str:
    os.chdir("/")
    return os.getcwd()


def change_signal_handlers(_: object = None) -> int:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    return os.getpid()


def block_all_signals(_: object = None) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    return os.getpid()


def close_standard_streams(_: object = None) -> str:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
    return "closed"


def redirect_descriptors(_: object = None) -> str:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)
    return "redirected"


def leave_a_thread(_: object = None) -> str:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return "left"


def nest(count: int) -> list[int]:
    with Executor("processes", 2) as executor:
        return list(executor.map(square, range(count)))


def pid(_: object = None) -> int:
    return os.getpid()


def echo(value: Any) -> Any:
    return value


def length(value: bytes) -> int:
    return len(value)


def make(size: int) -> bytes:
    return bytes(size)


def open_many_files(count: int) -> int:
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    for file in files:
        os.close(file)
    return len(files)
