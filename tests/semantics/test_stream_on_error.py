"""With ``on_error="raise"`` the first item that failed for good ends the stream with its error."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from okazja import Executor, RemoteTraceback

Open = Callable[..., Executor]


def test_in_order(open_executor: Open, backend: str) -> None:
    texts = [*map(str, range(50)), "fifty", *map(str, range(50)), "another"]
    stream = open_executor(backend).stream(int, texts, ordered=True, on_error="raise")
    assert [next(stream).value for _ in range(50)] == list(range(50))
    with pytest.raises(ValueError, match="fifty") as caught:
        next(stream)
    if backend == "processes":
        assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert list(stream) == []


def test_as_they_come(open_executor: Open, backend: str) -> None:
    stream = open_executor(backend).stream(int, ["1", "two", "3"], on_error="raise")
    with pytest.raises(ValueError, match="two"):
        list(stream)


def test_what_succeeds_is_as_before(open_executor: Open, backend: str) -> None:
    stream = open_executor(backend).stream(int, ["1", "2"], ordered=True, on_error="raise")
    assert [(outcome.value, outcome.ok) for outcome in stream] == [(1, True), (2, True)]


def test_endless_input_is_let_go(open_executor: Open, backend: str) -> None:
    """What is in flight is given up as after an early break, and the executor stays usable."""
    executor = open_executor(backend)

    def task(number: int) -> int:
        if number == 1000:
            raise LookupError(number)
        return number

    with pytest.raises(LookupError):
        for _ in executor.stream(task, itertools.count(), on_error="raise"):
            pass
    assert not executor._engine.runs
    assert executor.submit(abs, -3).result(30) == 3


def test_after_the_retries(open_executor: Open, backend: str, tmp_path: Path) -> None:
    folder = str(tmp_path)

    def task(number: int) -> int:
        marker = Path(folder) / str(number)
        if number != 7 and not marker.exists():
            marker.touch()
            raise LookupError(number)
        if number == 7:
            raise KeyError(number)
        return number

    stream = open_executor(backend).stream(task, range(10), ordered=True, retries=1, on_error="raise")
    assert [next(stream).attempts for _ in range(7)] == [2] * 7
    with pytest.raises(KeyError):
        next(stream)


def test_a_timeout(open_executor: Open) -> None:
    def loop(_: int) -> None:
        number = 0
        while True:
            number += 1

    for backend in ("threads", "processes"):
        with pytest.raises(
            TimeoutError, match=r"loop took longer than item_timeout=0\.1 s and was interrupted"
        ):
            list(open_executor(backend).stream(loop, range(3), item_timeout=0.1, on_error="raise"))
