"""An item that takes longer than it may is ended, whatever it does; it alone fails, all others are right, once."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from okazja import Executor, Outcome, RemoteTraceback, WorkerDied

Open = Callable[..., Executor]

LIMIT = 0.2  # seconds
COUNT = 600  # tiny items, enough for chunks to grow


def compute_for_ever() -> NoReturn:
    number = 0
    while True:
        number += 1


def sleep() -> None:
    time.sleep(1000)


def hold_the_gil() -> None:
    """In C code that no signal ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(1000)


def backtrack() -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")


def raise_to_a_power() -> None:
    pow(3, 10**9)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def catch_everything() -> NoReturn:
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass


def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(1000)


def swallow_and_return() -> str:
    try:
        time.sleep(1000)
    except BaseException:
        return "as if nothing had happened"
    return "slept"


def swallow_and_raise_another() -> None:
    try:
        time.sleep(1000)
    finally:
        raise ValueError("something else")


def die_of_it() -> None:
    try:
        time.sleep(1000)
    except BaseException:
        os._exit(3)


INTERRUPTED = [
    compute_for_ever,
    sleep,
    backtrack,
    raise_to_a_power,
    swallow_and_return,
    swallow_and_raise_another,
]
KILLED = [hold_the_gil, stop, catch_everything, block_signals]


def at(hang: Callable[[], object], guilty: set[int], number: int) -> int:
    """Square a number; hang at some of them."""
    if number in guilty:
        hang()
    return number * number


def check(outcomes: list[Outcome[int, int]], count: int, guilty: set[int]) -> list[Outcome[int, int]]:
    """The outcomes of the guilty, once everything else is right."""
    assert sorted(outcome.index for outcome in outcomes) == list(range(count))
    assert all(outcome.item == outcome.index for outcome in outcomes)
    innocent = [outcome for outcome in outcomes if outcome.index not in guilty]
    assert [outcome for outcome in innocent if outcome.value != outcome.item**2 or outcome.error] == []
    failed = [outcome for outcome in outcomes if outcome.index in guilty]
    assert all(isinstance(outcome.error, TimeoutError) for outcome in failed)
    return failed


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("hang", INTERRUPTED)
def test_what_can_be_interrupted_is(open_executor: Open, hang: Callable[[], object], ordered: bool) -> None:
    executor = open_executor()
    workers = {executor.submit(os.getpid).result(30) for _ in range(20)}
    task = functools.partial(at, hang, {0, 333})
    outcomes = list(executor.stream(task, range(COUNT), item_timeout=LIMIT, ordered=ordered))
    for failed in check(outcomes, COUNT, {0, 333}):
        assert str(failed.error) == f"at took longer than item_timeout={LIMIT} s and was interrupted"
        assert isinstance(failed.error.__cause__ if failed.error else None, RemoteTraceback)
        assert f"in {hang.__name__}" in str(failed.error.__cause__ if failed.error else "")
        assert failed.attempts == 1
        assert LIMIT <= failed.seconds < LIMIT + 0.5
    assert workers <= set(executor._processes), "no worker was killed"


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("hang", KILLED)
def test_what_can_not_be_interrupted_is_killed(
    open_executor: Open, hang: Callable[[], object], ordered: bool
) -> None:
    executor = open_executor()
    task = functools.partial(at, hang, {333})
    outcomes = list(executor.stream(task, range(COUNT), item_timeout=LIMIT, ordered=ordered))
    [failed] = check(outcomes, COUNT, {333})
    assert f"at took longer than item_timeout={LIMIT} s and was killed with its worker" in str(failed.error)
    assert LIMIT + 1 <= failed.seconds < LIMIT + 2
    assert failed.attempts == 1
    assert failed.worker in (0, 1)


def test_one_that_dies_of_the_interrupt(open_executor: Open) -> None:
    task = functools.partial(at, die_of_it, {333})
    outcomes = list(open_executor().stream(task, range(COUNT), item_timeout=LIMIT))
    [failed] = check(outcomes, COUNT, {333})
    assert "was interrupted, upon which its worker ended" in str(failed.error)


