# ruff: noqa: ASYNC110  (a test may look now and then)
"""The asyncio backend: coroutines at once on one loop, limits that cancel, an end that forgets nothing."""

from __future__ import annotations

import asyncio
import functools
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from tests.faults.scripts import eventually

import okazja
from okazja import Executor, TaskCancelled
from okazja.errors import BadInput, ExecutorBroken

pytestmark = pytest.mark.usefixtures("each_loop")

PATIENCE = 20.0  # seconds for what should take none

request: ContextVar[str] = ContextVar("request", default="nobody's")


class Crowd:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.lock = threading.Lock()

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1

    async def wait(self, _: object) -> None:
        self.enter()
        await asyncio.sleep(0.005)
        self.leave()

    def block(self, _: object) -> None:
        self.enter()
        time.sleep(0.005)
        self.leave()


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def loop_and_thread(_: object = None) -> tuple[int, str]:
    return id(asyncio.get_running_loop()), threading.current_thread().name


def returns_coroutine(function: Callable[[], Any]) -> Any:
    return function()


async def sleep_long(ended: list[str]) -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        ended.append("finally")


async def swallow(free: threading.Event) -> None:
    while not free.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue


# --- where and how many


def test_coroutines_share_one_loop_in_a_thread_of_its_own() -> None:
    with Executor("asyncio", thread_name_prefix="mine") as executor:
        seen = set(executor.map(loop_and_thread, range(20)))
        assert len(seen) == 1
        assert {name for _, name in seen} == {"mine_loop"}
        assert threading.current_thread().name not in {name for _, name in seen}


def test_uvloop_is_used_where_it_is_installed(each_loop: str) -> None:
    async def kind() -> str:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    with Executor("asyncio") as executor:
        assert executor.submit(kind).result() == each_loop


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_max_workers_run_at_once(workers: int) -> None:
    """Coroutines and plain functions together."""
    crowd = Crowd()
    with Executor("asyncio", workers) as executor:
        futures = [executor.submit(task, n) for n in range(30) for task in (crowd.wait, crowd.block)]
        for future in futures:
            future.result(PATIENCE)
    assert crowd.most == workers


def test_a_thousand_wait_at_once() -> None:
    arrived: list[None] = []

    async def meet() -> bool:
        arrived.append(None)
        if len(arrived) == 1000:
            all_here.set()
        return await all_here.wait()

    async def make() -> asyncio.Event:
        return asyncio.Event()

    with Executor("asyncio", 1000) as executor:
        all_here = executor.submit(make).result()
        futures = [executor.submit(meet) for _ in range(1000)]
        assert all(future.result(PATIENCE) for future in futures)


def test_coroutines_go_on_while_all_threads_are_busy() -> None:
    gate = threading.Event()
    with Executor("asyncio", 200) as executor:
        plain = [executor.submit(gate.wait, PATIENCE) for _ in range(60)]
        assert executor.submit(double, 2).result(PATIENCE) == 4
        gate.set()
        assert all(future.result(PATIENCE) for future in plain)


def test_a_coroutine_that_a_plain_function_returns_runs_on_the_loop() -> None:
    async def fails() -> float:
        return 1 / 0

    with Executor("asyncio") as executor:
        direct = executor.submit(loop_and_thread).result()
        assert executor.submit(returns_coroutine, loop_and_thread).result() == direct
        with pytest.raises(ZeroDivisionError):
            executor.submit(returns_coroutine, fails).result()


def test_context_variables_are_the_submitters() -> None:
    async def see() -> str:
        await asyncio.sleep(0)
        return request.get()

    token = request.set("mine")
    try:
        with Executor("asyncio") as executor:
            assert executor.submit(see).result() == "mine"
            assert executor.submit(returns_coroutine, see).result() == "mine"
            assert executor.submit(request.get).result() == "mine"
    finally:
        request.reset(token)


