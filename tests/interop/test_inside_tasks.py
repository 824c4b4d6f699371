"""Tasks that start concurrency of their own, with other programs' pools, inside a worker."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from okazja import Executor


def in_threads(n: int) -> list[int]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(abs, range(n)))


def in_processes(n: int) -> list[int]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as pool:
        return list(pool.map(abs, range(n)))


def in_forks(n: int) -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, range(n))


def in_a_loop(n: int) -> list[int]:
    async def main() -> list[int]:
        return list(await asyncio.gather(*(asyncio.to_thread(abs, i) for i in range(n))))

    return asyncio.run(main())


def in_a_subprocess(n: int) -> list[int]:
    command = ["echo", *map(str, range(n))]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(word) for word in finished.stdout.split()]


def in_an_executor(n: int) -> list[int]:
    with Executor("processes", max_workers=2) as executor:
        return list(executor.map(abs, range(n)))


def in_a_fork(n: int) -> list[int]:
    """The fork writes to a pipe and is gone at once, as careful programs do."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, bytes(range(n)))
        os._exit(0)
    os.wait()
    os.close(writer)
    with open(reader, "rb") as file:
        return list(file.read())


def in_a_thread(n: int) -> list[int]:
    found: list[int] = []
    thread = threading.Thread(target=found.extend, args=(range(n),))
    thread.start()
    thread.join()
    return found


@pytest.mark.parametrize(
    "task",
    [
        in_threads,
        in_processes,
        in_forks,
        in_a_loop,
        in_a_subprocess,
        in_an_executor,
        in_a_fork,
        in_a_thread,
    ],
)
def test_on_processes(task: Callable[[int], list[int]]) -> None:
    with Executor("processes", max_workers=2) as executor:
        for _ in range(2):  # the worker is as good as new afterwards
            assert list(executor.map(task, range(1, 5))) == [list(range(n)) for n in range(1, 5)]


@pytest.mark.parametrize("task", [in_threads, in_a_loop, in_a_subprocess, in_an_executor, in_a_thread])
@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_in_this_process(task: Callable[[int], list[int]], backend: str) -> None:
    with Executor(backend) as executor:
        assert list(executor.map(task, range(1, 5))) == [list(range(n)) for n in range(1, 5)]