def test_finally_blocks_run(open_executor: Open, tmp_path: Path) -> None:
    def task(number: int) -> None:
        try:
            (tmp_path / f"{number}-begun").touch()
            if number == 2:
                compute_for_ever()
        finally:
            (tmp_path / f"{number}-ended").touch()

    outcomes = list(open_executor().stream(task, range(4), item_timeout=LIMIT, ordered=True))
    assert [outcome.ok for outcome in outcomes] == [True, True, False, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{n}-{what}" for n in range(4) for what in ("begun", "ended")
    ]


def test_the_reaction_is_prompt(open_executor: Open) -> None:
    """An outcome does not wait for the rest of its chunk, nor for an item that hangs elsewhere."""
    executor = open_executor()
    task = functools.partial(at, sleep, {1000, 1001})
    assert len(list(executor.stream(task, range(1000)))) == 1000
    began = time.monotonic()
    stream = executor.stream(task, [1000, *range(100), 1001], item_timeout=LIMIT)
    outcomes = [next(stream) for _ in range(101)]
    assert LIMIT <= time.monotonic() - began < LIMIT + 0.5
    assert len(outcomes + list(stream)) == 102


def test_an_idle_executor_notices_as_well(open_executor: Open) -> None:
    """The collector sleeps, without a plan to wake up, when the stream begins."""
    executor = open_executor(1)
    for _ in range(5):
        assert executor.submit(abs, -1).result(30) == 1
        [outcome] = executor.stream(functools.partial(at, sleep, {0}), [0], item_timeout=0.05)
        assert isinstance(outcome.error, TimeoutError)
        assert outcome.seconds < 0.5


def test_many_at_once(open_executor: Open) -> None:
    guilty = set(range(0, COUNT, 40))
    for hang in (compute_for_ever, sleep):
        outcomes = list(
            open_executor().stream(functools.partial(at, hang, guilty), range(COUNT), item_timeout=0.05)
        )
        assert len(check(outcomes, COUNT, guilty)) == len(guilty)


def test_every_item(open_executor: Open) -> None:
    outcomes = list(
        open_executor().stream(functools.partial(at, sleep, {*range(30)}), range(30), item_timeout=0.02)
    )
    assert len(check(outcomes, 30, {*range(30)})) == 30


def test_every_item_is_killed(open_executor: Open) -> None:
    outcomes = list(
        open_executor(4).stream(functools.partial(at, stop, {*range(4)}), range(4), item_timeout=0.05)
    )
    assert len(check(outcomes, 4, {*range(4)})) == 4


def test_items_near_their_limit_are_right_or_timed_out(open_executor: Open) -> None:
    """However the end of an item and its interrupt meet, no other item is hit and nothing is lost."""

    def nap(number: int) -> int:
        end = time.monotonic() + 0.004 + number % 3 * 0.0005
        while time.monotonic() < end:
            pass
        return number * number

    executor = open_executor()
    outcomes = list(executor.stream(nap, range(400), item_timeout=0.005))
    late = {outcome.index for outcome in outcomes if not outcome.ok}
    check(outcomes, 400, late)
    assert all(outcome.seconds >= 0.005 for outcome in outcomes if not outcome.ok)


