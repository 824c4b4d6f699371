"""What a wait may be given as its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from okazja import Executor

WAITS: dict[str, Callable[[Executor, float], Any]] = {
    "lock": lambda executor, seconds: executor.Lock().acquire(timeout=seconds),
    "event": lambda executor, seconds: executor.Event().wait(seconds),
    "barrier": lambda executor, seconds: executor.Barrier(2).wait(seconds),
    "get": lambda executor, seconds: executor.Queue().get(timeout=seconds),
}


@pytest.mark.parametrize("name", WAITS)
def test_no_number_is_no_time(executor: Executor, name: str) -> None:
    with pytest.raises(ValueError, match=r"nan|NaN"):
        WAITS[name](executor, float("nan"))


@pytest.mark.parametrize("name", ["lock", "event", "barrier"])
def test_nor_is_it_in_a_coroutine(executor: Executor, name: str) -> None:
    async def main() -> None:
        await WAITS[name](executor, float("nan"))

    with pytest.raises(ValueError, match=r"nan|NaN"):
        asyncio.run(main())


def test_nor_for_a_condition(executor: Executor) -> None:
    condition = executor.Condition()
    with condition:
        with pytest.raises(ValueError, match="nan"):
            condition.wait(float("nan"))
        with pytest.raises(ValueError, match="nan"):
            condition.wait_for(lambda: False, float("nan"))
        assert condition.locked()
    assert not condition.locked()
