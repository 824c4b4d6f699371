"""What tasks find around them: initializers and context variables."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from typing import Any

from okazja.testing import tasks
from okazja.testing.check import Maker, caught, needs
from okazja.testing.gate import PATIENCE


def check_initializer(make: Maker) -> None:
    """The initializer is called in each worker, with ``initargs``, before the worker's first call."""
    with make(max_workers=2, initializer=tasks.set_up, initargs=("ready",)) as executor:
        assert executor.submit(tasks.what_was_set_up).result(PATIENCE) == "ready"
        assert set(executor.map(tasks.what_was_set_up, range(20))) == {"ready"}


def check_initializer_that_fails(make: Maker) -> None:
    """If it raises, pending and later calls fail with BrokenExecutor: nothing hangs, nothing runs uninitialized."""
    executor = make(max_workers=2, initializer=tasks.fail_to_set_up)
    try:
        future = executor.submit(tasks.square, 2)
    except BrokenExecutor:
        pass
    else:
        assert isinstance(future.exception(PATIENCE), BrokenExecutor)
    assert isinstance(caught(executor.submit, tasks.square, 2), BrokenExecutor)
    executor.shutdown()


@needs(lambda traits: traits.contextvars != "none")
def check_context_variables(make: Maker) -> None:
    """Tasks see the values that context variables had when ``submit``, ``map`` or ``stream`` was called."""
    token = tasks.COLOUR.set("red")
    try:
        with make(**_named(make)) as executor:
            red = executor.submit(tasks.colour)
            reds = executor.map(tasks.colour, range(3))
            tasks.COLOUR.set("blue")
            assert executor.submit(tasks.colour).result(PATIENCE) == "blue"
            assert red.result(PATIENCE) == "red"
            assert list(reds) == ["red"] * 3
    finally:
        tasks.COLOUR.reset(token)


@needs(lambda traits: traits.contextvars != "none")
def check_context_variables_stay_in_their_task(make: Maker) -> None:
    """What a task sets is seen by no other task, and not by the submitter."""
    before = tasks.COLOUR.get()
    with make(max_workers=1, **_named(make)) as executor:
        assert executor.submit(tasks.change_colour, "green").result(PATIENCE) == "green"
        assert list(executor.map(tasks.change_colour, ["green", "red"])) == ["green", "red"]
        assert executor.submit(tasks.colour).result(PATIENCE) == before
    assert tasks.COLOUR.get() == before


def _named(make: Maker) -> dict[str, Any]:
    return {"context": [tasks.COLOUR]} if make.traits.contextvars == "named" else {}