def test_loading_the_function_does_not_count(
    open_executor: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of an item starts with the item: a slow import before the first is none of its time."""
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.5)\ndef same(x): return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    import slow_to_import  # type: ignore[import-not-found]

    outcomes = list(open_executor().stream(slow_to_import.same, range(5), item_timeout=LIMIT, ordered=True))
    assert [outcome.value for outcome in outcomes] == list(range(5))


class Slow:
    """Takes long to be rebuilt, or to be pickled."""

    def __init__(self, arriving: float = 0.0, leaving: float = 0.0) -> None:
        self.arriving, self.leaving = arriving, leaving
        self.home = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        if os.getpid() != self.home:
            time.sleep(self.leaving)
        return _slow, (self.arriving, self.leaving)


def _slow(arriving: float, leaving: float) -> Slow:
    time.sleep(arriving)
    slow = Slow(0.0, leaving)
    slow.home = 0
    return slow


def same(value: Any) -> Any:
    return value


@pytest.mark.parametrize("slow", [Slow(arriving=1000), Slow(leaving=1000)])
def test_rebuilding_the_argument_and_pickling_the_result_count(open_executor: Open, slow: Slow) -> None:
    executor = open_executor(1)
    assert executor.submit(same, Slow()).result(30)  # this module is imported there
    outcomes = list(executor.stream(same, [Slow(), slow, Slow()], item_timeout=LIMIT, ordered=True))
    assert [type(outcome.error) for outcome in outcomes] == [type(None), TimeoutError, type(None)]
    assert [type(outcome.value) for outcome in outcomes] == [Slow, type(None), Slow]


def hang_the_first_time(folder: str, number: int) -> int:
    """Hang at multiples of 100, but not when it is tried again."""
    if number % 100 == 0:
        marker = Path(folder) / str(number)
        if not marker.exists():
            marker.touch()
            time.sleep(1000)
    return number * number


@pytest.mark.parametrize("ordered", [False, True])
def test_with_retries(open_executor: Open, tmp_path: Path, ordered: bool) -> None:
    task = functools.partial(hang_the_first_time, str(tmp_path))
    outcomes = list(
        open_executor().stream(task, range(COUNT), item_timeout=LIMIT, retries=1, ordered=ordered)
    )
    check(outcomes, COUNT, set())
    assert {outcome.index for outcome in outcomes if outcome.attempts > 1} == set(range(0, COUNT, 100))


def test_retries_of_what_always_hangs(open_executor: Open) -> None:
    outcomes = list(
        open_executor().stream(functools.partial(at, sleep, {3}), range(6), item_timeout=0.1, retries=2)
    )
    [failed] = check(outcomes, 6, {3})
    assert failed.attempts == 3


def die_the_first_time(folder: str, number: int) -> int:
    marker = Path(folder) / str(number)
    if number % 100 == 0 and not marker.exists():
        marker.touch()
        os._exit(7)
    return number * number


def test_a_worker_that_dies_with_retries(open_executor: Open, tmp_path: Path) -> None:
    outcomes = list(
        open_executor().stream(functools.partial(die_the_first_time, str(tmp_path)), range(COUNT), retries=1)
    )
    check(outcomes, COUNT, set())
    assert all(outcome.attempts >= 2 for outcome in outcomes if outcome.index % 100 == 0)


def test_a_worker_that_always_dies_with_retries(open_executor: Open) -> None:
    outcomes = list(
        open_executor().stream(
            functools.partial(at, functools.partial(os._exit, 5), {2}), range(5), retries=3
        )
    )
    [failed] = [outcome for outcome in outcomes if not outcome.ok]
    assert isinstance(failed.error, WorkerDied)
    assert (failed.index, failed.attempts) == (2, 4)


def test_limits_hold_after_an_early_break(open_executor: Open, tmp_path: Path) -> None:
    """What runs when a stream is closed still has its limit: shutdown need not wait for ever."""
    fifo = str(tmp_path / "begun")
    os.mkfifo(fifo)

    def task(number: int) -> None:
        if number:
            with open(fifo, "w"):
                pass
            compute_for_ever()

    executor = open_executor()
    stream = executor.stream(task, range(2), item_timeout=5 * LIMIT, ordered=True)
    assert next(stream).index == 0
    with open(fifo):  # item 1 runs
        del stream
    executor.shutdown()
    assert not executor._processes


def test_other_calls_of_the_executor_are_not_limited(open_executor: Open) -> None:
    executor = open_executor(2)
    slow = executor.submit(time.sleep, 3 * LIMIT)
    outcomes = list(executor.stream(functools.partial(at, sleep, {1}), range(3), item_timeout=LIMIT))
    check(outcomes, 3, {1})
    assert slow.result(30) is None


def test_max_tasks_per_child(open_executor: Open) -> None:
    executor = open_executor(max_tasks_per_child=7)
    outcomes = list(executor.stream(functools.partial(at, sleep, {20, 21}), range(60), item_timeout=LIMIT))
    check(outcomes, 60, {20, 21})


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_other_start_methods(open_executor: Open, context: str) -> None:
    executor = open_executor(mp_context=context)
    for hang in (sleep, stop):
        check(list(executor.stream(functools.partial(at, hang, {2}), range(5), item_timeout=LIMIT)), 5, {2})
