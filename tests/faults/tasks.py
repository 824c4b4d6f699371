"""Tasks that misbehave, and innocent ones beside them.

Each worker that starts imports this: what takes long to import is imported where it is used.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import resource
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


def by_exit_0() -> None:
    os._exit(0)


DEATHS: dict[str, tuple[Callable[[], None], int]] = {
    "SIGKILL": (by_sigkill, -signal.SIGKILL),
    "SIGTERM": (by_sigterm, -signal.SIGTERM),
    "SIGSEGV": (by_segfault, -signal.SIGSEGV),
    "SIGABRT": (by_abort, -signal.SIGABRT),
    "status 0": (by_exit_0, 0),
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


def square_and_pid(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


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


# --- those that never end -----------------------------------------------------------------------------


def loop_in_python(marker: str = "") -> None:
    if marker:
        Path(marker).touch()
    while True:
        pass


def loop_in_c(marker: str = "") -> None:
    """Hold the GIL, with no chance for a signal handler."""
    if marker:
        Path(marker).touch()
    pow(3, 10**9)


def swallow_everything(marker: str = "") -> None:
    """Ignore signals and every exception that comes in."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if marker:
        Path(marker).touch()
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(600)


def wait_as_pid(address: tuple[str, int]) -> int:
    """Arrive at a gate under the process id, wait there, and return it."""
    from okazja.testing.gate import wait_at

    wait_at(address, str(os.getpid()))
    return os.getpid()


# --- those that leave something behind ------------------------------------------------------------------


def fork_a_child_that_lives_on(_: object = None) -> int:
    """Return with a child that has nothing to do with okazja and sleeps."""
    child = os.fork()
    if not child:
        time.sleep(600)
        os._exit(0)
    return child


def fork_a_child_that_exits(_: object = None) -> int:
    child = os.fork()
    if not child:
        sys.exit(7)
    os.waitpid(child, 0)
    return os.getpid()


def become_a_daemon(path: str) -> None:
    """The classic way: fork, new session, fork, close everything; the worker itself is gone."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.closerange(0, 1 << 10)
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)


def leave_a_thread_that_ends(path: str, gate: tuple[str, int]) -> str:
    """Not a daemon: an interpreter waits for it before it ends."""
    from okazja.testing.gate import wait_at

    def work() -> None:
        wait_at(gate)
        Path(path).write_text("done")

    threading.Thread(target=work).start()
    return "left"


def leave_an_endless_thread(_: object = None) -> int:
    threading.Thread(target=threading.Event().wait).start()
    return os.getpid()


# --- those that change the process around them ------------------------------------------------------------


def limit_resources(_: object = None) -> str:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, files))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return "limited"


def use_up_cpu_time(_: object = None) -> None:
    """SIGXCPU ends the process once its limit of CPU time, counted from now, is used up."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    while True:
        pass


def forget_modules(_: object = None) -> str:
    for name in list(sys.modules):
        if name not in {"sys", "builtins", "__main__"}:
            del sys.modules[name]
    return "forgotten"


def break_builtins(_: object = None) -> str:
    import builtins

    for name in ("open", "print", "input", "sorted", "any", "all"):
        setattr(builtins, name, None)
    return "broken"


def pool_of_concurrent_futures(count: int) -> list[int]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        processes = list(executor.map(square, range(count)))
    with ThreadPoolExecutor(2) as executor:
        threads = list(executor.map(square, range(count)))
    assert processes == threads
    return processes


def pool_of_multiprocessing(count: int) -> list[int]:
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(square, range(count))


def forget_an_executor(count: int) -> list[int]:
    """Leave it open, with work that nobody waits for."""
    executor = Executor("processes", 2)
    executor.map(square, range(1000))
    return [executor.submit(square, number).result() for number in range(count)]