def test_the_tree_names_what_runs() -> None:
    gate = threading.Event()

    async def waiter() -> None:
        while not gate.is_set():
            await asyncio.sleep(0.001)

    with Executor("asyncio", 10) as executor:
        futures: list[okazja.Future[Any]] = [executor.submit(waiter) for _ in range(3)]
        futures.append(executor.submit(gate.wait, PATIENCE))

        def busy() -> list[str]:
            mine = [
                work for work in okazja.tree().work if work.executor == executor._engine.name and work.busy
            ]
            return sorted(work.function.rpartition(".")[2] for work in mine)

        assert eventually(lambda: busy() == ["wait", "waiter", "waiter", "waiter"])
        gate.set()
        for future in futures:
            future.result(PATIENCE)


# --- limits


def test_item_timeout_cancels_and_says_where_it_waited() -> None:
    ended: list[str] = []
    with Executor("asyncio", 2) as executor:
        [outcome] = executor.stream(sleep_long, [ended], item_timeout=0.05)
        assert isinstance(outcome.error, TimeoutError)
        assert "item_timeout=0.05 s and was cancelled" in str(outcome.error)
        assert "await asyncio.sleep(3600)" in str(outcome.error.__cause__)
        assert ended == ["finally"]
        assert 0.05 <= outcome.seconds < 5


def test_a_coroutine_that_swallows_cancellation_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    free = threading.Event()
    with caplog.at_level(logging.WARNING, "okazja"), Executor("asyncio", 1) as executor:
        outcome = next(executor.stream(swallow, [free], item_timeout=0.05))
        assert "could not be cancelled: its coroutine still runs" in str(outcome.error)
        assert executor.submit(double, 4).result(PATIENCE) == 8  # in its place
        free.set()
    assert [record.message for record in caplog.records if "still runs" in record.message]


def test_what_swallows_cancellation_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    free = threading.Event()
    with caplog.at_level(logging.WARNING), Executor("asyncio", 1) as executor:
        next(executor.stream(swallow, [free], item_timeout=0.05))
    assert "goes on: it is left behind" in caplog.text
    assert "was destroyed" not in caplog.text


def test_retries_and_a_deadline() -> None:
    tries: list[int] = []

    async def fail_twice(number: int) -> int:
        tries.append(number)
        if len(tries) < 3:
            raise OSError
        return number

    async def hang(number: int) -> None:
        await asyncio.sleep(3600)

    with Executor("asyncio", 4) as executor:
        [outcome] = executor.stream(fail_twice, [7], retries=2)
        assert (outcome.value, outcome.attempts) == (7, 3)
        outcomes: list[Any] = []
        with pytest.raises(TimeoutError, match="deadline"):
            outcomes.extend(executor.stream(hang, range(3), deadline=0.1))


def test_a_closed_stream_cancels_what_runs() -> None:
    ended: list[str] = []
    begun = threading.Event()

    async def task(number: int) -> None:
        begun.set()
        if number:
            await sleep_long(ended)

    with Executor("asyncio", 4) as executor:
        stream = executor.stream(task, range(4))
        assert next(stream).index == 0
        assert begun.wait(PATIENCE)
        stream.close()
    assert ended == ["finally"] * 3


def test_cancelled_from_inside_is_an_error_of_its_own() -> None:
    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    with Executor("asyncio") as executor:
        error = executor.submit(cancels_itself).exception(PATIENCE)
        assert isinstance(error, TaskCancelled)
        [outcome] = executor.stream(cancels_itself_with, [cancels_itself], retries=1)
        assert isinstance(outcome.error, TaskCancelled)
        assert outcome.attempts == 2


async def cancels_itself_with(task: Callable[[], Any]) -> None:
    await task()


