"""Moments between two steps of the engine at which something else happens, each brought about on purpose."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from okazja import Executor, ExecutorShutdown

Open = Callable[..., Executor]

PATIENCE = 30.0  # seconds for what should take none


def quick(executor: Executor) -> None:
    """Let the executor learn that a function is quick."""
    for number in range(100):
        assert executor.submit(abs, -number).result(PATIENCE) == number


def test_calls_that_find_no_room_when_the_worker_has_just_become_idle_are_sent_again(
    open_executor: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = open_executor(max_workers=1)
    quick(executor)
    backend: Any = executor._engine.backend
    send = backend.send
    refused: list[int] = []

    def full(port: Any, calls: Sequence[Any]) -> Sequence[Any]:
        if threading.current_thread() is threading.main_thread() and len(refused) < 3:
            refused.append(len(calls))
            return calls
        return send(port, calls)  # type: ignore[no-any-return]

    monkeypatch.setattr(backend, "send", full)
    assert [executor.submit(abs, -n).result(PATIENCE) for n in range(5)] == list(range(5))
    assert refused


@pytest.mark.parametrize("place", ["_accept", "_with_ports", "_send"])
@pytest.mark.parametrize("warm", [True, False])
def test_ctrl_c_in_the_middle_of_a_submit_loses_no_other_call(
    open_executor: Open, monkeypatch: pytest.MonkeyPatch, place: str, warm: bool
) -> None:
    executor = open_executor(max_workers=1)
    if warm:
        quick(executor)
    engine: Any = executor._engine
    real = getattr(engine, place)
    armed = [True]

    def interrupted(*args: Any) -> Any:
        if place == "_send" and armed:
            armed.clear()
            signal.raise_signal(signal.SIGINT)
        done = real(*args)
        if armed and threading.current_thread() is threading.main_thread():
            armed.clear()
            signal.raise_signal(signal.SIGINT)
        return done

    monkeypatch.setattr(engine, place, interrupted)
    with pytest.raises(KeyboardInterrupt):
        executor.submit(abs, -1)
    assert executor.submit(abs, -7).result(PATIENCE) == 7
    executor.shutdown()


def test_a_submit_beside_a_shutdown_is_refused_or_runs(
    open_executor: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = open_executor(max_workers=1)
    engine: Any = executor._engine
    ended: list[threading.Thread] = []

    def check_open() -> None:
        type(engine).check_open(engine)
        ended.append(threading.Thread(target=executor.shutdown))
        ended[0].start()
        ended[0].join(PATIENCE)

    monkeypatch.setattr(engine, "check_open", check_open)
    future = executor.submit(abs, -1)
    assert isinstance(future.exception(PATIENCE), ExecutorShutdown)
    assert not executor._broken


def test_a_limit_of_years_is_no_trouble(open_executor: Open) -> None:
    executor = open_executor(max_workers=1)
    outcomes = list(executor.stream(abs, [-1, -2], item_timeout=1e9, ordered=True))
    assert [outcome.value for outcome in outcomes] == [1, 2]


def test_a_broken_wait_does_not_disturb_that_of_another_thread(
    open_executor: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = open_executor(max_workers=1)
    quick(executor)
    backend: Any = executor._engine.backend
    linger = backend.linger

    def broken_off(port: Any, take: Any) -> None:
        backend._lingering.acquire()  # as if it had been broken off right then
        raise KeyboardInterrupt

    monkeypatch.setattr(backend, "linger", broken_off)
    future = executor.submit(abs, -1)
    try:
        future.result(PATIENCE)
    except KeyboardInterrupt:
        pass
    monkeypatch.setattr(backend, "linger", linger)
    assert future.result(PATIENCE) == 1
    assert not backend._lingering.locked()
    quick(executor)
