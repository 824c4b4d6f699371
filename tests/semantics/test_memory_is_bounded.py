"""What was drawn and not handed out is bounded in bytes, also where nothing is pickled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from okazja import Executor

Open = Callable[..., Executor]
PATIENCE = 20.0  # seconds for what should take none
LARGE = 1 << 25  # bytes; zeros, which take no memory until somebody looks at them


def test_large_results_that_wait_stop_the_drawing(open_executor: Open) -> None:
    done = threading.Semaphore(0)
    drawn = 0

    def numbers() -> Iterator[int]:
        nonlocal drawn
        while drawn < 40:
            drawn += 1
            yield drawn

    def large(_: int) -> bytes:
        done.release()
        return bytes(LARGE)

    seen = 0
    for taken, _ in enumerate(open_executor("threads").map(large, numbers()), 1):
        while seen < drawn:
            assert done.acquire(timeout=PATIENCE)
            seen += 1
        assert drawn - taken <= 10, "results pile up"


def test_large_arguments_that_wait_stop_the_reader(open_executor: Open) -> None:
    too_many = threading.Event()

    def blocks() -> Iterator[bytes]:
        for count in range(40):
            if count == 20:
                too_many.set()
            yield bytes(LARGE)

    def wait(block: bytes) -> bool:
        return too_many.wait(0.3)

    stream = open_executor("threads", 2).stream(wait, blocks())
    assert next(stream).value is False, "the input was read far ahead"
    too_many.set()
