"""Programs in which every task waits: run as scripts, for in a test's own process there are threads of others.

python standstills.py BACKEND NAME: prints what each call has raised, by name, and the story of the first.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from okazja import Deadlock, Executor


def wait_for(condition: Any) -> None:
    with condition:
        condition.wait()


def with_a_thread(event: Any) -> bool:
    """A thread that nobody else knows sets it, late."""
    threading.Timer(4, event.set).start()
    return bool(event.wait())


def with_a_child(event: Any) -> bool:
    child = os.fork()
    if not child:
        set_late(event)
        os._exit(0)
    try:
        return bool(event.wait())
    finally:
        os.waitpid(child, 0)


def with_a_handler(event: Any) -> bool:
    signal.signal(signal.SIGALRM, lambda *_: event.set())
    signal.alarm(4)
    return bool(event.wait())


def set_late(event: Any) -> None:
    signal.sigtimedwait([signal.SIGUSR1], 4)
    event.set()


def wait_and_set(limited: Any, event: Any) -> None:
    limited.wait(4)
    event.set()


def starved(executor: Executor) -> list[Any]:
    """Those who would put wait for a worker."""
    queue = executor.Queue()
    return [executor.submit(queue.get), executor.submit(queue.get), executor.submit(queue.put, 1)]


def full(executor: Executor) -> list[Any]:
    queue = executor.Queue(1)
    queue.put(0)
    return [executor.submit(queue.put, number) for number in range(2)]


def lock(executor: Executor) -> list[Any]:
    lock = executor.Lock()
    lock.acquire()
    return [executor.submit(lock.acquire)]


def doubt(executor: Executor) -> list[Any]:
    """Somebody died while it tried for a lock that this thread has: who had it is not decided as long as it has it."""
    lock: Any = executor.Lock()
    lock.acquire()
    child = os.fork()
    if not child:
        lock._try = lambda _: os._exit(0)
        lock.acquire(blocking=False)
    os.waitpid(child, 0)
    assert not lock.acquire(timeout=1)  # time enough to look for the dead
    return [executor.submit(executor.Event().wait)]


def end(executor: Executor) -> list[Any]:
    calls = [executor.submit(executor.Queue().get)]
    executor.shutdown()
    return calls


def somebody_acts(executor: Executor, name: str) -> list[Any]:
    """What only looks like one."""
    event = executor.Event()
    if name.startswith("task-"):
        return [executor.submit(globals()[f"with_a_{name.removeprefix('task-')}"], event)]
    if name == "limited-task":
        limited = executor.Event()
        return [executor.submit(event.wait), executor.submit(wait_and_set, limited, event)]
    call = executor.submit(event.wait)
    if name == "thread":
        threading.Timer(4, event.set).start()
    elif name == "handler":
        signal.signal(signal.SIGALRM, lambda *_: event.set())
        signal.alarm(4)
    elif name == "process":
        multiprocessing.get_context("spawn").Process(target=set_late, args=(event,)).start()
    elif name == "limited":
        with contextlib.suppress(TimeoutError):
            call.result(timeout=4)
        event.set()
    return [call]


def parent(executor: Executor) -> list[Any]:
    """This thread waits as well."""
    call = executor.submit(executor.Queue().get)
    with contextlib.suppress(Deadlock):
        executor.Event().wait()
    return [call]


def stream(executor: Executor) -> list[Any]:
    queue = executor.Queue()
    return list(executor.stream(lambda _: queue.get(), range(2)))


def join(executor: Executor) -> list[Any]:
    queue = executor.Queue()
    queue.put(1)
    return [executor.submit(queue.join)]


STANDSTILLS: dict[str, Callable[[Executor], list[Any]]] = {
    "queue": lambda executor: [executor.submit(queue.get) for queue in [executor.Queue()] * 2],
    "barrier": lambda executor: [executor.submit(barrier.wait) for barrier in [executor.Barrier(3)] * 2],
    "condition": lambda executor: [executor.submit(wait_for, one) for one in [executor.Condition()] * 2],
    "starved": starved,
    "full": full,
    "lock": lock,
    "doubt": doubt,
    "end": end,
    "join": join,
    "parent": parent,
    "stream": stream,
}


def main(backend: str, name: str) -> None:
    stories = []
    with Executor(backend, max_workers=2) as executor:
        make = STANDSTILLS.get(name)
        for call in somebody_acts(executor, name) if make is None else make(executor):
            error = call.error if name == "stream" else call.exception()
            stories.append(str(error))
            sys.stdout.write(f"{type(error).__name__}\n")
    sys.stdout.write(stories[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
