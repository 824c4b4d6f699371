"""okazja.run: from scripts, threads, workers and notebooks; never inside of another loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import okazja
from okazja.testing import Gate
from okazja.testing.gate import Address, greet

variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


async def double(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


async def fail() -> None:
    raise LookupError("as told")


def run_double(n: int) -> int:
    return okazja.run(double(n))


def test_the_result_or_the_error() -> None:
    assert okazja.run(double(3)) == 6
    with pytest.raises(LookupError, match="as told"):
        okazja.run(fail())


def test_it_sees_context_variables_and_keeps_its_changes() -> None:
    async def look() -> int:
        found = variable.get()
        variable.set(9)
        return found

    context = contextvars.copy_context()
    context.run(variable.set, 5)
    assert context.run(lambda: okazja.run(look())) == 5
    assert context[variable] == 5


def test_other_awaitables() -> None:
    with okazja.Executor("threads") as executor:
        assert okazja.run(executor.submit(pow, 2, 10)) == 1024


def test_what_cannot_be_awaited() -> None:
    with pytest.raises(
        okazja.TaskTypeError, match=r"got <function double.*call the function, okazja\.run\(double"
    ):
        okazja.run(double)  # type: ignore[arg-type]
    with pytest.raises(okazja.TaskTypeError, match="got 3"):
        okazja.run(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_in_a_task(backend: str) -> None:
    with okazja.Executor(backend) as executor:
        assert list(executor.map(run_double, range(5))) == [0, 2, 4, 6, 8]


def test_inside_of_a_running_loop_it_says_to_await() -> None:
    async def main() -> int:
        with pytest.raises(okazja.LoopRunning, match=r"write `await double\(\.\.\.\)`"):
            okazja.run(double(3))  # closed: a warning that it was never awaited would be an error
        return await asyncio.to_thread(run_double, 4)

    assert asyncio.run(main()) == 8


def test_debug_and_loop_factory() -> None:
    made = []

    def make() -> asyncio.AbstractEventLoop:
        made.append(asyncio.new_event_loop())
        return made[0]

    async def look() -> tuple[bool, bool]:
        loop = asyncio.get_running_loop()
        return loop is made[0], loop.get_debug()

    assert okazja.run(look(), debug=True, loop_factory=make) == (True, True)


def test_the_end_of_a_group_cancels_it() -> None:
    events = []

    @asynccontextmanager
    async def noted() -> AsyncIterator[None]:
        try:
            yield
        finally:
            events.append("cleaned up")

    async def sleep() -> None:
        async with noted():
            begun.set()
            await asyncio.sleep(60)

    begun = threading.Event()
    with okazja.Group("threads") as group:
        future = group.submit(lambda: okazja.run(sleep()))
        begun.wait()
        group.cancel()
    assert future.cancelled()
    assert events == ["cleaned up"]


async def sleep_and_greet(address: Address, there: str, gone: str) -> None:
    try:
        greet(address, there)
        await asyncio.sleep(60)
    finally:
        greet(address, gone)


def run_sleep(address: Address) -> None:
    okazja.run(sleep_and_greet(address, "there", "gone"))


def test_an_interrupted_process_cancels_it() -> None:
    with Gate() as gate, okazja.Group("processes") as group:
        future = group.submit(run_sleep, gate.address)
        assert gate.arrivals(1) == ["there"]
        group.cancel()
        assert gate.arrivals(1) == ["gone"]
    assert future.cancelled()


CTRL_C = """
import sys, okazja
from tests.test_running import sleep_and_greet

try:
    okazja.run(sleep_and_greet(("127.0.0.1", int(sys.argv[1])), "there", "gone"))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_cancels_it_and_is_raised() -> None:
    with Gate() as gate:
        program = [sys.executable, "-c", CTRL_C, str(gate.address[1])]
        with subprocess.Popen(
            program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
        ) as process:
            assert gate.arrivals(1) == ["there"]
            process.send_signal(signal.SIGINT)
            assert gate.arrivals(1) == ["gone"]
            out, err = process.communicate(timeout=30)
    assert (out, err) == ("interrupted\n", "")


# --- a notebook, played: tests/interop/test_notebook.py has a real kernel


class PlayedShell:
    kernel = object()


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    class IPython:
        get_ipython = PlayedShell

    monkeypatch.setitem(sys.modules, "IPython", IPython)


def in_a_cell(make: Any) -> Any:
    async def cell() -> Any:
        return make()

    coroutine: Coroutine[Any, Any, Any] = cell()
    return asyncio.run(coroutine)


@pytest.mark.usefixtures("notebook")
def test_in_a_notebook_a_thread_runs_it() -> None:
    assert in_a_cell(lambda: okazja.run(double(3))) == 6
    with pytest.raises(LookupError):
        in_a_cell(lambda: okazja.run(fail()))

    async def look() -> tuple[int, str]:
        return variable.get(), threading.current_thread().name

    variable.set(7)
    assert in_a_cell(lambda: okazja.run(look())) == (7, "okazja-run")
    assert "okazja-run" not in {thread.name for thread in threading.enumerate()}
