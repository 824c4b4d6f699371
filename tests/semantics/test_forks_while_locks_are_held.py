"""A process may fork while another of its threads holds any lock: the child waits for none of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.scripts import run

HEAD = """
    import os
    import threading
    import warnings
    from concurrent import futures

    import okazja
    from okazja import Executor

    warnings.simplefilter("ignore", DeprecationWarning)  # of forks of processes that have had threads

    def fork_while(lock, child):
        held, forked = threading.Event(), threading.Event()

        def hold():
            with lock:
                held.set()
                forked.wait(20)

        other = threading.Thread(target=hold)
        other.start()
        held.wait(20)
        pid = os.fork()
        if not pid:
            child()
            os._exit(0)
        forked.set()
        other.join()
        assert os.waitpid(pid, 0)[1] == 0

"""

WAITERS = """
    waiter = futures._base.{waiter}
    os.mkfifo("fifo")
    with Executor("processes", 1) as executor:
        future = executor.submit(os.open, os.path.abspath("fifo"), os.O_RDONLY)  # waits for the other side
        with future._condition:
            future._waiters.append(waiter)  # as a thread in wait or as_completed has done

        def child():
            assert future.done()
            assert waiter.event.is_set()

        fork_while(waiter.{lock}, child)
        os.close(os.open("fifo", os.O_WRONLY))
"""

WARM = """
    from okazja.executor import one_liner

    assert okazja.map(abs, [-1], backend={name!r}) == [1]

    def child():
        assert okazja.map(abs, [-2], backend={name!r}) == [2]

    fork_while(one_liner._warm_lock, child)
    assert okazja.map(abs, [-3], backend={name!r}) == [3]
"""


@pytest.mark.parametrize(
    ("waiter", "lock"),
    [
        ("_AsCompletedWaiter()", "lock"),
        ("_AsCompletedWaiter()", "event._cond"),
        ("_AllCompletedWaiter(1, stop_on_exception=False)", "lock"),
        ("_AllCompletedWaiter(1, stop_on_exception=False)", "event._cond"),
        ("_FirstCompletedWaiter()", "event._cond"),
    ],
)
def test_of_those_who_wait_for_futures(tmp_path: Path, waiter: str, lock: str) -> None:
    done = run(tmp_path, HEAD + WAITERS.format(waiter=waiter, lock=lock))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["serial", "threads", "asyncio", "processes"])
def test_of_executors_that_are_kept_warm(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, HEAD + WARM.format(name=name))
    assert done.returncode == 0, done.stderr
