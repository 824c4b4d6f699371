"""A function that goes by value is taken as it is at each submit, and once for each map or stream."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.scripts import run
from tests.semantics.tasks import Counter, add, identity

from okazja import Executor

SCRIPT = """
    from okazja import Executor

    K = 1

    def f(_=None):
        return K

    with Executor({backend!r}, {workers}) as executor:
        first = executor.submit(f)
        {between}
        K = 2
        second = executor.submit(f)
        print(first.result(), second.result())
        K = 3
        mapped = executor.map(f, range(3))
        print(list(mapped))
        K = 4
        print([outcome.value for outcome in executor.stream(f, range(3))])
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_globals_of_main_are_those_of_the_submit(tmp_path: Path, workers: int) -> None:
    done = run(tmp_path, SCRIPT.format(backend="processes", workers=workers, between=""))
    assert (done.stdout, done.stderr, done.returncode) == ("1 2\n[3, 3, 3]\n[4, 4, 4]\n", "", 0)


@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_the_same_script_in_shared_memory(tmp_path: Path, backend: str) -> None:
    script = SCRIPT.format(backend=backend, workers=1, between="first.result()")
    done = run(tmp_path, script)
    assert (done.stdout, done.stderr, done.returncode) == ("1 2\n[3, 3, 3]\n[4, 4, 4]\n", "", 0)


def test_a_function_of_main_that_is_redefined_is_the_new_one(tmp_path: Path) -> None:
    script = """
        from okazja import Executor

        with Executor("processes", 1) as executor:
            def f():
                return "old"
            print(executor.submit(f).result())
            def f():
                return "new"
            print(executor.submit(f).result())
    """
    assert run(tmp_path, script).stdout == "old\nnew\n"


def test_closures() -> None:
    captured = 1

    def closure(_: object = None) -> int:
        return captured

    with Executor("processes", 1) as executor:
        first = executor.submit(closure)
        captured = 2
        second = executor.submit(closure)
        assert (first.result(), second.result()) == (1, 2)
        captured = 3
        assert list(executor.map(closure, range(3))) == [3, 3, 3]


def test_a_map_takes_its_function_once() -> None:
    captured = 1

    def closure(_: object) -> int:
        return captured

    with Executor("processes", 1) as executor:
        results = executor.map(closure, range(100), buffersize=2)
        first = next(results)
        captured = 2
        assert {first, *results} == {1}


def test_bound_methods() -> None:
    counter = Counter(1)
    with Executor("processes", 1) as executor:
        first = executor.submit(counter.get)
        counter.start = 2
        second = executor.submit(counter.get)
        assert (first.result(), second.result()) == (1, 2)
        counter.start = 3
        assert list(executor.map(counter.get, range(2))) == [3, 3]


def test_partials() -> None:
    bound = [1]
    task = functools.partial(identity, bound)
    with Executor("processes", 1) as executor:
        first = executor.submit(task)
        bound.append(2)
        second = executor.submit(task)
        assert (first.result(), second.result()) == ([1], [1, 2])
        assert list(executor.map(functools.partial(add, right=5), range(2))) == [5, 6]


def test_lambdas() -> None:
    with Executor("processes", 1) as executor:
        futures = [executor.submit(lambda number: number, number) for number in range(5)]
        assert [future.result() for future in futures] == list(range(5))


def test_state_that_a_task_leaves_behind_is_not_shared_between_submits_of_a_closure() -> None:
    calls: list[int] = []

    def closure() -> int:
        calls.append(1)
        return len(calls)

    with Executor("processes", 1) as executor:
        assert [executor.submit(closure).result() for _ in range(3)] == [1, 1, 1]
    assert not calls


def adder(base: int) -> Callable[[int], int]:
    def add_to_base(item: int) -> int:
        return base + item

    return add_to_base


def test_many_functions_by_value_at_once() -> None:
    with Executor("processes", 2) as executor:
        maps = [executor.map(adder(base), range(3)) for base in range(100)]
        assert [list(results) for results in maps] == [[base, base + 1, base + 2] for base in range(100)]
