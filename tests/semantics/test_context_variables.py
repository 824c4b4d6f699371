"""Tasks see the submitter's context variables: all in shared memory, the named ones on processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.scripts import run
from tests.semantics.tasks import current_request, request, set_request

from okazja import Executor


@pytest.fixture(autouse=True)
def value_of_this_test() -> object:
    token = request.set("Ann's")
    yield
    request.reset(token)


@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_in_shared_memory_all_are_seen(backend: str) -> None:
    with Executor(backend) as executor:
        first = executor.submit(current_request)
        mapped = executor.map(current_request, range(3))
        streamed = executor.stream(current_request, range(3))
        request.set("Bob's")
        assert first.result(30) == "Ann's"
        assert executor.submit(current_request).result(30) == "Bob's"
        assert list(mapped) == ["Ann's"] * 3
        assert [outcome.value for outcome in streamed] == ["Ann's"] * 3


def test_a_task_sets_its_own_copy(backend: str) -> None:
    with Executor(backend, 1, context=[request] if backend == "processes" else ()) as executor:
        assert executor.submit(set_request, "theirs").result(30) == "Ann's"
        assert executor.submit(current_request).result(30) == "Ann's"
        assert list(executor.map(set_request, ["a", "b"])) == ["Ann's", "Ann's"]
    assert request.get() == "Ann's"


def test_items_of_one_chunk_do_not_see_each_others_changes() -> None:
    with Executor("processes", 1, context=[request]) as executor:
        values = set(executor.map(set_request, map(str, range(200)), chunksize=50))
    assert values == {"Ann's"}


def test_on_processes_only_those_named() -> None:
    with Executor("processes", 1) as executor:
        assert executor.submit(current_request).result(30) == "nobody's"
    with Executor("processes", 1, context=[request]) as executor:
        first = executor.submit(current_request)
        mapped = executor.map(current_request, range(3))
        streamed = executor.stream(current_request, range(3))
        request.set("Bob's")
        second = executor.submit(current_request)
        assert (first.result(30), second.result(30)) == ("Ann's", "Bob's")
        assert list(mapped) == ["Ann's"] * 3
        assert [outcome.value for outcome in streamed] == ["Ann's"] * 3


def test_variables_of_main_are_sent_too(tmp_path: Path) -> None:
    script = """
        from contextvars import ContextVar
        from okazja import Executor

        user = ContextVar("user", default="nobody")
        unset = ContextVar("unset", default="default")

        def who(_=None):
            return user.get(), unset.get()

        with Executor("processes", 2, context=[user, unset]) as executor:
            user.set("Ann")
            first = executor.submit(who)
            user.set("Bob")
            second = executor.submit(who)
            print(first.result(), second.result(), list(executor.map(who, range(2))))
    """
    done = run(tmp_path, script)
    default = "'default'"
    expected = f"('Ann', {default}) ('Bob', {default}) [('Bob', {default}), ('Bob', {default})]\n"
    assert (done.stdout, done.stderr) == (expected, "")