# --- what can go wrong


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_exits_do_not_end_the_loop(kind: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> None:
        raise kind("bye")

    async def leave_in_a_task() -> None:
        await asyncio.create_task(leave())

    with Executor("asyncio") as executor:
        futures = [executor.submit(task) for task in (leave, leave_in_a_task)]
        others = [executor.submit(double, n) for n in range(5)]
        assert [type(future.exception(PATIENCE)) for future in futures] == [kind, kind]
        assert [future.result(PATIENCE) for future in others] == [0, 2, 4, 6, 8]
    assert not caplog.records


@pytest.mark.parametrize("workers", [1, 5])
def test_an_initializer_runs_once_in_the_loop(workers: int) -> None:
    calls: list[tuple[int, str]] = []

    async def note() -> None:
        calls.append(await loop_and_thread())

    with Executor("asyncio", workers, initializer=note) as executor:
        where = executor.submit(loop_and_thread).result(PATIENCE)
        list(executor.map(abs, range(10)))
        assert calls == [where]


def test_an_initializer_that_fails_breaks_the_executor() -> None:
    async def fail() -> None:
        raise LookupError("no luck")

    with Executor("asyncio", initializer=fail) as executor:
        assert isinstance(executor.submit(double, 1).exception(PATIENCE), ExecutorBroken)
        with pytest.raises(ExecutorBroken, match="no luck"):
            executor.submit(double, 1)


def test_no_thread_for_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.endswith("_loop"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with Executor("asyncio") as executor:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                executor.submit(double, 1)
        assert executor.submit(double, 2).result(PATIENCE) == 4


def test_no_loop_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("okazja._backends.asyncio_loop.new_loop", fail)
    with Executor("asyncio") as executor:
        assert isinstance(executor.submit(double, 1).exception(PATIENCE), ExecutorBroken)


def test_parameters_that_mean_nothing() -> None:
    with pytest.raises(TypeError, match="blocked_after=1 means nothing to the backend 'threads'"):
        Executor("threads", blocked_after=1)
    with pytest.raises(BadInput, match="greater than 0"):
        Executor("asyncio", blocked_after=0)


# --- the end

SCRIPTS = {
    "left running": """
        async def main():
            asyncio.create_task(forever())
            await asyncio.sleep(0)
        with Executor("asyncio") as executor:
            executor.submit(main).result()
    """,
    "forgotten": """
        executor = Executor("asyncio")
        executor.submit(asyncio.sleep, 0.05)
        del executor
    """,
    "never shut down": """
        executor = Executor("asyncio")
        print(executor.submit(asyncio.sleep, 0.05, "done").result())
        future = executor.submit(asyncio.sleep, 0.1)
    """,
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("uvloop", ["with uvloop", "without uvloop"])
def test_nothing_is_said_at_the_end_of_the_interpreter(script: str, uvloop: str) -> None:
    """No "Task was destroyed but it is pending", no unclosed loop, no hang."""
    lines = ["import asyncio, sys", "from okazja import Executor"]
    if uvloop == "without uvloop":
        lines.insert(1, "sys.modules['uvloop'] = None")
    lines += ["async def forever():", "    await asyncio.sleep(3600)"]
    code = "\n".join([*lines, *_dedented(SCRIPTS[script])])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stderr == ""


def _dedented(script: str) -> Iterator[str]:
    return (line.removeprefix("        ") for line in script.splitlines())


def test_ctrl_c_cancels_coroutines(tmp_path: Path) -> None:
    code = "\n".join(
        [
            "import asyncio, os, signal",
            "from okazja import Executor",
            "async def task():",
            "    try:",
            "        os.kill(os.getpid(), signal.SIGINT)",
            "        await asyncio.sleep(3600)",
            "    finally:",
            f"        open({str(tmp_path / 'ended')!r}, 'w').close()",
            "with Executor('asyncio') as executor:",
            "    executor.submit(task).result()",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in {-2, 130}
    assert (tmp_path / "ended").exists()
    assert done.stderr.strip().endswith("KeyboardInterrupt")


def test_partials_and_methods_are_known_as_coroutine_functions() -> None:
    class Service:
        async def method(self, number: int) -> str:
            return threading.current_thread().name

    with Executor("asyncio", thread_name_prefix="mine") as executor:
        for task in (Service().method, functools.partial(Service().method, 1)):
            arguments = () if isinstance(task, functools.partial) else (1,)
            assert executor.submit(task, *arguments).result(PATIENCE) == "mine_loop"
