"""Workers that die while starting, or whose initializer fails: ExecutorBroken with the cause, never a hang."""

from __future__ import annotations

import os
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.faults.scripts import eventually, pids_of
from tests.semantics.tasks import exit_now, fail_in_initializer, identity, record

from okazja import Executor
from okazja.errors import ExecutorBroken, WorkerDied

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

CONTEXTS = [None, "fork", "spawn", "forkserver"]


@pytest.mark.parametrize("context", CONTEXTS)
def test_an_initializer_that_raises_breaks_the_executor_with_the_cause(context: str | None) -> None:
    with Executor("processes", 2, initializer=fail_in_initializer, mp_context=context) as executor:
        futures: list[Any] = []
        try:
            futures += [executor.submit(identity, number) for number in range(10)]
        except ExecutorBroken:
            pass  # it was noticed meanwhile
        errors = [future.exception(30) for future in futures]
        assert eventually(lambda: executor._broken)
        with pytest.raises(BrokenExecutor, match="no configuration") as caught:
            executor.submit(identity, 1)
    assert all(isinstance(error, ExecutorBroken) for error in errors)
    assert isinstance(caught.value.__cause__, LookupError)
    assert "LookupError" in str(caught.value)


@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_the_same_in_shared_memory(backend: str) -> None:
    with Executor(backend, initializer=fail_in_initializer) as executor:
        future = executor.submit(identity, 1)
        error = future.exception(30)
        with pytest.raises(BrokenExecutor, match="no configuration"):
            executor.submit(identity, 1)
    assert isinstance(error, ExecutorBroken)
    assert isinstance(error.__cause__, LookupError)


def test_a_map_over_it_raises_too(backend: str) -> None:
    executor = Executor(backend, initializer=fail_in_initializer)
    with executor, pytest.raises(ExecutorBroken, match="no configuration"):
        list(executor.map(identity, range(100)))


@pytest.mark.parametrize("context", CONTEXTS)
def test_workers_that_die_in_the_initializer_break_it_after_a_few(context: str | None) -> None:
    with Executor("processes", 2, initializer=exit_now, mp_context=context) as executor:
        error: BaseException | None
        try:
            error = executor.submit(identity, 1).exception(60)
        except ExecutorBroken as refused:  # it was noticed before
            error = refused
        assert isinstance(error, ExecutorBroken)
        assert eventually(lambda: executor._broken)
        with pytest.raises(ExecutorBroken, match=r"in a row died while they started.*exited with status 17"):
            executor.submit(identity, 1)


def die_for_the_first(marker: str) -> None:
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return
    os._exit(3)


def test_a_single_death_while_starting_harms_nobody(tmp_path: Path) -> None:
    with Executor(
        "processes", 2, initializer=die_for_the_first, initargs=(str(tmp_path / "died"),)
    ) as executor:
        assert list(executor.map(identity, range(100))) == list(range(100))
        assert not executor._broken


def test_a_single_death_is_of_its_item_alone() -> None:
    with Executor("processes", 2) as executor:
        error = executor.submit(exit_now).exception(30)
        assert isinstance(error, WorkerDied)
        assert error.exitcode == 17
        assert "status 17" in str(error)
        assert str(error.pid) in str(error)
        assert executor.submit(identity, 1).result(30) == 1
        assert not executor._broken


@pytest.mark.parametrize("context", CONTEXTS)
def test_an_initializer_runs_once_in_each_worker(context: str | None, tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with Executor("processes", 2, initializer=record, initargs=(path, 1), mp_context=context) as executor:
        pids_of(executor, 2)
    assert Path(path).read_text() == "1\n1\n"
