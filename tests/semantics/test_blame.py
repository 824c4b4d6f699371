"""The item that is to blame fails, alone, and its error says what to mend."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.semantics.tasks import (
    Holder,
    KillsWhenUnpickled,
    Odd,
    RaisesWhenUnpickled,
    Unpicklable,
    fail,
    identity,
    make_bomb,
    make_unpicklable,
    raise_keyboard_interrupt,
    raise_odd,
    raise_system_exit,
    raise_unpicklable,
)

from okazja import Executor
from okazja.errors import NotPicklable, NotRebuilt, RemoteTraceback, WorkerDied

Task = Callable[[Any], Any]


def error_of_item_3(task: Task, items: list[Any]) -> BaseException:
    """All others of the stream, and all submitted ones, must be right."""
    with Executor("processes", 2) as executor:
        list(executor.map(identity, range(2_000)))
        outcomes = list(executor.stream(task, items, ordered=True))
        futures = [executor.submit(task, item) for item in items]
        submitted = [future.exception(30) for future in futures]
        assert executor.submit(identity, "alive").result(30) == "alive"
    assert [outcome.index for outcome in outcomes] == list(range(len(items)))
    assert [outcome.index for outcome in outcomes if not outcome.ok] == [3]
    assert all(outcome.value == outcome.item for outcome in outcomes if outcome.ok)
    assert [n for n, error in enumerate(submitted) if error is not None] == [3]
    error = outcomes[3].error
    assert error is not None
    assert type(submitted[3]) is type(error)
    return error


def items_with(value: object) -> list[Any]:
    return [0, 1, 2, value, *range(4, 200)]


def test_an_argument_that_cant_be_pickled() -> None:
    error = error_of_item_3(identity, items_with(Holder({"key": [1, Unpicklable()]})))
    assert isinstance(error, NotPicklable)
    assert ".inner['key'][1]" in str(error)
    assert "Unpicklable" in str(error)
    assert "this one stays here" in str(error)


def test_the_future_names_the_argument() -> None:
    with Executor("processes", 1) as executor:
        error = executor.submit(identity, value=Holder(threading.Lock())).exception(30)
        assert str(error).startswith("value.inner (inside value), of type _thread.lock")
        error = executor.submit(identity, Unpicklable()).exception(30)
        assert str(error).startswith("args[0], of type")
        error = executor.submit(Holder(threading.Lock()).size).exception(30)
        assert "the function.__self__.inner" in str(error)
    assert isinstance(error, (pickle.PicklingError, TypeError))


def test_a_closure_that_cant_be_pickled_names_the_variable() -> None:
    guard = threading.Lock()
    with Executor("processes", 1) as executor:
        error = executor.submit(lambda: guard).exception(30)
        assert "closing over guard" in str(error)
        with pytest.raises(NotPicklable, match="closing over guard"):
            executor.map(lambda _: guard, range(3))


def test_an_argument_whose_rebuilding_raises() -> None:
    error = error_of_item_3(identity, items_with(RaisesWhenUnpickled()))
    assert isinstance(error, ValueError)
    assert "no 7" in str(error)


def test_an_argument_whose_rebuilding_kills_the_process() -> None:
    error = error_of_item_3(identity, items_with(KillsWhenUnpickled()))
    assert isinstance(error, WorkerDied)
    assert error.exitcode == 43


@pytest.mark.parametrize("task", [make_unpicklable])
def test_a_result_that_cant_be_pickled(task: Task) -> None:
    error = error_of_item_3(task, items_with(3))
    assert isinstance(error, NotPicklable)
    assert ".inner" in str(error)


def test_a_result_that_cant_be_rebuilt() -> None:
    error = error_of_item_3(make_bomb, items_with(3))
    assert isinstance(error, NotRebuilt)
    assert "ValueError: no 7" in str(error)


def test_a_result_whose_pickling_kills_the_process() -> None:
    error = error_of_item_3(dies_when_result_is_pickled, items_with(3))
    assert isinstance(error, WorkerDied)
    assert error.exitcode == 44


class KillsWhenPickled:
    def __reduce__(self) -> Any:
        import os

        os._exit(44)


def dies_when_result_is_pickled(number: int) -> object:
    return KillsWhenPickled() if number == 3 else number


def test_an_exception_that_cant_be_rebuilt() -> None:
    error = error_of_item_3(raise_odd, items_with(3))
    assert isinstance(error, NotRebuilt)
    assert not isinstance(error, Odd)
    assert "Odd: 1 and 3" in str(error)
    assert "raise Odd(1, number)" in str(error.__cause__)


def test_an_exception_that_cant_be_pickled() -> None:
    error = error_of_item_3(raise_unpicklable, items_with(3))
    assert isinstance(error, NotPicklable)
    assert ".args[1]" in str(error)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert 'raise ValueError("holds", Unpicklable())' in str(error.__cause__)


@pytest.mark.parametrize(
    ("task", "kind"), [(raise_system_exit, SystemExit), (raise_keyboard_interrupt, KeyboardInterrupt)]
)
def test_other_base_exceptions_are_the_items(task: Task, kind: type[BaseException]) -> None:
    assert type(error_of_item_3(task, items_with(3))) is kind


def test_the_traceback_of_the_worker_is_the_cause() -> None:
    with Executor("processes", 1) as executor:
        error = executor.submit(fail, 3).exception(30)
    assert isinstance(error, ValueError)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in fail" in str(error.__cause__)
    assert "_worker" not in str(error.__cause__), "frames of the worker's own are left out"
