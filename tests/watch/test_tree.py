"""okazja.tree(): what runs now, in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import okazja
from okazja.errors import BadInput
from okazja.watch.tree import ProcessNode, ThreadNode, Tree

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="boards are shared on Linux only")


def meet(folder: str) -> int:
    """Say that this task runs, then wait until the test says that it may end."""
    Path(folder, f"runs-{os.getpid()}").touch()
    with open(Path(folder, "end")) as end:  # a FIFO: opened when the test opens it too
        end.read()
    return os.getpid()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "end")
    return tmp_path


def wait_for(folder: Path, count: int) -> None:
    over = threading.Event()
    while len(list(folder.glob("runs-*"))) < count:
        over.wait(0.01)


def let_end(folder: Path) -> None:
    with open(folder / "end", "w"):
        pass


def test_this_process_is_the_root_and_its_threads_have_their_python_names() -> None:
    inside, over = threading.Event(), threading.Event()

    def work() -> None:
        inside.set()
        over.wait()

    thread = threading.Thread(target=work, name="a-name-of-its-own")
    thread.start()
    inside.wait()
    try:
        tree = okazja.tree()
    finally:
        over.set()
        thread.join()
    assert tree.root.pid == os.getpid()
    assert ("a-name-of-its-own", thread.native_id) in {(node.name, node.tid) for node in tree.root.threads}
    assert "{a-name-of-its-own}" in str(tree)


def test_threads_of_an_executor_say_what_they_run() -> None:
    inside, over = threading.Event(), threading.Event()

    def waits_for_the_test() -> None:
        inside.set()
        over.wait()

    with okazja.Executor("threads", 1) as executor:
        future = executor.submit(waits_for_the_test)
        inside.wait()
        busy = [work for work in okazja.tree().work if work.busy]
        over.set()
        future.result()
    assert [(work.backend, work.worker, work.pid) for work in busy] == [("threads", 0, os.getpid())]
    assert "waits_for_the_test" in busy[0].function
    assert busy[0].seconds is not None
    assert busy[0].seconds >= 0


@linux_only
def test_processes_of_an_executor_are_named_and_hang_below_the_zygote(folder: Path) -> None:
    with okazja.Executor("processes", 1) as executor:
        future = executor.submit(meet, str(folder))
        wait_for(folder, 1)
        tree = okazja.tree()
        from_outside = tree_of(os.getpid())
        let_end(folder)
        worker_pid = future.result()
    (zygote,) = [node for node in tree.root.children if node.role == "zygote"]
    (worker,) = [node for node in zygote.children if node.pid == worker_pid]
    assert worker.role == "worker"
    assert "meet" in worker.work[0].function
    assert f"worker, pid {worker_pid}: worker 0 of {worker.work[0].executor}: " in str(tree)
    # Another process sees the same through /proc.
    assert f"zygote, pid {zygote.pid}" in from_outside
    assert f"worker, pid {worker_pid}: worker 0 of {worker.work[0].executor}: " in from_outside


@linux_only
def test_a_worker_as_root_is_still_known(folder: Path) -> None:
    with okazja.Executor("processes", 1) as executor:
        future = executor.submit(meet, str(folder))
        wait_for(folder, 1)
        (worker,) = [node for node in okazja.tree().processes if node.role == "worker"]
        seen = tree_of(worker.pid)
        let_end(folder)
        future.result()
    assert seen.startswith(f"worker, pid {worker.pid}: worker 0 of ")


def tree_of(pid: int) -> str:
    """The tree as a process apart sees it."""
    code = f"import okazja; print(okazja.tree({pid}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_process_that_does_not_exist_is_named() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(BadInput, match=f"no process {ended.pid}"):
        okazja.tree(ended.pid)


@pytest.mark.parametrize("pid", [-1, True, "12", 2**70])
def test_what_is_no_pid_is_refused(pid: int) -> None:
    with pytest.raises(BadInput, match=str(pid)):
        okazja.tree(pid)


def test_it_is_drawn_with_branches_and_equal_threads_are_counted() -> None:
    threads = tuple(ThreadNode(tid, name) for tid, name in [(1, "python"), (2, "python"), (3, "io")])
    grandchild = ProcessNode(30, "c", "", (ThreadNode(30, "c"),), ())
    children = (ProcessNode(20, "b", "", (), (grandchild,)), ProcessNode(21, "d", "", (), ()))
    tree = Tree(ProcessNode(1, "a", "", threads, children))
    assert str(tree).splitlines() == [
        "a, pid 1",
        "├─ 2 × {python}",
        "├─ {io} 3",
        "├─ b, pid 20",
        "│  └─ c, pid 30",
        "└─ d, pid 21",
    ]
    assert [node.pid for node in tree.processes] == [1, 20, 30, 21]
    assert repr(tree) == "<okazja tree of process 1: 4 processes, 4 threads>"
    assert tree._repr_html_() == f"<pre>{tree}</pre>"
