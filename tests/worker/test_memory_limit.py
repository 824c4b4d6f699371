"""A worker under a limit: what goes beyond it fails alone, and what earlier items left does not harm others."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from okazja import BadInput, Executor, ExecutorBroken, RemoteTraceback, UnsupportedParameter, WorkerDied

Open = Callable[..., Executor]

MIB = 1 << 20
LIMIT = 256 * MIB
PATIENCE = 30.0  # seconds for what should take none

METHODS = [None, "fork", "spawn", "forkserver"]

kept: list[Any] = []  # what tasks leave behind, in the worker


def grow(mib: int) -> int:
    block = bytearray()
    while len(block) < mib * MIB:
        block += bytes(MIB)
    return len(block) // MIB


def array(mib: int) -> int:
    return int(np.ones(mib * MIB, np.uint8).sum()) // MIB


def leave(mib: int) -> int:
    kept.append(bytearray(mib * MIB))
    return os.getpid()


def leave_and_allocate(mib: int) -> int:
    leave(mib)
    return len(bytearray(80 * MIB)) // MIB


def fill_with_small_objects(_: object) -> None:
    while True:
        kept.append(str(len(kept)) * 3)


def malloc(mib: int) -> str:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    address = libc.malloc(ctypes.c_size_t(mib * MIB))
    ctypes.memset(address or 0, 1, mib * MIB)  # as C code that can't cope
    libc.free(ctypes.c_void_p(address))
    return "written"


def catch(mib: int) -> str:
    try:
        grow(mib)
    except MemoryError:
        return "caught"
    return "enough"


def blocks(mib: int) -> list[bytes]:
    return [bytes(MIB) for _ in range(mib)]


def data_bytes() -> int:
    """What counts against a limit in this process, which a fork begins with."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[5]) * mmap.PAGESIZE


@pytest.mark.parametrize("method", METHODS)
def test_an_allocation_beyond_the_limit_fails_its_item_alone(open_executor: Open, method: str | None) -> None:
    inherited = data_bytes() if method == "fork" else 0
    executor = open_executor(2, memory_limit=inherited + LIMIT, mp_context=method)
    sizes = [1, 500, 2, 3, 600, 100, 4]
    outcomes = list(executor.stream(grow, sizes, ordered=True))
    assert [outcome.value for outcome in outcomes] == [1, None, 2, 3, None, 100, 4]
    for position in (1, 4):
        error = outcomes[position].error
        assert isinstance(error, MemoryError)
        assert isinstance(error.__cause__, RemoteTraceback)
        assert "block += bytes(MIB)" in str(error.__cause__)


def test_a_submitted_call_beyond_the_limit_fails_alone(open_executor: Open) -> None:
    executor = open_executor(1, memory_limit=LIMIT)
    calls = [executor.submit(task, mib) for task in (grow, array) for mib in (1, 500, 100)]
    errors = [type(call.exception(PATIENCE)) for call in calls]
    assert errors[0::3] == errors[2::3] == [type(None)] * 2
    assert all(issubclass(error, MemoryError) for error in errors[1::3])
    assert [calls[0].result(), calls[2].result()] == [1, 100]


def test_a_worker_that_ran_out_of_memory_is_replaced(open_executor: Open) -> None:
    executor = open_executor(1, memory_limit=LIMIT)
    before = executor.submit(leave, 1).result(PATIENCE)
    assert executor.submit(leave, 1).result(PATIENCE) == before
    assert isinstance(executor.submit(grow, 500).exception(PATIENCE), MemoryError)
    assert executor.submit(leave, 1).result(PATIENCE) != before


@pytest.mark.parametrize("chunksize", [None, 1, 25])
def test_a_leak_over_many_items_harms_none(open_executor: Open, chunksize: int | None) -> None:
    executor = open_executor(2, memory_limit=LIMIT)
    assert list(executor.map(leave_and_allocate, [20] * 30, chunksize=chunksize)) == [80] * 30


def test_submitted_calls_of_a_leak_all_end_well(open_executor: Open) -> None:
    executor = open_executor(2, memory_limit=LIMIT)
    calls = [executor.submit(leave_and_allocate, 20) for _ in range(30)]
    assert [call.result(PATIENCE) for call in calls] == [80] * 30


def test_a_worker_whose_calls_leave_nothing_stays(open_executor: Open) -> None:
    executor = open_executor(1, memory_limit=LIMIT)
    assert list(executor.map(grow, [100] * 20)) == [100] * 20
    assert len({executor.submit(os.getpid).result(PATIENCE) for _ in range(5)}) == 1


def test_an_item_may_catch_the_error(open_executor: Open) -> None:
    executor = open_executor(1, memory_limit=LIMIT)
    assert list(executor.map(catch, [500, 1, 500])) == ["caught", "enough", "caught"]


def test_an_item_that_leaves_no_byte_free_has_an_error(open_executor: Open) -> None:
    executor = open_executor(2, memory_limit=LIMIT)
    full = [executor.submit(fill_with_small_objects, None) for _ in range(2)]
    others = [executor.submit(grow, 10) for _ in range(10)]
    assert all(isinstance(call.exception(PATIENCE), MemoryError | WorkerDied) for call in full)
    assert [call.result(PATIENCE) for call in others] == [10] * 10
    outcomes = list(executor.stream(fill_with_small_objects, range(3)))
    assert all(isinstance(outcome.error, MemoryError | WorkerDied) for outcome in outcomes)


