"""``okazja.compare``: the ways to run a piece of work, measured side by side."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, process_time
from typing import Any, Self

from okazja._backends.ledger import workers_cpu_seconds
from okazja._worker.coroutines import makes_coroutines
from okazja._worker.cpus import cpu_count
from okazja._worker.task import check_arity, check_task, name_of
from okazja.errors import BadInput, TaskTypeError
from okazja.executor import Executor
from okazja.measure.comparison import Comparison, Row, Way
from okazja.measure.opening import opened
from okazja.measure.sample import mean_seconds, sample_size, stratified
from okazja.watch.tree import ProcessNode, Tree, tree

__all__ = ["WAYS", "compare", "default_workers_to_compare"]

ROUNDS = 5  # an odd number, so that the median is a measured value
FIRST_LOOK = 0.02  # seconds after which the tree is read, and then again while the warm-up lasts
STOP_LOOKING = 5.0  # seconds that a last look at the tree may take


# What is compared where nobody says more. A plain function on `asyncio` runs on threads, which are measured already.
WAYS = ("serial", "threads", "processes")


def default_workers_to_compare(cpus: int) -> tuple[int, ...]:
    """One worker, two, one a CPU, and twice as many."""
    return tuple(sorted({1, 2, cpus, 2 * cpus}))


def compare(
    fn: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    backends: Sequence[str] = WAYS,
    workers: Sequence[int] | None = None,
    budget: float = 20.0,
    on_progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Measure ``fn`` over a fair sample of ``items`` in several ways, and recommend one.

    Every backend but ``serial`` is measured with each number of ``workers`` (by default 1, 2, one a CPU, and
    twice as many). ``serial`` is always measured, as what the others are compared with. The sample is spread
    evenly over the positions of the items, and so large that all takes about ``budget`` seconds. The ways
    take turns in several rounds, so that a machine that gets slower or faster meanwhile favours none;
    start-up is measured apart. The results of each way are compared with serial's.

    ``on_progress`` is called with a line of text before each step. An error that ``fn`` raises here is raised
    as it is; one that only another way raises is in that way's row.

    Raises BadInput for options that make no sense, TaskTypeError for what can't be a task of one item.
    """
    check_task(fn)
    if makes_coroutines(fn):
        raise TaskTypeError(
            f"{name_of(fn)} is a coroutine function, which waits rather than computes: there is nothing to compare. "
            f"Run it with Executor('asyncio')"
        )
    check_arity(fn, 1)
    items = items if isinstance(items, Sequence) else list(items)
    ways = _ways(backends, default_workers_to_compare(cpu_count()) if workers is None else workers)
    if not items:
        raise BadInput("there are no items to compare with: give at least one")
    if not budget > 0:
        raise BadInput(f"budget must be a positive number of seconds, got {budget!r}")
    say = on_progress or _silent
    say("a small sample, to see how long an item takes")
    mean = mean_seconds(fn, items, budget)
    runs = (ROUNDS + 1) * len(ways)  # each way is warmed up once
    sample = stratified(items, sample_size(len(items), mean, runs, max(way.workers for way in ways), budget))
    expected = [fn(item) for item in sample]
    with ExitStack() as stack:
        entrants = [_Entrant(way, fn, sample, stack) for way in ways]
        for entrant in entrants:
            say(f"warming up {entrant.way}")
            entrant.warm_up(expected)
        for number in range(1, ROUNDS + 1):
            say(f"round {number} of {ROUNDS}, {len(sample)} items each way")
            # Every other round goes backwards, so that none always follows the same other.
            for entrant in entrants if number % 2 else reversed(entrants):
                entrant.run()
    rows = _rows(entrants, cpu_count())
    name = getattr(fn, "__qualname__", type(fn).__name__)
    return Comparison(name, len(items), len(sample), ROUNDS, cpu_count(), rows)


def _silent(text: str) -> None:
    del text


def _ways(backends: Sequence[str], workers: Sequence[int]) -> list[Way]:
    if isinstance(backends, str):
        raise BadInput(f"backends must be a sequence of names, got {backends!r}: write [{backends!r}]")
    if not workers:
        raise BadInput("workers must name at least one number of workers, got none: for instance (1, 2)")
    for count in workers:
        if not _is_whole(count) or count < 1:
            raise BadInput(f"workers must be whole numbers of at least 1, got {count!r}")
    parallel = [backend for backend in dict.fromkeys(backends) if backend != "serial"]
    counts = sorted(set(workers))
    return [Way("serial", 1), *(Way(backend, count) for backend in parallel for count in counts)]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(eq=False)
