"""After each test, nothing that it started still runs: a leak is blamed on the test that left it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import hypothesis
import psutil
import pytest

# An example that takes long on a busy machine is no failure.
hypothesis.settings.register_profile("okazja", deadline=None)
hypothesis.settings.load_profile("okazja")

PATIENCE = 5.0  # seconds that processes and threads have to end, once the test is over

# One of each may stay for as long as this process runs, as its direct child. Workers are forked from
# them and carry the same command line, so the place in the tree tells them apart.
SERVANTS = ("okazja._worker.zygote", "multiprocessing.forkserver", "resource_tracker")


def is_servant(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # also a zombie, which has no command line
        return False
    return any(name in command for name in SERVANTS)


def processes_now() -> set[psutil.Process]:
    """All descendants of this process but its own servants."""
    me = psutil.Process()
    try:
        descendants = me.children(recursive=True)
        return {child for child in descendants if child.ppid() != me.pid or not is_servant(child)}
    except psutil.NoSuchProcess:  # one ended between being listed and being looked at
        return processes_now()


def threads_now() -> set[threading.Thread]:
    """Threads that would keep the interpreter from ending, but for pools of the standard library."""
    return {
        thread
        for thread in threading.enumerate()
        if not thread.daemon and not thread.name.startswith("ThreadPoolExecutor-")
    }


def leftover_processes(before: set[psutil.Process]) -> list[str]:
    """Those that outlive the test, described and then killed: the next test is not to be blamed."""
    _, alive = psutil.wait_procs(processes_now() - before, timeout=PATIENCE)
    described = []
    for process in alive:
        try:
            described.append(f"process {process.pid}: {' '.join(process.cmdline()) or process.name()}")
            process.kill()
        except psutil.NoSuchProcess:
            described.append(f"process {process.pid}, which ended only {PATIENCE:g} s after the test")
    return described


def leftover_threads(before: set[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + PATIENCE
    extra = threads_now() - before
    for thread in extra:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [f"thread {thread.name}" for thread in extra if thread.is_alive()]


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Set up before a test's other fixtures of its scope, so torn down after them."""
    processes, threads = processes_now(), threads_now()
    yield
    left = [*leftover_processes(processes), *leftover_threads(threads)]
    assert not left, "the test left running: " + "; ".join(left)
