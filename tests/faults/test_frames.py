"""What is written to the channels of workers, and who may break in."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from okazja import Executor, WorkerDied

Open = Callable[..., Executor]

PATIENCE = 30.0  # seconds for what should take none
PART = 1_000_000  # numbers in an array that travels in shared memory

kept: list[np.ndarray] = []


class Alarm(BaseException):  # not swallowed by logging
    pass


def on_alarm(_: int, __: FrameType | None) -> None:
    raise Alarm


def log_until_the_alarm(size: int) -> str:
    """What a home-made timeout does: it may raise anywhere, also in the middle of a record that is written."""
    signal.signal(signal.SIGALRM, on_alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        while True:
            logging.getLogger("tests.frames").critical("%s", "x" * size)
    except Alarm:
        return "in time"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_a_signal_handler_that_raises_while_a_record_is_written_costs_at_most_that_item(
    open_executor: Open, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("tests.frames").propagate = False
    logging.getLogger("tests.frames").addHandler(logging.NullHandler())
    executor = open_executor(max_workers=2)
    for _ in range(25):
        bad = executor.submit(log_until_the_alarm, 500_000)
        good = [executor.submit(pow, 2, n) for n in range(4)]
        assert bad.exception(PATIENCE) is None or isinstance(bad.exception(), WorkerDied)
        assert [future.result(PATIENCE) for future in good] == [1, 2, 4, 8]


class Exits(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise SystemExit(3)


def log_once() -> int:
    logging.getLogger("tests.exits").critical("a record")
    return os.getpid()


def test_a_handler_of_the_parent_that_exits_harms_no_call(open_executor: Open) -> None:
    logger = logging.getLogger("tests.exits")
    handler = Exits()
    logger.addHandler(handler)
    try:
        executor = open_executor(max_workers=1)
        assert executor.submit(log_once).result(PATIENCE) == executor.submit(os.getpid).result(PATIENCE)
    finally:
        logger.removeHandler(handler)


def test_garbage_in_a_channel_costs_its_worker_alone(open_executor: Open) -> None:
    executor = open_executor(max_workers=1)
    assert executor.submit(pow, 2, 2).result(PATIENCE) == 4
    error = executor.submit(write_garbage).exception(PATIENCE)
    assert error is None or isinstance(error, WorkerDied)  # its own reply may have been read before
    assert executor.submit(pow, 2, 3).result(PATIENCE) == 8


def write_garbage() -> None:
    """Into the replies of this very worker, which are a stream socket."""
    for fd in range(3, 64):
        try:
            if str(Path(f"/proc/self/fd/{fd}").readlink()).startswith("socket:"):
                os.write(fd, b"\x08\0\0\0garbage!" * 3)
        except OSError:
            pass


def keep_and_fail(array: np.ndarray) -> float:
    kept.append(array)
    if len(kept) < 2:
        raise ValueError("the first time")
    return float(array[0])


def look(array: np.ndarray) -> tuple[float, float]:
    return float(kept[0][0]), float(array[0])


def test_an_array_that_a_failed_attempt_has_kept_stays_as_it_is(open_executor: Open) -> None:
    executor = open_executor(max_workers=1)
    (outcome,) = executor.stream(keep_and_fail, [np.full(PART, 1.0)], retries=1)
    assert (outcome.value, outcome.attempts) == (1.0, 2)
    for value in (2.0, 3.0, 4.0):
        assert executor.submit(look, np.full(PART, value)).result(PATIENCE) == (1.0, value)


def test_an_environment_of_any_size_reaches_the_workers(
    open_executor: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        monkeypatch.setenv(f"OKAZJA_TEST_{number}", str(number) * 120_000)
    executor = open_executor(max_workers=1)
    assert executor.submit(os.environ.get, "OKAZJA_TEST_7").result(PATIENCE) == "7" * 120_000
