"""Programs of their own, for what can only be seen from outside: exits, signals, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

import okazja
from okazja import Executor

__all__ = ["Program", "descriptors", "eventually", "pids_of", "program", "run"]

PATIENCE = 30.0  # seconds for a program to do what it should; far more than it needs


def environment() -> dict[str, str]:
    """This process's, with okazja and the tests importable."""
    paths = [str(Path(okazja.__file__).parents[1]), str(Path(__file__).parents[2])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run(tmp_path: Path, text: str, *, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    with program(tmp_path, text) as running:
        out, err = running.process.communicate(timeout=timeout)
        return subprocess.CompletedProcess([], running.process.returncode, out, err)


class Program:
    """A running script, in a session of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.itself = psutil.Process(process.pid)
        self.seen: set[psutil.Process] = set()

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def family(self) -> set[psutil.Process]:
        """All its descendants, now; remembered, to be looked for later."""
        family = set(self.itself.children(recursive=True))
        self.seen |= family
        return family

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT to the whole process group."""
        self.family()
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to the program alone."""
        self.family()
        self.process.kill()
        self.process.wait(PATIENCE)

    def survivors(self, seconds: float) -> list[str]:
        """Descendants that are still there after so long."""
        eventually(lambda: all(map(is_gone, self.seen)), seconds)
        return [str(process) for process in self.seen if not is_gone(process)]


def is_gone(process: psutil.Process) -> bool:
    """Ended; a zombie is for whoever adopted it to wait for, which in a container may be nobody."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def program(tmp_path: Path, text: str) -> Iterator[Program]:
    """A script while it runs; killed at the end, with all that it started."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    process = subprocess.Popen(
        [sys.executable, "-u", str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(),
        cwd=tmp_path,
    )
    running = Program(process)
    try:
        yield running
    finally:
        for child in running.family() | running.seen if not is_gone(running.itself) else running.seen:
            if not is_gone(child):
                child.kill()
        process.kill()
        process.communicate()


def eventually(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Whether the condition comes true in time; looked at again and again."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def descriptors(process: int | str = "self") -> int:
    """How many descriptors a process has open."""
    return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())


def pid_of_worker(_: int) -> int:
    return os.getpid()


def pids_of(executor: Executor, count: int) -> set[int]:
    """The process ids of all ``count`` workers, each of which has run something."""
    pids: set[int] = set()

    def all_have_run() -> bool:
        pids.update(executor.map(pid_of_worker, range(50)))
        return len(pids) >= count

    assert eventually(all_have_run)
    return pids