class _Entrant:
    """One way with its open executor, and what was measured so far."""

    way: Way
    fn: Callable[[Any], Any]
    sample: list[Any]
    stack: ExitStack
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    startup: float = 0.0
    processes: int = 0
    threads: int = 0
    error: str = ""
    executor: Executor | None = None

    def warm_up(self, expected: list[Any]) -> None:
        """Start the workers, let them import what they need, look at the tree and check the results."""
        before = tree()
        start = perf_counter()
        workers = None if self.way.backend == "serial" else self.way.workers
        # An unknown backend is the caller's mistake, so it is raised and not written into the row.
        self.executor = self.stack.enter_context(opened(self.way.backend, workers))
        try:
            self.executor.submit(int).result()
            self.startup = perf_counter() - start
            with _Watcher(before) as watcher:
                results = list(self.executor.map(self.fn, self.sample))
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
            return
        self.processes, self.threads = watcher.processes, watcher.threads
        self.error = _difference(self.sample, results, expected)

    def run(self) -> None:
        """Measure once."""
        if self.error:
            return
        assert self.executor is not None
        gc.collect()  # the rubbish of one way is not cleared on the time of the next
        workers_before, own_before, start = workers_cpu_seconds(), process_time(), perf_counter()
        try:
            for _ in self.executor.map(self.fn, self.sample):
                pass
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
            return
        self.seconds.append(perf_counter() - start)
        self.cpu_seconds.append(process_time() - own_before + workers_cpu_seconds() - workers_before)


class _Watcher:
    """Counts processes and threads while a block runs: this process with its main thread, and what was added.

    Its own thread isn't counted, nor are the resting workers of other ways.
    """

    def __init__(self, before: Tree) -> None:
        # What was there before belongs to other ways, or to the program that compares.
        self._other_processes = {node.pid for node in before.processes[1:]}
        main_thread = threading.main_thread().native_id
        self._other_threads = {thread.tid for thread in before.root.threads if thread.tid != main_thread}
        self.processes = self.threads = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="okazja-compare-watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join(STOP_LOOKING)

    def _watch(self) -> None:
        pause = FIRST_LOOK
        while True:
            over = self._over.wait(pause)
            self._look()
            if over:
                return
            pause *= 2

    def _added(self, node: ProcessNode) -> list[ProcessNode]:
        """The new processes, and those above them: executors share a zygote, so it may be older."""
        below = [added for child in node.children for added in self._added(child)]
        return [node, *below] if below or node.pid not in self._other_processes else []

    def _look(self) -> None:
        own = threading.get_native_id()
        nodes = self._added(tree().root)
        threads = [
            thread
            for node in nodes
            for thread in node.threads
            if thread.tid != own and thread.tid not in self._other_threads
        ]
        self.processes, self.threads = max(self.processes, len(nodes)), max(self.threads, len(threads))


def _difference(sample: list[Any], results: list[Any], expected: list[Any]) -> str:
    """What is wrong with the results; empty if they are those that serial gives."""
    if len(results) != len(expected):
        return f"gave {len(results)} results for {len(expected)} items"
    wrong = [number for number, pair in enumerate(zip(results, expected, strict=True)) if not _same(*pair)]
    if not wrong:
        return ""
    first = wrong[0]
    return (
        f"{len(wrong)} of {len(expected)} results differ from serial's: for {sample[first]!r} "
        f"{results[first]!r} instead of {expected[first]!r}"
    )


def _same(result: Any, expected: Any) -> bool:
    if type(result) is not type(expected):
        return False
    try:
        if result == expected:
            return True
        # NaN does not equal itself.
        return bool(result != result and expected != expected)  # noqa: PLR0124
    except ValueError:  # arrays compare element by element
        import pickle

        return pickle.dumps(result) == pickle.dumps(expected)


def _rows(entrants: list[_Entrant], cpus: int) -> tuple[Row, ...]:
    serial = entrants[0].seconds
    rows = []
    for entrant in entrants:
        measured = bool(entrant.seconds) and not entrant.error and not entrants[0].error
        # Pair by pair: what slowed a whole round down slowed both down.
        speedup = median(a / b for a, b in zip(serial, entrant.seconds, strict=True)) if measured else 0.0
        rows.append(
            Row(
                way=entrant.way,
                runs=tuple(entrant.seconds),
                seconds=median(entrant.seconds) if measured else 0.0,
                speedup=speedup,
                efficiency=speedup / min(entrant.way.workers, cpus),
                cpu_seconds=median(entrant.cpu_seconds) if measured else 0.0,
                startup_seconds=entrant.startup,
                processes=entrant.processes,
                threads=entrant.threads,
                error=entrant.error,
            )
        )
    return tuple(rows)
