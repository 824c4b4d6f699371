"""Arrays, frames, bytes and texts of any size go to tasks and come back equal, and nobody sees another's copy."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults.scripts import descriptors, pids_of

from okazja import Executor, WorkerDied
from okazja._transport import arena

Open = Callable[..., Executor]

PATIENCE = 30.0  # seconds for what should take few
MEGABYTE = 1 << 20
CACHE = 72 * MEGABYTE  # of one arena at rest, with its header


class Tagged(np.ndarray[Any, Any]):
    """A subclass with nothing of its own."""


@dataclasses.dataclass
class Measured:
    name: str
    samples: Any


def numbers(count: int = 200_000) -> Any:
    return np.arange(count, dtype=np.float64)


ARRAYS = {
    "C order": lambda: numbers().reshape(400, 500),
    "Fortran order": lambda: np.asfortranarray(numbers().reshape(400, 500)),
    "gaps": lambda: numbers()[::2],
    "transposed": lambda: numbers().reshape(400, 500).T,
    "backwards": lambda: numbers()[::-1],
    "structured": lambda: np.zeros(20_000, dtype=[("name", "U8"), ("size", "<i4"), ("part", "<f8", (2,))]),
    "objects": lambda: np.array([{"a": n} for n in range(20_000)], dtype=object),
    "empty": lambda: np.empty((0, 7)),
    "without dimension": lambda: np.array(3.5),
    "subclass": lambda: numbers().view(Tagged),
    "masked": lambda: np.ma.masked_less(numbers(), 10),
    "dates": lambda: np.arange("2000-01-01", "2300-01-01", dtype="datetime64[D]"),
    "big-endian": lambda: numbers().astype(">f8"),
    "texts": lambda: np.array(["żółw", "x"] * 20_000),
}


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor("processes", 2) as executor:
        pids_of(executor, 2)  # both run before the first test: they are not its to end
        yield executor


def same(left: Any, right: Any) -> None:
    """Raise unless both are equal and of one type, all the way down."""
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for pair in zip(left, right, strict=True):
            same(*pair)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        same(list(left.values()), list(right.values()))
    else:
        assert left == right


def echo(value: Any) -> Any:
    return value


def writable(array: Any) -> bool:
    array[...] = 0
    return bool(array.flags.writeable)


@pytest.mark.parametrize("make", ARRAYS.values(), ids=list(ARRAYS))
def test_arrays_arrive_and_come_back(executor: Executor, make: Callable[[], Any]) -> None:
    array = make()
    same(executor.submit(echo, array).result(PATIENCE), array)
    for back in executor.map(echo, [array, array]):
        same(back, array)


@pytest.mark.parametrize("count", [10, 200_000])
def test_a_read_only_array_arrives_writable(executor: Executor, count: int) -> None:
    array = numbers(count)
    array.flags.writeable = False
    assert executor.submit(writable, array).result(PATIENCE)
    back = executor.submit(echo, array).result(PATIENCE)
    back[0] = 7.0
    assert array[0] == 0.0


def together(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def test_several_in_one_call(executor: Executor) -> None:
    args = (numbers(), [numbers(9_000), "x"], bytes(100_000), {"deep": {"er": numbers(30_000)}})
    kwargs = {"array": numbers(10_000), "measured": 5, "text": "ż" * 100_000}
    same(executor.submit(together, *args, **kwargs).result(PATIENCE), (args, kwargs))


def test_inside_a_dataclass(executor: Executor) -> None:
    measured = executor.submit(echo, Measured("a", numbers())).result(PATIENCE)
    assert measured.name == "a"
    same(measured.samples, numbers())


def are_one(left: Any, right: Any) -> bool:
    left[0] = -1
    return left is right and right[0] == -1


def test_an_array_that_is_passed_twice_is_one_object(executor: Executor) -> None:
    array = numbers()
    assert executor.submit(are_one, array, array).result(PATIENCE)
    left, right = executor.submit(echo, [array, array]).result(PATIENCE)
    assert left is right


def frame() -> pd.DataFrame:
    count = 50_000
    return pd.DataFrame(
        {
            "whole": np.arange(count),
            "real": np.linspace(0, 1, count),
            "text": [f"row {n}" for n in range(count)],
            "kind": pd.Categorical(["a", "b"] * (count // 2)),
            "when": pd.date_range("2000", periods=count, freq="min"),
            "missing": pd.array([1, None] * (count // 2), dtype="Int64"),
        }
    )


def doubled(table: pd.DataFrame) -> pd.DataFrame:
    table["whole"] *= 2
    return table


def test_frames(executor: Executor) -> None:
    table = frame()
    back = executor.submit(doubled, table).result(PATIENCE)
    pd.testing.assert_frame_equal(table, frame())
    back["whole"] //= 2
    pd.testing.assert_frame_equal(back, table)


@pytest.mark.parametrize(
    "value",
    [
        bytes(range(256)) * 4_000,
        bytearray(b"abc" * 100_000),
        "text" * 100_000,
        "żółw" * 100_000,
        "\ud800" * 100_000,  # half of a character
        [bytes([n]) * 100_000 for n in range(3)],
        10**200_000,
        tuple(range(100_000)),
    ],
    ids=["bytes", "bytearray", "ascii", "unicode", "surrogates", "list of bytes", "int", "tuple"],
)
def test_other_large_values(executor: Executor, value: Any) -> None:
    same(executor.submit(echo, value).result(PATIENCE), value)
    for back in executor.map(echo, [value, 1, value]):
        assert back == 1 or type(back) is type(value)
    same(list(executor.map(echo, [value, value], chunksize=2)), [value, value])


def test_a_memoryview_arrives_as_bytes(executor: Executor) -> None:
    value = bytes(range(250)) * 1_000
    same(executor.submit(echo, memoryview(value)).result(PATIENCE), value)
    same(executor.submit(echo, memoryview(value)[::2]).result(PATIENCE), value[::2])


arrays = st.builds(
    lambda kind, count, backwards: np.arange(count).astype(kind)[:: -1 if backwards else 1],
    st.sampled_from(["u1", "<i4", "<f8", "c16"]),  # NumPy itself loses the byte order of a reversed ">f8"
    st.sampled_from([0, 5, 8_191, 8_192, 70_000]),
    st.booleans(),
)
payloads = st.builds(
    lambda unit, count, kind: kind(unit * count),
    st.binary(min_size=1, max_size=2),
    st.sampled_from([0, 1, 32_768, 65_537]),
    st.sampled_from([bytes, bytearray]),
)
texts = st.builds(lambda unit, count: unit * count, st.text(max_size=2), st.sampled_from([1, 70_000]))
nested = st.recursive(
    arrays | payloads | texts | st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(nested, min_size=1, max_size=4), st.integers(1, 4))
def test_anything_nested_comes_back_equal(executor: Executor, values: list[Any], chunksize: int) -> None:
    same(executor.submit(echo, values).result(PATIENCE), values)
    same(list(executor.map(echo, values, chunksize=chunksize)), values)


# --- whose memory it is -----------------------------------------------------------------------------


def spoil(array: Any) -> float:
    array[:] = -1
    return float(array.sum())


def test_what_a_task_writes_the_caller_does_not_see(executor: Executor) -> None:
    array = numbers()
    assert executor.submit(spoil, array).result(PATIENCE) == -len(array)
    same(array, numbers())


def wait_and_sum(path: str, array: Any) -> float:
    with open(path, "rb"):
        return float(array.sum())


def test_what_the_caller_writes_after_submit_the_task_does_not_see(
    executor: Executor, fifo: Callable[[str], str]
) -> None:
    path = fifo("go")
    array = numbers()
    future = executor.submit(wait_and_sum, path, array)
    expected = float(array.sum())
    array[:] = 0
    with open(path, "wb"):
        pass
    assert future.result(PATIENCE) == expected


def test_results_are_the_callers_to_write_and_keep(executor: Executor) -> None:
    kept = list(executor.map(echo, (numbers() + n for n in range(40))))
    for n, array in enumerate(kept):
        same(array, numbers() + n)
        array *= 2
    del kept[::3]
    for _ in executor.map(echo, (numbers() for _ in range(40))):
        pass
    for n, array in zip([n for n in range(40) if n % 3], kept, strict=True):
        same(array, (numbers() + n) * 2)


_kept: list[Any] = []


def keep(array: Any) -> None:
    _kept.append(array)


def kept_is_unchanged(_: object) -> bool:
    return all((array == numbers(len(array)) + 1).all() for array in _kept) and bool(_kept)


def let_go(_: object) -> None:
    _kept.clear()
    gc.collect()


def test_a_task_may_keep_its_argument(open_executor: Open) -> None:
    executor = open_executor("processes", 1)
    for count in (10_000, 200_000):
        executor.submit(keep, numbers(count) + 1).result(PATIENCE)
    assert all(executor.map(kept_is_unchanged, (numbers(150_000) * n for n in range(60))))
    executor.submit(let_go, 0).result(PATIENCE)
    for _ in executor.map(echo, (numbers(50_000) for _ in range(10))):
        pass
    assert in_use(executor) == 0


def run_again(path: str, array: Any) -> float:
    """Spoil the argument, and die, if this is the first time."""
    total = float(array.sum())
    array[:] = 0
    if array.shape == (150_001,) and not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return total


def test_an_innocent_item_that_runs_again_finds_its_input_as_it_was(
    open_executor: Open, tmp_path: Path
) -> None:
    executor = open_executor("processes", 1)
    items = [numbers(150_000 + (n == 5)) + n for n in range(8)]
    outcomes = list(
        executor.map(
            functools.partial(_outcome, functools.partial(run_again, str(tmp_path / "died"))), items[:5]
        )
    )
    assert outcomes == [float(item.sum()) for item in items[:5]]
    results = executor.map(functools.partial(run_again, str(tmp_path / "died")), items, chunksize=8)
    totals: list[float] = []
    with pytest.raises(WorkerDied):
        totals.extend(results)
    assert totals == [float(item.sum()) for item in items[:5]]
    assert list(executor.map(functools.partial(run_again, str(tmp_path / "died")), items)) == [
        float(item.sum()) for item in items
    ]


def _outcome(fn: Callable[[Any], Any], item: Any) -> Any:
    return fn(item)


def die(array: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)
    return array


def test_workers_that_die_with_blocks_give_them_back(open_executor: Open) -> None:
    executor = open_executor("processes", 2)
    for _ in range(4):
        futures = [executor.submit(die if n % 3 == 0 else echo, numbers(150_000) + n) for n in range(12)]
        for n, future in enumerate(futures):
            if n % 3:
                same(future.result(PATIENCE), numbers(150_000) + n)
            else:
                assert isinstance(future.exception(PATIENCE), WorkerDied)
        del futures, future
    executor.submit(echo, numbers()).result(PATIENCE)
    assert in_use(executor) == 0


class Unpicklable:
    def __reduce__(self) -> Any:
        raise RuntimeError("half-way")


def half(_: object) -> Any:
    return [numbers(), Unpicklable()]


def test_what_fails_half_way_gives_its_block_back(executor: Executor) -> None:
    for _ in range(5):
        assert executor.submit(echo, [numbers(), Unpicklable()]).exception(PATIENCE) is not None
        outcomes = list(
            executor.stream(echo, [numbers(), [numbers(), Unpicklable()], numbers()], ordered=True)
        )
        assert [outcome.ok for outcome in outcomes] == [True, False, True]
        assert executor.submit(half, 0).exception(PATIENCE) is not None
        outcomes = list(executor.stream(half, [1, 2], ordered=True))
        assert [outcome.ok for outcome in outcomes] == [False, False]
    del outcomes
    gc.collect()
    assert in_use(executor) == 0


def test_cancelled_calls_give_their_blocks_back(open_executor: Open, fifo: Callable[[str], str]) -> None:
    executor = open_executor("processes", 1)
    path = fifo("go")
    running = executor.submit(wait_and_sum, path, numbers())
    waiting = [executor.submit(echo, numbers()) for _ in range(10)]
    cancelled = [future.cancel() for future in waiting]
    with open(path, "wb"):
        pass
    assert running.result(PATIENCE) == float(numbers().sum())
    assert any(cancelled)
    for future in waiting:
        assert future.cancelled() or future.exception(PATIENCE) is None
    del waiting, future, running
    executor.submit(echo, numbers()).result(PATIENCE)
    assert in_use(executor) == 0


# --- how much memory -----------------------------------------------------------------------------------


def in_use(executor: Executor) -> int:
    """Blocks of arguments in use, after a look at what was let go of."""
    arguments = executor._engine.arena
    assert arguments is not None
    placed = arguments.put([], [b"."])
    assert placed is not None
    del placed
    with arguments._lock:
        arguments._collect()
    return len(arguments._blocks)


def arenas() -> list[int]:
    """Bytes that each arena of this process takes."""
    sizes = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            if "okazja-arena" in str(link.readlink()):
                sizes.append(link.stat().st_blocks * 512)
        except FileNotFoundError:
            pass  # the descriptor of the listing itself
    return sizes


def eventually(condition: Callable[[], bool], executor: Executor) -> bool:
    """Whether a condition holds soon; round trips give the others time."""
    return any(condition() or executor.submit(echo, 1).result(PATIENCE) != 1 for _ in range(2_000))


def test_five_thousand_results_at_once(open_executor: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena, "COPIED", 0)  # as if each were large: mapped rather than copied
    before = descriptors()
    executor = open_executor("processes", 2)
    kept = list(executor.map(echo, (np.full(8_200, n, dtype=np.float64) for n in range(5_000))))
    assert descriptors() < before + 50
    assert all(array.shape == (8_200,) and (array == n).all() for n, array in enumerate(kept))
    assert sum(arenas()) > 300 * MEGABYTE
    kept.clear()
    assert eventually(lambda: max(arenas()) <= 2 * CACHE, executor), arenas()


def test_a_long_map_does_not_grow(open_executor: Open) -> None:
    executor = open_executor("processes", 2)
    array = numbers(20_000)
    most = 0
    for n, back in enumerate(executor.map(echo, (array for _ in range(10_000)))):
        assert back.shape == array.shape
        if n % 1_000 == 0:
            most = max([most, *arenas()])
    assert most <= 2 * CACHE
    assert in_use(executor) == 0


def test_memory_of_large_values_goes_back(open_executor: Open) -> None:
    executor = open_executor("processes", 1)
    result = executor.submit(echo, bytearray(200 * MEGABYTE)).result(PATIENCE)
    assert len(result) == 200 * MEGABYTE
    back = executor.submit(echo, numbers(40 * MEGABYTE)).result(PATIENCE)  # 320 MiB
    assert back[-1] == 40 * MEGABYTE - 1
    del back, result
    assert eventually(lambda: max(arenas()) <= CACHE, executor), arenas()


def test_no_descriptor_is_left(open_executor: Open) -> None:
    def use() -> Any:
        with Executor("processes", 2) as executor:
            return list(executor.map(echo, [numbers(), numbers()]))

    use()
    gc.collect()
    before = descriptors()
    kept = [use() for _ in range(3)]
    gc.collect()  # what is left of an executor in cycles may hold some until then
    assert descriptors() <= before
    for arrays in kept:
        same(arrays, [numbers(), numbers()])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_start_method(open_executor: Open, method: str) -> None:
    executor = open_executor("processes", 2, mp_context=method)
    for n, back in enumerate(executor.map(echo, (numbers() + n for n in range(6)))):
        same(back, numbers() + n)
    assert executor.submit(writable, numbers()).result(PATIENCE)


# --- forks ----------------------------------------------------------------------------------------------


def test_a_child_of_the_caller_sees_the_results_that_were_there(executor: Executor) -> None:
    array = executor.submit(echo, numbers()).result(PATIENCE)
    ready, go = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of CPython 3.12: a process with threads forks
        child = os.fork()
    if not child:
        os.read(ready, 1)
        intact = (array == np.arange(len(array))).all()
        del array
        os._exit(0 if intact else 1)
    del array
    for _ in executor.map(echo, (numbers() * -1 for _ in range(20))):
        pass
    os.write(go, b".")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(ready)
    os.close(go)


def fork_and_check(path: str, array: Any) -> int:
    """Leave a child behind that looks at the argument when the task is long over, and says so in a file."""
    child = os.fork()
    if child:
        return child
    with open(path, "rb"):
        intact = bool((array == np.arange(len(array))).all())
    Path(path + ".told").write_text(str(intact), "ascii")
    del array
    os._exit(0)


def reap(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_of_a_task_sees_its_arguments(open_executor: Open, fifo: Callable[[str], str]) -> None:
    executor = open_executor("processes", 1)
    path = fifo("go")
    child = executor.submit(fork_and_check, path, numbers()).result(PATIENCE)
    for _ in executor.map(echo, (numbers() * -1 for _ in range(20))):
        pass
    assert in_use(executor) == 0, "the child has a copy of its own"
    with open(path, "wb"):
        pass
    assert executor.submit(reap, child).result(PATIENCE) == 0
    assert Path(path + ".told").read_text("ascii") == "True"
    same(executor.submit(copy.copy, numbers()).result(PATIENCE), numbers())


def test_nothing_has_a_name(executor: Executor) -> None:
    before = set(Path("/dev/shm").iterdir())
    same(executor.submit(echo, numbers()).result(PATIENCE), numbers())
    assert set(Path("/dev/shm").iterdir()) <= before
