"""Whatever an error or a result does when it is shown, pickled or rebuilt: that item reports it, nothing hangs."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.faults import hostile
from tests.faults.hostile import AWKWARD, BASES, ERRORS
from tests.faults.innocent import error_of_the_guilty, works

from okazja import Executor, Future
from okazja.errors import NotPicklable, NotRebuilt, RemoteTraceback, WorkerDied

PATIENCE = 20.0  # seconds for a single call


@pytest.fixture(scope="module")
def pools() -> Iterator[Callable[[str], Executor]]:
    """One executor a backend for all tests here: each leaves it as it was."""
    made: dict[str, Executor] = {}

    def pool(backend: str) -> Executor:
        if backend not in made:
            made[backend] = Executor(backend, 1 if backend == "serial" else 2)
        return made[backend]

    yield pool
    for executor in made.values():
        executor.shutdown()


@pytest.fixture(autouse=True)
def nothing_left_running() -> None:
    """Instead of the check after each test: the executors are shared."""


@pytest.fixture
def processes(pools: Callable[[str], Executor]) -> Executor:
    return pools("processes")


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_that_travels(processes: Executor, name: str) -> None:
    error = error_of_the_guilty(processes, functools.partial(hostile.raise_error, name))
    assert type(error).__name__ == ERRORS[name][1]
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in raise_error" in str(error.__cause__)
    assert len(str(error.__cause__)) < 100_000
    if isinstance(error, NotPicklable | NotRebuilt):
        assert len(str(error)) < 10_000
        assert ERRORS[name][0].__name__ in str(error)


@pytest.mark.parametrize("backend", ["serial", "threads"])
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_that_stays(pools: Callable[[str], Executor], backend: str, name: str) -> None:
    error = error_of_the_guilty(pools(backend), functools.partial(hostile.raise_error, name))
    assert type(error) is ERRORS[name][0]


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
@pytest.mark.parametrize("name", BASES)
def test_base_exceptions_are_reported_as_they_are(
    pools: Callable[[str], Executor], backend: str, name: str
) -> None:
    error = error_of_the_guilty(pools(backend), functools.partial(hostile.raise_base, name))
    assert type(error) is BASES[name]
    assert error.args == ("from the task",)


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
def test_stop_iteration_does_not_shorten_a_map_nor_hang_an_await(
    pools: Callable[[str], Executor], backend: str
) -> None:
    executor = pools(backend)

    async def wait() -> object:
        return await asyncio.wait_for(executor.submit(hostile.raise_base, "StopIteration"), PATIENCE)

    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(wait())
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(executor.map(hostile.raise_base, ["StopIteration"]))


@pytest.mark.parametrize("name", AWKWARD)
def test_a_result_that_cant_be_pickled(processes: Executor, name: str) -> None:
    error = error_of_the_guilty(processes, functools.partial(hostile.return_value, "pickled", name))
    expected = NotPicklable if issubclass(AWKWARD[name], Exception) else AWKWARD[name]
    assert type(error) is expected


@pytest.mark.parametrize("name", AWKWARD)
def test_a_result_that_cant_be_rebuilt(processes: Executor, name: str) -> None:
    error = error_of_the_guilty(processes, functools.partial(hostile.return_value, "rebuilt", name))
    assert type(error) is NotRebuilt
    assert AWKWARD[name].__name__ in str(error)


@pytest.mark.parametrize("name", ["StrRaises", "StrExits", "SystemExit", "GeneratorExit", "CancelledError"])
def test_an_argument_that_cant_be_pickled(processes: Executor, name: str) -> None:
    items: list[Any] = [*range(700), hostile.Value("pickled", AWKWARD[name]), *range(701, 1000)]
    outcomes = list(processes.stream(echo, items, ordered=True))
    assert [outcome.index for outcome in outcomes] == list(range(1000))
    assert [outcome.index for outcome in outcomes if not outcome.ok] == [700]
    assert all(outcome.value == outcome.index for outcome in outcomes if outcome.ok)
    expected = NotPicklable if issubclass(AWKWARD[name], Exception) else AWKWARD[name]
    assert type(outcomes[700].error) is expected
    assert works(processes)


@pytest.mark.parametrize("name", AWKWARD)
def test_an_argument_that_cant_be_rebuilt(processes: Executor, name: str) -> None:
    items: list[Any] = [*range(700), hostile.Value("rebuilt", AWKWARD[name]), *range(701, 1000)]
    outcomes = list(processes.stream(echo, items, ordered=True))
    assert [outcome.index for outcome in outcomes if not outcome.ok] == [700]
    assert all(outcome.value == outcome.index for outcome in outcomes if outcome.ok)
    assert type(outcomes[700].error) is AWKWARD[name]
    assert works(processes)


def echo(value: object) -> object:
    return value


def test_an_init_of_its_own(processes: Executor) -> None:
    error = error_of_the_guilty(processes, hostile.raise_own_init)
    assert type(error) is NotRebuilt
    assert "OwnInit: 1 and 2" in str(error)
    assert "__reduce__" in str(error)


def test_a_str_that_kills_the_process(processes: Executor) -> None:
    error = error_of_the_guilty(processes, hostile.raise_str_kills)
    assert isinstance(error, WorkerDied)
    assert error.exitcode == -signal.SIGKILL


def test_a_class_that_is_made_inside_the_task(processes: Executor) -> None:
    error = error_of_the_guilty(processes, hostile.raise_local)
    assert type(error).__name__ == "Local"
    assert error.args == ("known to the worker only",)


def test_a_class_of_a_module_that_only_the_worker_has(processes: Executor) -> None:
    error = error_of_the_guilty(processes, hostile.raise_from_a_module_of_the_worker)
    assert type(error) is NotRebuilt
    assert "only_in_the_worker.Hidden: where nobody looks" in str(error)


def test_groups_keep_their_members_and_notes(processes: Executor) -> None:
    error = error_of_the_guilty(processes, hostile.raise_a_group)
    assert isinstance(error, ExceptionGroup)
    assert error.__notes__ == ["a note on the group"]
    keys = error.subgroup(KeyError)
    assert keys is not None
    values = error.subgroup(ValueError)
    assert values is not None
    assert [str(member) for member in values.exceptions] == ["one"]


def test_a_member_that_cant_travel_is_named(processes: Executor) -> None:
    error = error_of_the_guilty(processes, hostile.raise_a_group_that_cant_travel)
    assert type(error) is NotPicklable
    assert ".args[1][1]" in str(error)
    assert "ValueError: one" in str(error.__cause__)


def test_causes_and_notes_are_in_the_remote_traceback(processes: Executor) -> None:
    error = error_of_the_guilty(processes, hostile.raise_chained)
    assert isinstance(error, ValueError)
    for text in ("KeyError: 'the first'", "LookupError: the second", "a note on the second", "direct cause"):
        assert text in str(error.__cause__)


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
def test_endless_recursion_and_want_of_memory(pools: Callable[[str], Executor], backend: str) -> None:
    assert isinstance(error_of_the_guilty(pools(backend), hostile.recurse), RecursionError)
    assert isinstance(error_of_the_guilty(pools(backend), hostile.want_memory), MemoryError)


def test_values_too_deep_to_be_pickled(processes: Executor) -> None:
    error = error_of_the_guilty(processes, hostile.return_nested)
    assert isinstance(error, NotPicklable)
    assert "recursion" in str(error)
    argument = processes.submit(echo, hostile.nested(100_000)).exception(PATIENCE)
    assert isinstance(argument, NotPicklable)
    assert works(processes)


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
@pytest.mark.parametrize("name", ["str raises", "str exits", "frozen"])
def test_one_that_nobody_looked_at_is_reported_once(
    pools: Callable[[str], Executor], backend: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    executor = pools(backend)
    caplog.set_level(logging.ERROR, "okazja")
    future: Future[Any] = executor.submit(hostile.raise_error, name)
    while not future.done():
        works(executor)
    del future
    works(executor)  # so that no thread holds the last call any more
    gc.collect()
    [record] = caplog.records
    assert "nobody looked at its future" in record.getMessage()
    assert ERRORS[name][0].__name__ in record.getMessage()
