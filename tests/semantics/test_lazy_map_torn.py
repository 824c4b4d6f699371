"""A Ctrl-C that breaks in before ``map`` or ``stream`` returns: nobody has an iterator, so the rest never begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.semantics.tasks import identity

from okazja import Executor
from okazja._engine import Run

Open = Callable[..., Executor]


class Counted:
    """Many items, of which it is known how many there are."""

    def __init__(self) -> None:
        self.drawn = 0

    def __len__(self) -> int:
        return 100_000

    def __iter__(self) -> Iterator[int]:
        for number in range(len(self)):
            self.drawn += 1
            yield number


@pytest.mark.parametrize("method", ["map", "stream"])
def test_a_run_that_nobody_can_look_at_is_closed(
    open_executor: Open, backend: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two chunks; the executor goes on."""
    executor = open_executor(backend, *([2] * (backend != "serial")))
    items = Counted()
    has_room = Run._has_room

    def break_in(run: Run, bounded: bool) -> bool:
        if run._drawn > 2:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return has_room(run, bounded)

    monkeypatch.setattr(Run, "_has_room", break_in)
    with pytest.raises(KeyboardInterrupt):
        getattr(executor, method)(identity, items)
    drawn = items.drawn
    assert 2 < drawn < 100
    assert executor.submit(identity, 5).result() == 5
    executor.shutdown()
    assert items.drawn == drawn
