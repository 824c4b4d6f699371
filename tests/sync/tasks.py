"""What the tasks of these tests do."""

from __future__ import annotations

import os
import time
from typing import Any


def pid_with(lock: Any) -> int:
    with lock:
        return os.getpid()


def die_with(lock: Any) -> None:
    lock.acquire()
    os._exit(3)


def leave_with(lock: Any) -> int:
    """Ends as if nothing was the matter, and never releases."""
    lock.acquire()
    return os.getpid()


def fork_and_die_with(lock: Any) -> None:
    """A process that okazja did not start dies with it."""
    pid = os.fork()
    if not pid:
        lock.acquire()
        os._exit(0)
    os.waitpid(pid, 0)


def meet(pair: tuple[Any, int]) -> tuple[int, int]:
    barrier, number = pair
    return number, barrier.wait(20)


def take_both(first: Any, second: Any, there: Any) -> str:
    with first:
        there.wait(20)
        with second:
            return "both"


def wait_for(event: Any) -> bool:
    return bool(event.wait())


def nested(lock: Any) -> int:
    from okazja import Executor

    with Executor("processes", max_workers=1) as executor:
        return executor.submit(pid_with, lock).result()


class Alone:
    """Notices when two are inside at once, by means that have nothing to do with what keeps them apart: a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            with open(self.path) as file:
                other = file.read()
            if other and _alive(int(other)):
                raise AssertionError(f"{os.getpid()} is inside together with {other}") from None
        with open(self.path, "w") as file:
            file.write(str(os.getpid()))

    def __exit__(self, *_: object) -> None:
        os.remove(self.path)  # noqa: PTH107  (as little in the way as can be)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def rounds(path: str, lock: Any, semaphore: Any, condition: Any, barrier: Any, seconds: float) -> float:
    """Use them all until the time is over; the longest that a round has taken. Waits end by themselves after 5 s."""
    import threading
    import warnings

    from okazja import OwnerDiedWarning

    warnings.simplefilter("ignore", OwnerDiedWarning)
    with open(f"{path}-{os.getpid()}", "w"):
        pass  # from now on it may be killed: workers that die while they start are another matter
    end, longest = time.monotonic() + seconds, 0.0
    while (start := time.monotonic()) < end:
        assert lock.acquire(timeout=5)
        with Alone(path):
            pass
        lock.release()
        assert semaphore.acquire(timeout=5)
        semaphore.release()
        with condition:
            condition.notify()
            condition.wait(0.002)
        try:
            barrier.wait(0.002)
        except threading.BrokenBarrierError:
            barrier.reset()
        longest = max(longest, time.monotonic() - start)
    return longest


def answer(lock: Any, answers: Any, rounds: int) -> int:
    """Takes the lock as often as somebody else releases it."""
    for number in range(rounds):
        lock.acquire()
        answers.put(number)
    return rounds


def increment(lock: Any, value: Any, times: int) -> None:
    for _ in range(times):
        with lock:
            before = value.value
            value.value = before + 1
