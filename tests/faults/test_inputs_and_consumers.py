"""Inputs that raise, never end, block or use the executor themselves; consumers that stop; executors forgotten."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults import tasks
from tests.faults.innocent import works
from tests.faults.scripts import eventually, run

from okazja import Executor

PATIENCE = 20.0  # seconds for what should take none
BACKENDS = ["serial", "threads", "asyncio", "processes"]

Stream = Callable[[Executor, Iterator[int]], Iterator[int]]


def mapped(executor: Executor, numbers: Iterator[int]) -> Iterator[int]:
    return executor.map(tasks.square, numbers)


def streamed(executor: Executor, numbers: Iterator[int]) -> Iterator[int]:
    for outcome in executor.stream(tasks.square, numbers, ordered=True):
        assert outcome.value is not None, outcome.error
        yield outcome.value


@pytest.fixture(params=BACKENDS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with Executor(request.param, 1 if request.param == "serial" else 2) as opened:
        assert works(opened)  # quick items: chunks have grown
        yield opened
        assert works(opened)


@pytest.fixture(params=[mapped, streamed])
def passed(request: pytest.FixtureRequest) -> Stream:
    stream: Stream = request.param
    return stream


@pytest.mark.parametrize("count", [0, 1, 7, 5_000])
def test_an_input_that_raises(executor: Executor, passed: Stream, count: int) -> None:
    def numbers() -> Iterator[int]:
        yield from range(count)
        raise LookupError("no more")

    got: list[int] = []
    with pytest.raises(LookupError, match="no more"):
        got.extend(passed(executor, numbers()))
    assert got == [n * n for n in range(count)], "all that came before the error"


def test_an_endless_input_and_a_consumer_that_stops(executor: Executor, passed: Stream) -> None:
    drawn = itertools.count()
    results = passed(executor, drawn)
    assert list(itertools.islice(results, 10_000)) == [n * n for n in range(10_000)]
    del results
    gc.collect()
    before = next(drawn)
    assert before < 200_000, "bounded"
    assert works(executor)
    assert next(drawn) == before + 1, "nothing is drawn for nobody"


def test_an_input_that_uses_the_executor(executor: Executor, passed: Stream) -> None:
    def numbers() -> Iterator[int]:
        for number in range(300):
            assert executor.submit(tasks.square, number).result(PATIENCE) == number**2
            if number % 100 == 0:
                assert list(executor.map(tasks.square, range(50))) == [n * n for n in range(50)]
            yield number

    assert list(passed(executor, numbers())) == [n * n for n in range(300)]


def test_an_input_that_is_the_output_of_another(executor: Executor, passed: Stream) -> None:
    inner = passed(executor, iter(range(2_000)))
    assert list(passed(executor, inner)) == [n**4 for n in range(2_000)]


def test_an_input_that_blocks_holds_back_no_submitted_call(executor: Executor, passed: Stream) -> None:
    blocked, let_go = threading.Event(), threading.Event()

    def numbers() -> Iterator[int]:
        yield from range(100)
        blocked.set()
        assert let_go.wait(PATIENCE)
        yield 100

    got: list[int] = []
    consumer = threading.Thread(target=lambda: got.extend(passed(executor, numbers())))
    consumer.start()
    try:
        assert blocked.wait(PATIENCE)
        assert works(executor)
    finally:
        let_go.set()
        consumer.join(PATIENCE)
    assert got == [n * n for n in range(101)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_wrong_arity_is_said_before_anything_is_drawn(backend: str) -> None:
    drawn = itertools.count()
    with Executor(backend, 1) as executor:
        with pytest.raises(TypeError, match="argument"):
            executor.map(tasks.square, drawn, drawn)
        with pytest.raises(TypeError, match="argument"):
            executor.stream(tasks.die_at, drawn)  # type: ignore[arg-type]
    assert next(drawn) == 0


# --- forgotten --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_in_a_cycle_with_a_map_half_consumed(backend: str) -> None:
    class Holder:
        pass

    holder = Holder()
    executor = Executor(backend, 2)
    results = executor.map(tasks.square, itertools.count())
    assert [next(results) for _ in range(100)] == [n * n for n in range(100)]
    holder.__dict__.update(executor=executor, results=results, itself=holder)
    gone = weakref.ref(executor)
    del holder, executor, results
    gc.collect()
    assert gone() is None  # that its processes and threads end is checked after each test


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_in_a_thread_that_ends(backend: str) -> None:
    got: list[int] = []

    def work() -> None:
        executor = Executor(backend, 2)
        results = executor.map(tasks.square, range(1_000))
        got.extend(itertools.islice(results, 10))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert got == [n * n for n in range(10)]
    assert eventually(lambda: gc.collect() >= 0)


ENDS = {
    "sys.exit in the main thread": ("sys.exit(4)", 4, ""),
    "an exception in the main thread": ("raise LookupError('mine')", 1, "LookupError: mine\n"),
    "os._exit": ("os._exit(5)", 5, ""),
    "the end, work begun by a thread": (
        "thread = threading.Thread(target=lambda: executor.submit(record, 'late', 1)); thread.start()",
        0,
        "",
    ),
    "sys.exit in a thread": ("threading.Thread(target=sys.exit).start()", 0, ""),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_the_interpreter_ends_with_work_pending(tmp_path: Path, backend: str, end: str) -> None:
    statement, status, said = ENDS[end]
    lines = [
        "import os, sys, threading",
        "from okazja import Executor",
        "from tests.semantics.tasks import record",
        f"executor = Executor({backend!r}, 2)",
        "futures = [executor.submit(record, 'log', number) for number in range(200)]",
        "results = executor.map(record, ['log'] * 300, range(200, 500))",
        statement,
    ]
    done = run(tmp_path, "\n".join(lines))
    assert done.returncode == status
    assert done.stderr.endswith(said)
    assert done.stderr.count("Traceback") == bool(said)
    if end != "os._exit":
        assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(500))
