"""The zygote is killed, or the parent forks: the executor goes on and the fork does no harm."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.faults.scripts import eventually, pids_of, run
from tests.faults.tasks import die_at, pid, square

from okazja import Executor

Open = Callable[..., Executor]


def zygote_of(executor: Executor) -> psutil.Process:
    worker = psutil.Process(next(iter(pids_of(executor, 1))))
    zygote = worker.parent()
    assert zygote is not None
    assert zygote.ppid() == os.getpid()
    return zygote


def test_the_executor_goes_on_without_its_zygote(open_executor: Open) -> None:
    executor = open_executor()
    before = pids_of(executor, 2)
    zygote_of(executor).kill()
    assert list(executor.map(square, range(1_000))) == [n * n for n in range(1_000)]
    assert pids_of(executor, 2) == before, "workers live on"


def test_workers_that_die_after_their_zygote_are_replaced_and_blamed(open_executor: Open) -> None:
    executor = open_executor()
    pids_of(executor, 2)
    zygote_of(executor).kill()
    for _ in range(5):
        error = executor.submit(die_at, "SIGKILL", 1, 1).exception(30)
        assert "while it ran die_at" in str(error)
        assert list(executor.map(square, range(100))) == [n * n for n in range(100)]


def test_a_zygote_killed_again_and_again(open_executor: Open) -> None:
    executor = open_executor()
    for _ in range(5):
        zygote_of(executor).kill()
        for worker in list(executor._processes):
            os.kill(worker, signal.SIGKILL)
        assert list(executor.map(square, range(100))) == [n * n for n in range(100)]


def test_a_new_executor_after_the_zygote_was_killed(open_executor: Open) -> None:
    first = open_executor()
    zygote_of(first).kill()
    second = open_executor()
    assert list(second.map(square, range(100))) == [n * n for n in range(100)]
    assert list(first.map(square, range(100))) == [n * n for n in range(100)]


def test_a_stopped_zygote_does_not_stop_workers(open_executor: Open) -> None:
    executor = open_executor()
    pids_of(executor, 2)
    zygote = zygote_of(executor)
    zygote.suspend()
    try:
        assert list(executor.map(square, range(1_000))) == [n * n for n in range(1_000)]
    finally:
        zygote.resume()


FORK = """
    import os, sys, time, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # of CPython 3.12: a process with threads forks
    from okazja import Executor
    from tests.faults.tasks import square

    executor = Executor("processes", 2)
    futures = [executor.submit(square, number) for number in range(1000)]
    results = executor.map(square, range(50_000))
    next(results)
    child = os.fork()
    if not child:
        {in_child}
    {before_wait}
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert [future.result() for future in futures] == [number ** 2 for number in range(1000)]
    assert list(results) == [number ** 2 for number in range(1, 50_000)]
    assert list(executor.map(square, range(1000))) == [number ** 2 for number in range(1000)]
    executor.shutdown()
    print("parent", status)
"""


@pytest.mark.parametrize(
    "in_child",
    [
        "os._exit(0)",
        "sys.exit(0)",
        "executor.shutdown(); sys.exit(0)",
        "del executor, results, futures; sys.exit(0)",
        "results.close(); sys.exit(0)",
        "new = Executor('processes', 2); assert list(new.map(square, [3])) == [9]; sys.exit(0)",
        "raise SystemExit(0 if 'process that forked' in str(executor._broken) else 1)",
    ],
)
def test_a_fork_of_the_parent_does_no_harm(tmp_path: Path, in_child: str) -> None:
    done = run(tmp_path, FORK.format(in_child=in_child, before_wait=""))
    assert (done.stdout, done.stderr, done.returncode) == ("parent 0\n", "", 0)


def test_a_submit_in_the_fork_says_what_is_wrong(tmp_path: Path) -> None:
    in_child = """
        try:
            executor.submit(square, 1)
        except Exception as error:
            print(type(error).__name__, "make a new one" in str(error), flush=True)
        os._exit(0)"""
    done = run(tmp_path, FORK.format(in_child=in_child, before_wait=""))
    assert done.stdout == "ExecutorBroken True\nparent 0\n"


def test_a_fork_that_lives_on_does_not_keep_the_parents_workers(tmp_path: Path) -> None:
    script = FORK.format(in_child="time.sleep(600)", before_wait="executor.shutdown(); os.kill(child, 9)")
    done = run(tmp_path, script.replace("assert list(executor.map", "0 and list(executor.map"))
    assert done.stdout == "parent -9\n"
    assert done.stderr == ""


def test_forks_by_other_threads_while_calls_fly(open_executor: Open) -> None:
    import multiprocessing
    import threading
    import warnings

    executor = open_executor()
    failures: list[int | None] = []

    def fork_often() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for _ in range(10):
                child = multiprocessing.get_context("fork").Process(target=os.getpid)
                child.start()
                child.join(30)
                if child.exitcode:
                    failures.append(child.exitcode)

    thread = threading.Thread(target=fork_often)
    thread.start()
    while thread.is_alive():
        assert list(executor.map(square, range(500))) == [n * n for n in range(500)]
        assert [executor.submit(square, n).result(30) for n in range(20)] == [n * n for n in range(20)]
    thread.join()
    assert not failures


def test_workers_are_not_children_of_the_parent_but_of_the_zygote(open_executor: Open) -> None:
    executor = open_executor()
    worker = executor.submit(pid).result(30)
    assert psutil.Process(worker).ppid() != os.getpid()
    executor.shutdown()
    assert eventually(lambda: not psutil.pid_exists(worker), 5), "no zombie is left"