def test_c_code_that_does_not_cope_kills_its_worker(open_executor: Open) -> None:
    executor = open_executor(2, memory_limit=LIMIT)
    outcomes = list(executor.stream(malloc, [1, 500, 2, 3], ordered=True))
    assert [outcome.value for outcome in outcomes] == ["written", None, "written", "written"]
    error = outcomes[1].error
    assert isinstance(error, WorkerDied)
    assert error.exitcode == -signal.SIGSEGV
    assert f"{LIMIT} bytes" in str(error)


def test_a_worker_that_is_killed_without_a_limit_says_nothing_of_one(open_executor: Open) -> None:
    error = open_executor(1).submit(signal.raise_signal, signal.SIGKILL).exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert "memory_limit" not in str(error)


def test_results_of_a_chunk_may_be_more_than_the_limit_when_pickled(open_executor: Open) -> None:
    executor = open_executor(1, memory_limit=LIMIT)
    sizes = [len(result) for result in executor.map(blocks, [12] * 30, chunksize=10)]
    assert sizes == [12] * 30


def test_one_result_may_be_nearly_as_large_as_the_limit(open_executor: Open) -> None:
    executor = open_executor(1, memory_limit=LIMIT)
    assert len(executor.submit(bytes, 180 * MIB).result(PATIENCE)) == 180 * MIB
    assert executor.submit(grow, 1).result(PATIENCE) == 1


def test_a_result_whose_pickle_is_too_large_is_a_memory_error(open_executor: Open) -> None:
    executor = open_executor(1, memory_limit=LIMIT)

    def many(_: object) -> Any:
        return np.broadcast_to(np.zeros(1), (1 << 40,))

    assert isinstance(executor.submit(many, None).exception(PATIENCE), MemoryError)
    outcomes = list(executor.stream(lambda n: many(n) if n == 2 else n, range(5), ordered=True))
    assert [outcome.value for outcome in outcomes] == [0, 1, None, 3, 4]
    assert isinstance(outcomes[2].error, MemoryError)


def test_arguments_beyond_the_limit_fail_their_item_alone(open_executor: Open) -> None:
    executor = open_executor(1, memory_limit=64 * MIB)
    sizes = [1, 100, 2, 300, 3]
    calls = [executor.submit(len, [bytes(MIB) for _ in range(size)]) for size in sizes]
    assert [call.exception(PATIENCE) is None for call in calls] == [True, False, True, False, True]
    assert all(isinstance(calls[n].exception(), MemoryError) for n in (1, 3))
    outcomes = list(executor.stream(len, [[bytes(MIB)] * size for size in sizes], ordered=True))
    assert [outcome.value for outcome in outcomes] == sizes  # the same block, many times: pickled once


def test_shared_memory_does_not_count(open_executor: Open) -> None:
    def fill(mib: int) -> int:
        with mmap.mmap(-1, mib * MIB) as memory:
            for start in range(0, mib * MIB, MIB):
                memory[start : start + MIB] = b"x" * MIB
            return len(memory) // MIB

    executor = open_executor(1, memory_limit=64 * MIB)
    assert executor.submit(fill, 200).result(PATIENCE) == 200


def take(mib: int) -> None:
    kept.append(bytearray(mib * MIB))


def test_an_initializer_beyond_the_limit_breaks_the_executor(open_executor: Open) -> None:
    executor = open_executor(2, memory_limit=LIMIT, initializer=take, initargs=(500,))
    error = executor.submit(grow, 1).exception(PATIENCE)
    assert isinstance(error, ExecutorBroken)
    assert isinstance(error.__cause__, MemoryError)


def test_an_initializer_may_take_most_of_the_limit(open_executor: Open) -> None:
    executor = open_executor(1, memory_limit=LIMIT, initializer=take, initargs=(150,))
    assert len({executor.submit(os.getpid).result(PATIENCE) for _ in range(5)}) == 1
    assert isinstance(executor.submit(grow, 100).exception(PATIENCE), MemoryError)


def test_a_fork_of_a_larger_process_says_so(open_executor: Open) -> None:
    ballast = bytearray(100 * MIB)
    executor = open_executor(1, memory_limit=64 * MIB, mp_context="fork")
    error = executor.submit(grow, 1).exception(PATIENCE)
    del ballast  # it had to be there until now
    assert isinstance(error, ExecutorBroken)
    assert "memory_limit of" in str(error)
    assert "mp_context" in str(error)


def test_threads_that_a_task_leaves_are_under_the_limit(open_executor: Open) -> None:
    def allocate_beside(mib: int) -> list[str]:
        caught: list[str] = []
        thread = threading.Thread(target=lambda: caught.append(catch(mib)))
        thread.start()
        thread.join()
        return caught

    executor = open_executor(1, memory_limit=LIMIT)
    assert executor.submit(allocate_beside, 500).result(PATIENCE) == ["caught"]


def test_the_kernel_is_told_in_the_worker_alone(open_executor: Open) -> None:
    executor = open_executor(1, memory_limit=LIMIT)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    assert executor.submit(resource.getrlimit, resource.RLIMIT_DATA).result(PATIENCE) == (LIMIT, before[1])
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize("limit", [0, -1, 64 * MIB - 1])
def test_too_small_a_limit_is_refused(limit: int) -> None:
    with pytest.raises(BadInput, match=f"memory_limit must be at least {64 * MIB}, got {limit}"):
        Executor("processes", memory_limit=limit)


@pytest.mark.parametrize("limit", ["1G", 1e9, True])
def test_a_limit_is_a_whole_number(limit: Any) -> None:
    with pytest.raises(UnsupportedParameter, match="memory_limit must be a whole number of bytes"):
        Executor("processes", memory_limit=limit)


@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_other_backends_refuse_a_limit(backend: str) -> None:
    with pytest.raises(UnsupportedParameter, match="memory_limit"):
        Executor(backend, memory_limit=LIMIT)
