"""A stream reads what may block in a thread of its own: results that are ready never wait for it."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import pytest

from okazja import Executor

Open = Callable[..., Executor]
PATIENCE = 20.0  # seconds for what should take none
CONCURRENT = pytest.mark.parametrize("backend", ["threads", "processes"])


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("okazja-input-")]


@CONCURRENT
@pytest.mark.parametrize("ordered", [False, True])
def test_a_slow_input_holds_back_nothing(open_executor: Open, backend: str, ordered: bool) -> None:
    taken = threading.Semaphore(0)

    def numbers() -> Iterator[int]:
        for number in range(-20, 0):
            yield number
            assert taken.acquire(timeout=PATIENCE), "its outcome was not there before the next item"

    for count, outcome in enumerate(open_executor(backend).stream(abs, numbers(), ordered=ordered)):
        assert outcome.value == 20 - count
        taken.release()


@CONCURRENT
def test_what_can_not_block_is_drawn_by_the_caller(open_executor: Open, backend: str) -> None:
    executor = open_executor(backend)
    for items in (
        [-1, -2],
        (-1, -2),
        range(-2, 0),
        {-1, -2},
        {-1: 0, -2: 0},
        {0: -1, 1: -2}.values(),
        iter([-1, -2]),
    ):
        assert sorted(o.value for o in executor.stream(abs, items) if o.value) == [1, 2]
        assert not readers()


@CONCURRENT
def test_the_input_sees_the_callers_context(open_executor: Open, backend: str) -> None:
    variable = ContextVar("variable", default=0)

    def numbers() -> Iterator[int]:
        yield variable.get()

    variable.set(-3)
    assert [outcome.value for outcome in open_executor(backend).stream(abs, numbers())] == [3]


@pytest.mark.parametrize("count", [0, 1, 600, 3_000])
def test_an_error_comes_after_the_outcomes_of_what_came_before(
    open_executor: Open, backend: str, count: int
) -> None:
    def numbers() -> Iterator[int]:
        yield from range(count)
        raise LookupError("no more")

    got: list[int] = []
    with pytest.raises(LookupError, match="no more"):
        got.extend(outcome.index for outcome in open_executor(backend).stream(abs, numbers()))
    assert sorted(got) == list(range(count))


@pytest.mark.parametrize("end", ["close", "drop", "raise"])
def test_a_generator_is_closed_in_the_thread_that_read_it(
    open_executor: Open, backend: str, end: str
) -> None:
    threads: list[threading.Thread] = []
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        threads.append(threading.current_thread())
        try:
            yield from range(-1, 1_000_000)
        finally:
            threads.append(threading.current_thread())
            closed.set()

    source = numbers()
    stream = open_executor(backend).stream(
        bad_at_minus_one, source, on_error="raise" if end == "raise" else "yield"
    )
    if end == "raise":
        with pytest.raises(ValueError, match="minus one"):
            list(stream)
    else:
        next(stream)
    if end == "close":
        stream.close()
    del stream, source
    gc.collect()  # on serial the traceback of the item that failed leads to the input
    assert closed.wait(PATIENCE)
    assert threads[0] is threads[1]
    assert (threads[0] is threading.current_thread()) is (backend == "serial")


def bad_at_minus_one(number: int) -> int:
    if number == -1:
        raise ValueError("minus one")
    return number


@CONCURRENT
def test_it_reads_a_bounded_number_ahead(open_executor: Open, backend: str) -> None:
    drawn: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(1_000_000):
            drawn.append(number)
            yield number

    executor = open_executor(backend)
    stream = executor.stream(abs, numbers(), buffersize=10)
    for taken in range(1, 300):
        next(stream)
        assert len(drawn) <= taken + 10 + 10 + 1, "the buffer, as many read ahead, and the one in hand"


def test_after_a_break_the_reader_stops_with_the_item_it_waits_for(open_executor: Open) -> None:
    go = threading.Event()
    drawn: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number
            if number == 2:
                assert go.wait(PATIENCE)

    stream = open_executor("threads").stream(abs, numbers())
    assert sorted(next(stream).index for _ in range(3)) == [0, 1, 2]
    [reader] = readers()
    del stream
    go.set()
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert drawn == [0, 1, 2, 3]


def test_a_blocked_input_keeps_no_interpreter_from_its_end() -> None:
    script = (
        "import threading\n"
        "from okazja import Executor\n"
        "def numbers():\n"
        "    yield 1\n"
        "    threading.Event().wait()\n"
        "with Executor('threads', 2) as executor:\n"
        "    stream = executor.stream(abs, numbers())\n"
        "    print(next(stream).value)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_a_sized_input_that_may_block_is_seen_through_by_shutdown(open_executor: Open, backend: str) -> None:
    class Pages:
        def __len__(self) -> int:
            return 2_000

        def __getitem__(self, number: int) -> int:
            if number >= 2_000:
                raise IndexError(number)
            return -number

    with Executor(backend) as executor:
        stream = executor.stream(abs, Pages(), ordered=True)  # type: ignore[call-overload]
    assert [outcome.value for outcome in stream] == list(range(2_000))
