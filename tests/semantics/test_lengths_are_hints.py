"""``len()`` of an input is a hint for the size of chunks: what is computed is what the iteration gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from okazja import Executor

Open = Callable[..., Executor]


class Claims:
    """Ten numbers that say how many they are, rightly or not."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        if self.length < 0:
            raise TypeError("unknown length")
        return self.length

    def __iter__(self) -> Iterator[int]:
        return iter(range(10))


CLAIMS = pytest.mark.parametrize("length", [0, 3, 10, 1000, -1], ids=lambda n: "raises" if n < 0 else str(n))


@CLAIMS
def test_map(open_executor: Open, backend: str, length: int) -> None:
    executor = open_executor(backend)
    assert list(executor.map(abs, Claims(length), timeout=30)) == list(range(10))


@CLAIMS
def test_map_in_small_chunks(open_executor: Open, backend: str, length: int) -> None:
    executor = open_executor(backend)
    assert list(executor.map(abs, Claims(length), timeout=30, chunksize=2)) == list(range(10))


@CLAIMS
def test_several_iterables(open_executor: Open, backend: str, length: int) -> None:
    executor = open_executor(backend)
    assert list(executor.map(pow, Claims(length), [2] * 10, timeout=30)) == [n**2 for n in range(10)]


@CLAIMS
def test_stream(open_executor: Open, backend: str, length: int) -> None:
    outcomes = list(open_executor(backend).stream(abs, Claims(length), ordered=True))
    assert [outcome.value for outcome in outcomes] == list(range(10))


@pytest.mark.parametrize("length", [0, 3, 10, 1000])
def test_a_map_that_shutdown_sees_through(open_executor: Open, backend: str, length: int) -> None:
    executor = open_executor(backend)
    results = executor.map(abs, Claims(length), timeout=30, chunksize=1)
    executor.shutdown()
    assert list(results) == list(range(10))
