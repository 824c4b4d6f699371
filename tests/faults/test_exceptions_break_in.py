"""An exception that a signal handler raises (Ctrl-C is one) may break in anywhere while a thread waits."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from types import FrameType

import pytest

from okazja import Executor

Open = Callable[..., Executor]

ROUNDS = 400


class BreaksIn(Exception):
    pass


@pytest.fixture
def alarm() -> Iterator[Callable[[bool], None]]:
    """Switches on and off that alarms raise in this thread."""
    armed = False

    def arm(on: bool) -> None:
        nonlocal armed
        armed = on

    def on_alarm(_: int, __: FrameType | None) -> None:
        if armed:
            arm(False)
            raise BreaksIn

    previous = signal.signal(signal.SIGALRM, on_alarm)
    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def test_a_result_is_never_lost_to_an_exception_that_breaks_into_the_wait(
    open_executor: Open, alarm: Callable[[bool], None]
) -> None:
    executor = open_executor(max_workers=2)
    chance = random.Random(7)
    for number in range(50):  # so that calls are known to be short
        executor.submit(abs, -number).result()
    broken = 0
    for number in range(ROUNDS):
        called: list[int] = []
        future = executor.submit(abs, -number)
        if number % 2:
            future.add_done_callback(lambda f: called.append(f.result()))  # noqa: B023  (used in this round)
        try:
            alarm(True)
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 8e-5))
            assert future.result() == number
            alarm(False)
        except (BreaksIn, RuntimeError):  # the latter is what threading.Condition makes of it now and then
            broken += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert wait([future], timeout=30).done == {future}
        assert future.result(timeout=0) == number
        assert called == [number] * (number % 2)
    assert broken > ROUNDS / 20, "the alarms came too late to show anything"
    assert list(executor.map(abs, range(1000))) == list(range(1000))


def test_so_with_a_callback_that_raises_in_the_waiting_thread(open_executor: Open) -> None:
    executor = open_executor(max_workers=1)
    for number in range(50):
        executor.submit(abs, -number).result()

    def leave(_: object) -> None:
        raise SystemExit(3)

    for number in range(20):
        future = executor.submit(abs, -number)
        try:
            future.add_done_callback(leave)
            assert future.result() == number
        except SystemExit:
            pass  # the call was over already, so that it ran in this thread
        assert future.result(timeout=30) == number
    assert executor.submit(abs, -7).result() == 7
