"""Threads of numeric libraries in workers: no more than CPUs in all, unless the user says otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.scripts import run

from okazja import BadInput, Executor, UnsupportedParameter
from okazja._worker.cpus import cpu_count
from okazja._worker.inner_threads import BY_LIBRARY, MARK, POOLS_OF_THEIR_OWN, thread_variables

Open = Callable[..., Executor]

PATIENCE = 30.0  # seconds for what should take none
METHODS = [None, "fork", "spawn", "forkserver"]
VARIABLES = (*BY_LIBRARY.values(), *POOLS_OF_THEIR_OWN)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, MARK):
        monkeypatch.delenv(name, raising=False)


def blas_threads(_: object = None) -> list[int]:
    """Of each BLAS that this process has loaded, numpy's at least."""
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((100, 100)) @ np.ones((100, 100))
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def variable(name: str) -> str | None:
    return os.environ.get(name)


def everywhere(threads: list[int], number: int) -> bool:
    return bool(threads) and set(threads) == {number}


@pytest.mark.parametrize("method", METHODS)
def test_all_workers_together_use_as_many_threads_as_cpus(open_executor: Open, method: str | None) -> None:
    assert blas_threads()  # numpy is loaded here before the fork
    executor = open_executor(cpu_count(), mp_context=method)
    assert everywhere(executor.submit(blas_threads).result(PATIENCE), 1)
    assert executor.submit(variable, "OMP_NUM_THREADS").result(PATIENCE) == "1"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("threads", [1, cpu_count()])
def test_a_number_is_that_many(open_executor: Open, method: str | None, threads: int) -> None:
    executor = open_executor(2, mp_context=method, inner_max_num_threads=threads)
    assert everywhere(executor.submit(blas_threads).result(PATIENCE), threads)


def test_one_worker_has_all_cpus(open_executor: Open) -> None:
    executor = open_executor(1)
    assert executor.submit(variable, "OPENBLAS_NUM_THREADS").result(PATIENCE) == str(cpu_count())


@pytest.mark.parametrize("method", METHODS)
def test_the_users_variable_wins(
    open_executor: Open, method: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = set(blas_threads())
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    executor = open_executor(cpu_count(), mp_context=method)
    assert executor.submit(variable, "OMP_NUM_THREADS").result(PATIENCE) == "2"
    assert executor.submit(variable, "OPENBLAS_NUM_THREADS").result(PATIENCE) is None
    there = set(executor.submit(blas_threads).result(PATIENCE))
    assert there == (here if method == "fork" else {min(2, cpu_count())})  # a fork has loaded it before


def test_the_users_variable_for_one_library_leaves_the_others(
    open_executor: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    executor = open_executor(cpu_count())
    values = list(executor.map(variable, ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"]))
    assert values == ["2", "1", "1"]


@pytest.mark.parametrize("method", METHODS)
def test_none_leaves_everything_alone(open_executor: Open, method: str | None) -> None:
    here = blas_threads()
    executor = open_executor(2, mp_context=method, inner_max_num_threads=None)
    assert list(executor.map(variable, VARIABLES)) == [None] * len(VARIABLES)
    assert set(executor.submit(blas_threads).result(PATIENCE)) == set(
        here
    )  # there may be more libraries here


@pytest.mark.parametrize("method", METHODS)
def test_the_environment_of_the_parent_stays_as_it_is(open_executor: Open, method: str | None) -> None:
    executor = open_executor(2, mp_context=method)
    executor.submit(variable, "OMP_NUM_THREADS").result(PATIENCE)
    assert not {*VARIABLES, MARK} & set(os.environ)


def inner(options: dict[str, Any]) -> str | None:
    with Executor("processes", 1, **options) as executor:
        return executor.submit(variable, "OMP_NUM_THREADS").result(PATIENCE)


@pytest.mark.parametrize("method", [None, "fork"])
def test_an_executor_in_a_worker_counts_anew(open_executor: Open, method: str | None) -> None:
    with_two = open_executor(1, mp_context=method, inner_max_num_threads=7)
    assert with_two.submit(inner, {}).result(PATIENCE) == str(cpu_count())
    assert with_two.submit(inner, {"inner_max_num_threads": 3}).result(PATIENCE) == "3"
    crowded = open_executor(cpu_count(), mp_context=method)
    assert crowded.submit(inner, {}).result(PATIENCE) == "1"


def test_nested_executors_leave_the_users_variable_alone(
    open_executor: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert open_executor(2).submit(inner, {}).result(PATIENCE) == "5"


def test_variables_that_a_worker_has_set_itself_are_its_users() -> None:
    first = thread_variables({}, 4)
    assert {first[name] for name in VARIABLES} == {"4"}
    changed = first | {"MKL_NUM_THREADS": "2"}
    second = thread_variables(changed, 1)
    assert "MKL_NUM_THREADS" not in second
    assert second["OPENBLAS_NUM_THREADS"] == "1"
    assert thread_variables(first | {"OMP_NUM_THREADS": "3"}, 1).keys() & set(BY_LIBRARY.values()) == set()
    assert thread_variables({}, None) == {}


FRESH = """
    import sys
    from okazja import Executor

    def loaded(_):
        return [name for name in ("threadpoolctl", "numpy") if name in sys.modules]

    if __name__ == "__main__":
        for method in (None, "fork", "spawn", "forkserver"):
            with Executor("processes", 1, mp_context=method) as executor:
                print(executor.submit(loaded, 0).result(20))
"""


def test_a_worker_without_such_libraries_imports_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, FRESH)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["[]"] * 4


AT_IMPORT = """
    import numpy
    from okazja import Executor, cpu_count
    from threadpoolctl import threadpool_info

    def blas(_):
        numpy.ones(1)
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    if __name__ == "__main__":
        for method in (None, "fork", "spawn", "forkserver"):
            with Executor("processes", cpu_count(), mp_context=method) as executor:
                print(executor.submit(blas, 0).result(20))
"""


def test_a_library_that_the_main_module_loads_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, AT_IMPORT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["{1}"] * 4


@pytest.mark.parametrize("number", [0, -1])
def test_too_few_threads_are_refused(number: int) -> None:
    with pytest.raises(BadInput, match=f"inner_max_num_threads must be at least 1, got {number}"):
        Executor("processes", inner_max_num_threads=number)


@pytest.mark.parametrize("number", ["all", 1.5, False])
def test_threads_are_a_whole_number(number: Any) -> None:
    with pytest.raises(UnsupportedParameter, match="inner_max_num_threads must be a whole number of threads"):
        Executor("processes", inner_max_num_threads=number)


@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_other_backends_refuse_a_number(backend: str) -> None:
    with pytest.raises(UnsupportedParameter, match="inner_max_num_threads"):
        Executor(backend, inner_max_num_threads=2)
    Executor(backend, inner_max_num_threads="auto").shutdown()
