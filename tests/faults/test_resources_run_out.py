"""Too large a value, no descriptor left, an error half-way: an error that says so, no hang and no leak."""

from __future__ import annotations

import copy
import gc
import logging
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.scripts import descriptors, eventually, run

from okazja import Executor
from okazja._transport import arena, pickling
from okazja.errors import ExecutorBroken, NotPicklable

Open = Callable[..., Executor]

PATIENCE = 20.0  # seconds for what should take none

LARGE = 100_000  # bytes over the lowered limit, and so many that they go through shared memory


def lower_limit() -> None:
    """As if a marshalled object could hold 20 kB rather than 2 GiB. For workers as well."""
    pickling.LIMIT = 20_000


def lower_limits() -> None:
    """The same, and no shared memory left."""
    lower_limit()
    arena.ENTRIES = 0


@pytest.fixture(params=[lower_limits])
def limited(open_executor: Open, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Executor:
    monkeypatch.setattr(pickling, "LIMIT", pickling.LIMIT)
    monkeypatch.setattr(arena, "ENTRIES", arena.ENTRIES)
    executor = open_executor(1, initializer=request.param)
    assert executor.submit(len, b"four").result(PATIENCE) == 4  # the worker has its limits
    request.param()
    return executor


def size(value: Any) -> int:
    return len(value)


def zeros(count: int) -> bytes:
    return bytes(count)


def text(count: int) -> str:
    return "x" * count


def fail_with(count: int) -> None:
    raise ValueError(bytes(count))


@pytest.mark.parametrize("value", [bytes(LARGE), "x" * LARGE, [bytes(LARGE)]], ids=["bytes", "str", "list"])
def test_an_argument_that_is_too_large_fails_alone(limited: Executor, value: Any) -> None:
    before = limited.submit(size, b"four")
    error = limited.submit(size, value).exception(PATIENCE)
    assert isinstance(error, NotPicklable)
    assert "args[0]" in str(error)
    assert before.result(PATIENCE) == 4
    assert limited.submit(size, b"four").result(PATIENCE) == 4


@pytest.mark.parametrize("make", [zeros, text])
def test_a_result_that_is_too_large_fails_alone(limited: Executor, make: Callable[[int], Any]) -> None:
    (worker,) = limited._processes
    error = limited.submit(make, LARGE).exception(PATIENCE)
    assert isinstance(error, NotPicklable)
    assert limited.submit(make, 3).result(PATIENCE) == make(3)
    assert set(limited._processes) == {worker}


def test_an_item_that_is_too_large_fails_alone(limited: Executor) -> None:
    sizes = [1, 2, LARGE, 3, 4]
    outcomes = list(limited.stream(size, [bytes(n) for n in sizes], ordered=True))
    assert [outcome.value for outcome in outcomes] == [1, 2, None, 3, 4]
    assert isinstance(outcomes[2].error, NotPicklable)


def test_an_items_result_that_is_too_large_fails_alone(limited: Executor) -> None:
    outcomes = list(limited.stream(zeros, [1, 2, LARGE, 3, 4], ordered=True))
    assert [outcome.ok for outcome in outcomes] == [True, True, False, True, True]
    assert isinstance(outcomes[2].error, NotPicklable)


@pytest.mark.parametrize("limited", [lower_limit, lower_limits], indirect=True)
def test_an_exception_that_is_too_large_fails_alone(limited: Executor) -> None:
    before = limited.submit(size, b"four")
    error = limited.submit(fail_with, LARGE).exception(PATIENCE)
    assert isinstance(error, NotPicklable)
    assert "over the limit" in str(error)
    assert before.result(PATIENCE) == 4
    assert limited.submit(size, b"four").result(PATIENCE) == 4


@pytest.mark.parametrize("limited", [lower_limit], indirect=True)
@pytest.mark.parametrize("value", [bytes(LARGE), "x" * LARGE, [bytes(LARGE)]], ids=["bytes", "str", "list"])
def test_no_limit_holds_in_shared_memory(limited: Executor, value: Any) -> None:
    assert limited.submit(copy.copy, value).result(PATIENCE) == value
    assert list(limited.map(copy.copy, [value, 1, value])) == [value, 1, value]


def limit_files(count: int) -> None:
    """No file of this process may grow over this size: shared memory neither."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, resource.RLIM_INFINITY))


def test_a_worker_that_gets_no_shared_memory_replies_all_the_same(open_executor: Open) -> None:
    executor = open_executor(1, initializer=limit_files, initargs=(1 << 18,))
    assert executor.submit(zeros, 1 << 20).result(PATIENCE) == bytes(1 << 20)
    results = list(executor.map(zeros, [1, 1 << 20, 2, 1 << 17]))
    assert results == [bytes(1), bytes(1 << 20), bytes(2), bytes(1 << 17)]


class ExitsWhenPickled:
    def __reduce__(self) -> tuple[Any, ...]:
        raise SystemExit("while pickled")


def exits_at_two(number: int) -> object:
    return ExitsWhenPickled() if number == 2 else number


def test_a_result_that_exits_while_it_is_pickled_fails_alone(open_executor: Open) -> None:
    executor = open_executor(1)
    results = executor.map(exits_at_two, range(8), chunksize=8, timeout=PATIENCE)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(SystemExit, match="while pickled"):
        next(results)
    outcomes = list(executor.stream(exits_at_two, range(8), ordered=True))
    assert [outcome.value for outcome in outcomes] == [0, 1, None, 3, 4, 5, 6, 7]
    assert isinstance(executor.submit(exits_at_two, 2).exception(PATIENCE), SystemExit)


OUT_OF_DESCRIPTORS = """
    import os
    import resource
    from okazja import Executor
    from okazja.testing.gate import Gate, wait_at

    gate = Gate()
    executor = Executor("processes", 2)
    first = executor.submit(wait_at, gate.address)
    gate.arrivals(1)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    taken = [os.dup(0) for _ in range(used - len(os.listdir("/proc/self/fd")) + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(taken) + used + {spare}, limits[1]))
    filling = []
    try:
        while True:
            filling.append(os.dup(0))
    except OSError:
        for _ in range({spare}):
            os.close(filling.pop())
    try:
        second = executor.submit(pow, 2, 2)
    except Exception as error:
        print("refused", type(error).__name__)
    else:
        print("future", flush=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    gate.open()
    print("first:", type(first.exception(20)).__name__)
    try:
        print("second:", type(second.exception(20)).__name__)
    except NameError:
        print("second: refused")
    executor.shutdown()
    print("ended")
"""


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_no_descriptor_for_another_worker(tmp_path: Path, spare: int) -> None:
    done = run(tmp_path, OUT_OF_DESCRIPTORS.format(spare=spare))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "ended"
    assert lines[1] in {"first: NoneType", "first: ExecutorBroken"}
    assert lines[2] in {"second: refused", "second: ExecutorBroken", "second: NoneType"}


def fail() -> None:
    raise LookupError("no configuration")


def refuse_to_pickle() -> None:
    with pytest.raises(NotPicklable):
        Executor("processes", 1, initializer=print, initargs=(threading.Lock(),))


def fail_to_initialise(name: str) -> None:
    with Executor(name, 1, initializer=fail) as executor:
        try:
            assert isinstance(executor.submit(int).exception(PATIENCE), ExecutorBroken)
        except ExecutorBroken:
            pass  # noticed before it was submitted


@pytest.mark.parametrize(
    "attempt",
    [
        refuse_to_pickle,
        lambda: fail_to_initialise("serial"),
        lambda: fail_to_initialise("threads"),
        lambda: fail_to_initialise("processes"),
    ],
    ids=["unpicklable initargs", "serial", "threads", "processes"],
)
def test_an_executor_that_could_not_start_leaves_no_descriptor(attempt: Callable[[], None]) -> None:
    logging.disable()  # a record that pytest keeps holds the frames that hold the executor
    try:
        attempt()  # what a process has once is made the first time
        gc.collect()
        before = descriptors()
        for _ in range(5):
            attempt()
        assert eventually(lambda: gc.collect() >= 0 and descriptors() <= before, 5), descriptors() - before
    finally:
        logging.disable(logging.NOTSET)
