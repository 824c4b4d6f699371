"""Where an interrupted task stands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from okazja._worker.loop import Worker, _where


def test_a_signal_that_comes_while_another_is_handled_came_in_the_task_as_well() -> None:
    places: list[str] = []

    def postpone(_: Callable[[], object]) -> bool:
        places.append(_where(sys._getframe()))
        return True

    worker: Any = SimpleNamespace(_end=SimpleNamespace(postpone=postpone), _on_signal=print)

    def task() -> None:
        Worker._on_signal(worker, 0, sys._getframe())

    task()
    (place,) = places
    assert "in task" in place
    assert "in postpone" not in place
