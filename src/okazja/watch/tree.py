"""``okazja.tree()``: the processes and threads that run now, and what okazja's workers do in them."""

from __future__ import annotations

import html
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from okazja.errors import BadInput, UnsupportedHere
from okazja.watch.marks import Work, work_of_process

if TYPE_CHECKING:
    import psutil

__all__ = ["ProcessNode", "ThreadNode", "Tree", "tree"]

ZYGOTE = "okazja-zygote"  # what a zygote calls itself, where processes can do so
MOST_SHOWN = 5  # workers of one thread, which are coroutines
COMMAND_WIDTH = 60  # characters of a command line that are shown


@dataclass(frozen=True, slots=True)
class ThreadNode:
    """One thread, and what it runs if it is a worker of an executor."""

    tid: int  # the operating system's id
    name: str
    work: tuple[Work, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessNode:
    """One process with its threads and its child processes."""

    pid: int
    name: str  # "python run.py", "zygote", "worker"
    role: str  # "zygote" (forks okazja's workers), "worker", or "" for any other process
    threads: tuple[ThreadNode, ...]
    children: tuple[ProcessNode, ...]
    work: tuple[Work, ...] = ()  # what a worker process runs

    def walk(self) -> Iterator[ProcessNode]:
        """This process, then all below it, as they are printed."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True, repr=False)
class Tree:
    """A snapshot of a process, its threads and all processes below it; ``str`` draws it like ``pstree``."""

    root: ProcessNode

    @property
    def processes(self) -> tuple[ProcessNode, ...]:
        """All processes, the root first."""
        return tuple(self.root.walk())

    @property
    def threads(self) -> tuple[ThreadNode, ...]:
        """The threads of all processes."""
        return tuple(thread for process in self.root.walk() for thread in process.threads)

    @property
    def work(self) -> tuple[Work, ...]:
        """What each worker does, of every executor in the tree."""
        marks = [process.work for process in self.processes] + [thread.work for thread in self.threads]
        return tuple(work for works in marks for work in works)

    def __str__(self) -> str:
        return "\n".join([_process_line(self.root), *_branches(self.root)])

    def __repr__(self) -> str:
        counts = f"{len(self.processes)} processes, {len(self.threads)} threads"
        return f"<okazja tree of process {self.root.pid}: {counts}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self) if cycle else str(self))


def tree(pid: int | None = None) -> Tree:
    """The processes and threads that run now, from process ``pid`` (this process by default) downwards.

    Workers are named with their executor and what they run since when. Threads have their Python
    names in this process, and the system's in others. What ends while it is being read is left out.
    Boards of other processes are read on Linux only; elsewhere their workers are plain processes.

    Raises BadInput when there is no process ``pid``, UnsupportedHere when psutil is not installed.
    """
    psutil = _psutil()
    own = os.getpid()
    pid = own if pid is None else pid
    if not _is_pid(pid):
        raise BadInput(f"pid must be the number of a process, got {pid!r}")
    try:
        root = psutil.Process(pid)
        found = [root, *root.children(recursive=True)]
        parents = [parent.pid for parent in root.parents()]
    except (psutil.NoSuchProcess, OverflowError) as error:
        raise BadInput(f"there is no process {pid}: it ended, or never ran here") from error
    except psutil.AccessDenied as error:
        raise BadInput(f"process {pid} can't be read: it belongs to another user") from error
    return Tree(_Reader([process.pid for process in found], parents, found).read())


class _Reader:
    """Puts processes, threads and marks together."""

    def __init__(self, pids: list[int], ancestors: list[int], found: list[psutil.Process]) -> None:
        # A worker's mark is on its owner's board, and the owner may be above the root of the tree.
        marks = [work for pid in [*pids, *ancestors] for work in work_of_process(pid)]
        self.by_process: dict[int, list[Work]] = {}
        self.by_thread: dict[tuple[int, int], list[Work]] = {}
        for work in marks:
            if work.pid != work.owner:
                self.by_process.setdefault(work.pid, []).append(work)
            else:
                self.by_thread.setdefault((work.pid, work.tid), []).append(work)
        self.found = found
        self.below: dict[int, list[psutil.Process]] = {}

    def read(self) -> ProcessNode:
        psutil = _psutil()
        root, *others = self.found
        for process in others:
            try:
                self.below.setdefault(process.ppid(), []).append(process)
            except psutil.Error:
                continue
        node = self._node(root)
        if node is None:
            raise BadInput(f"there is no process {root.pid}: it ended while it was read")
        return node

    def _node(self, process: psutil.Process) -> ProcessNode | None:
        psutil = _psutil()
        below = self.below.get(process.pid, [])
        children = [node for node in map(self._node, below) if node is not None]
        work = self.by_process.get(process.pid, [])
        # Workers are forked by a zygote, which is itself a child of the executor's owner.
        zygote = any(child.role == "worker" and child.work[0].owner != process.pid for child in children)
        try:
            role = "worker" if work else "zygote" if zygote or process.name() == ZYGOTE else ""
            name = role or _command(process)
            threads = self._threads(process)
        except psutil.NoSuchProcess:
            return None  # its children, if any, have a new parent outside this tree
        return ProcessNode(process.pid, name, role, threads, tuple(children), tuple(work))

    def _threads(self, process: psutil.Process) -> tuple[ThreadNode, ...]:
        psutil = _psutil()
        pid, own = process.pid, process.pid == os.getpid()
        names = {thread.native_id: thread.name for thread in threading.enumerate()} if own else {}
        try:
            tids = [thread.id for thread in process.threads()]
        except psutil.ZombieProcess:
            return ()
        except psutil.AccessDenied:  # macOS lets only root see threads of others
            tids = [tid for tid in names if tid is not None]
        nodes = []
        for tid in sorted(tids):
            name = names.get(tid) or _thread_name(pid, tid)
            if name is not None:
                nodes.append(ThreadNode(tid, name, tuple(self.by_thread.get((pid, tid), ()))))
        return tuple(nodes)


def _is_pid(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _psutil() -> Any:
    try:
        import psutil
    except ImportError as error:
        raise UnsupportedHere(
            "okazja.tree() needs psutil, which is not installed: pip install psutil"
        ) from error
    return psutil


def _command(process: psutil.Process) -> str:
    psutil = _psutil()
    try:
        words = process.cmdline() or [process.name()]
    except psutil.ZombieProcess:
        return f"{process.name()} (ended)"
    except psutil.AccessDenied:
        words = [process.name()]
    # Code given with -c may hold whole programs: one line of it is enough.
    text = " ".join([Path(words[0]).name, *words[1:]]).strip().partition("\n")[0]
    return text if len(text) <= COMMAND_WIDTH else text[: COMMAND_WIDTH - 1] + "…"


def _thread_name(pid: int, tid: int) -> str | None:
    """The system's name of a thread; None when the thread has ended."""
    try:
        return Path(f"/proc/{pid}/task/{tid}/comm").read_text("utf-8", "replace").rstrip("\n")
    except OSError:
        return None if Path("/proc/self/task").is_dir() else "thread"


# --- drawing --------------------------------------------------------------------------------------------


def _process_line(node: ProcessNode) -> str:
    return f"{node.name}, pid {node.pid}" + _suffix(node.work)


def _suffix(work: tuple[Work, ...]) -> str:
    shown = [str(one) for one in work[:MOST_SHOWN]]
    if len(work) > MOST_SHOWN:
        shown.append(f"and {len(work) - MOST_SHOWN} more")
    return ": " + "; ".join(shown) if work else ""


def _branches(node: ProcessNode) -> list[str]:
    lines: list[str] = []
    blocks = [[line] for line in _thread_lines(node)]
    blocks += [[_process_line(child), *_branches(child)] for child in node.children]
    for number, (first, *rest) in enumerate(blocks, 1):
        last = number == len(blocks)
        lines.append(("└─ " if last else "├─ ") + first)
        lines += [("   " if last else "│  ") + line for line in rest]
    return lines


def _thread_lines(node: ProcessNode) -> list[str]:
    """Threads in braces; the only thread of a process is the process, and equal idle ones are counted."""
    if len(node.threads) == 1 and not node.threads[0].work:
        return []
    plain = Counter(thread.name for thread in node.threads if not thread.work)
    lines: list[str] = []
    for thread in node.threads:
        count = 0 if thread.work else plain.pop(thread.name, -1)
        if count > 1:
            lines.append(f"{count} × {{{thread.name}}}")
        elif count >= 0:
            lines.append(f"{{{thread.name}}} {thread.tid}{_suffix(thread.work)}")
    return lines
