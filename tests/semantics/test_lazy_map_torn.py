"""A Ctrl-C that breaks in before ``map`` or ``stream`` returns: nobody has an iterator, so the rest never begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.semantics.tasks import identity

from okazja import Executor
from okazja._engine import Run, StreamRun

Open = Callable[..., Executor]

ITEMS = 100_000


@pytest.mark.parametrize("kind", [Run, StreamRun], ids=["map", "stream"])
def test_a_run_that_nobody_can_look_at_is_closed(
    open_executor: Open, backend: str, kind: type[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two chunks; the executor goes on."""
    executor = open_executor(backend, *([2] * (backend != "serial")))
    has_room = kind._has_room
    torn: list[Any] = []

    def break_in(run: Run, bounded: bool) -> bool:
        if run._drawn:
            torn.append(run)
            monkeypatch.undo()
            raise KeyboardInterrupt
        return has_room(run, bounded)

    monkeypatch.setattr(kind, "_has_room", break_in)
    with pytest.raises(KeyboardInterrupt):
        (executor.map if kind is Run else executor.stream)(identity, list(range(ITEMS)))
    assert executor.submit(identity, 5).result() == 5
    executor.shutdown()
    assert 0 < torn[0]._drawn < 100
