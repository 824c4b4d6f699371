"""Coroutine functions as tasks: run to their end, wherever they run."""

from __future__ import annotations

import functools
from contextvars import copy_context
from tempfile import TemporaryDirectory
from typing import Any

from okazja.testing import tasks
from okazja.testing.check import Maker, caught, needs
from okazja.testing.futures import raised_by
from okazja.testing.gate import PATIENCE
from okazja.testing.lifetimes import Watch


@needs(lambda traits: traits.extended)
def check_coroutine_functions(make: Maker) -> None:
    """A coroutine function is a task: of ``submit`` and ``map``, also as a partial, a method or a callable object."""
    with make() as executor:
        assert executor.submit(tasks.square_later, 3).result(PATIENCE) == 9
        assert list(executor.map(tasks.square_later, range(50))) == [n * n for n in range(50)]
        assert executor.submit(functools.partial(tasks.square_later, 4)).result(PATIENCE) == 16
        assert executor.submit(tasks.Later().method, 5).result(PATIENCE) == 25
        assert executor.submit(tasks.Later(), 6).result(PATIENCE) == 36


@needs(lambda traits: traits.extended)
def check_coroutines_that_are_returned(make: Maker) -> None:
    """A coroutine that a plain function returns is run to its end as well, and is never a result."""
    with make() as executor:
        assert executor.submit(tasks.call_square_later, 3).result(PATIENCE) == 9
        assert list(executor.map(tasks.call_square_later, range(50))) == [n * n for n in range(50)]


@needs(lambda traits: traits.extended)
def check_errors_of_coroutines(make: Maker) -> None:
    """What a coroutine raises is its own failure, SystemExit and KeyboardInterrupt too; the executor goes on."""
    with make() as executor:
        for kind in (ValueError, SystemExit, KeyboardInterrupt):
            assert type(raised_by(executor.submit(tasks.raise_later, kind))) is kind
        outcomes = list(executor.stream(tasks.raise_later, [ValueError, SystemExit], ordered=True))
        assert [type(outcome.error) for outcome in outcomes] == [ValueError, SystemExit]
        assert executor.submit(tasks.square_later, 3).result(PATIENCE) == 9


@needs(lambda traits: traits.extended)
def check_coroutine_that_cancels_itself(make: Maker) -> None:
    """A coroutine that was cancelled from inside fails with CancelledError; its future was not cancelled."""
    with make() as executor:
        future = executor.submit(tasks.cancel_itself)
        error = future.exception(PATIENCE)
        assert type(error).__name__ == "TaskCancelled", error
        assert not future.cancelled()


@needs(lambda traits: traits.extended)
def check_tasks_left_running(make: Maker) -> None:
    """A task that a coroutine has left running is cancelled by the end of the executor; its ``finally`` blocks run."""
    with TemporaryDirectory() as folder:
        with make() as executor:
            executor.submit(tasks.leave_a_task, folder).result(PATIENCE)
        assert tasks.noted(folder) == [1]


@needs(lambda traits: traits.extended)
def check_coroutine_function_as_initializer(make: Maker) -> None:
    """An initializer may be a coroutine function; it has run before the first call, and fails as any other."""
    with make(initializer=tasks.set_up_later, initargs=("red",)) as executor:
        assert executor.submit(tasks.what_was_set_up).result(PATIENCE) == "red"
    executor = make(initializer=tasks.raise_later, initargs=(ValueError,))
    assert caught(executor.submit(tasks.square, 1).result, PATIENCE) is not None
    executor.shutdown()
    tasks.set_up(None)


@needs(lambda traits: traits.extended and traits.contextvars == "all")
def check_context_of_coroutines(make: Maker) -> None:
    """A coroutine sees the context variables of the submitter; what it changes, nobody else sees."""

    def submit() -> None:
        tasks.COLOUR.set("green")
        assert executor.submit(tasks.colour_later).result(PATIENCE) == "green"
        assert executor.submit(tasks.change_colour_later, "blue").result(PATIENCE) == "blue"
        assert executor.submit(tasks.colour_later).result(PATIENCE) == "green"
        assert list(executor.map(tasks.colour_later, range(3))) == ["green"] * 3

    with make() as executor:
        copy_context().run(submit)


@needs(lambda traits: traits.extended and traits.contextvars == "named")
def check_named_context_of_coroutines(make: Maker) -> None:
    """A coroutine sees the context variables that the executor names."""

    def submit() -> None:
        tasks.COLOUR.set("green")
        assert executor.submit(tasks.colour_later).result(PATIENCE) == "green"
        assert list(executor.map(tasks.colour_later, range(3))) == ["green"] * 3

    with make(context=[tasks.COLOUR]) as executor:
        copy_context().run(submit)


@needs(lambda traits: traits.streams and traits.concurrent)
def check_item_timeout_of_coroutines(make: Maker) -> None:
    """A coroutine that runs for longer than ``item_timeout`` is cancelled, its ``finally`` blocks run: TimeoutError."""
    with TemporaryDirectory() as folder, make() as executor:
        items = [(folder, number) for number in range(10)]
        outcomes = list(executor.stream(tasks.sleep_on_three, items, item_timeout=0.5, ordered=True))
        assert [outcome.index for outcome in outcomes if not outcome.ok] == [3]
        assert type(outcomes[3].error) is TimeoutError
        assert "await asyncio.sleep(3600)" in str(outcomes[3].error.__cause__)
        assert tasks.noted(folder) == [3], "the finally block has run"
        assert executor.submit(tasks.square_later, 3).result(PATIENCE) == 9


@needs(lambda traits: traits.extended)
def check_coroutines_let_go(make: Maker) -> None:
    """No argument of a coroutine function is kept once it is done."""
    with make() as executor:
        watch = _submit_thing(executor)
        watch.see_it_gone("an argument of a coroutine function")


def _submit_thing(executor: Any) -> Watch:
    thing = tasks.Thing()
    assert executor.submit(tasks.type_name_later, thing).result(PATIENCE) == "Thing"
    return Watch(thing)
