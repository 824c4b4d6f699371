"""An error that nobody looks at is reported once, with its traceback, and never raised."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.scripts import eventually, run
from tests.semantics.tasks import fail, fail_on_odd

from okazja import Executor
from okazja._engine import Future


def reports(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    gc.collect()
    return [record for record in caplog.records if record.name == "okazja"]


def test_once_when_the_future_goes_away(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    with Executor(backend) as executor:
        executor.submit(fail, 3)
    [report] = reports(caplog)
    assert "ValueError: no 3" in report.getMessage()
    assert report.exc_info is not None
    assert isinstance(report.exc_info[1], ValueError)
    assert "raise ValueError" in (logging.Formatter().format(report))


def test_not_before_it_does(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    with Executor(backend) as executor:
        future: Future[Any] = executor.submit(fail, 3)
    assert not reports(caplog)
    assert isinstance(future.exception(), ValueError)
    del future
    assert not reports(caplog)


def raise_from(future: Future[Any]) -> None:
    with pytest.raises(ValueError, match="no 3"):
        future.result(30)


def await_it(future: Future[Any]) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="no 3"):
            await future

    asyncio.run(main())


def wrap_it(future: Future[Any]) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="no 3"):
            await asyncio.wrap_future(future)

    asyncio.run(main())


def as_completed(future: Future[Any]) -> None:
    for done in concurrent.futures.as_completed([future], 30):
        assert done.exception() is not None


@pytest.mark.parametrize(
    "look", [raise_from, await_it, wrap_it, as_completed, lambda future: future.exception(30)]
)
def test_not_when_somebody_looked(
    backend: str, look: Callable[[Future[Any]], None], caplog: pytest.LogCaptureFixture
) -> None:
    with Executor(backend) as executor:
        future: Future[Any] = executor.submit(fail, 3)
        look(future)
        del future
    assert not reports(caplog)


def test_not_for_one_that_succeeded_or_was_cancelled(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    with Executor(backend) as executor:
        futures = [executor.submit(abs, -3) for _ in range(3)]
        for future in futures:
            future.cancel()
        del futures, future
    assert not reports(caplog)


def test_waiting_is_not_looking(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    with Executor(backend) as executor:
        future: Future[Any] = executor.submit(fail, 3)
        assert concurrent.futures.wait([future], 30).done == {future}
        assert future.done()
        del future
    assert eventually(lambda: len(reports(caplog)) == 1, 5)


def test_not_raised_over_an_exception_in_flight(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    def block() -> None:
        with Executor(backend) as executor:
            executor.submit(fail, 3)
            raise LookupError("of the block")

    with pytest.raises(LookupError, match="of the block"):
        block()
    assert len(reports(caplog)) == 1


def test_a_map_that_nobody_looks_at_reports_its_failures_once(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Executor(backend) as executor:
        executor.map(fail_on_odd, range(20))
    [report] = reports(caplog)
    assert "10 items" in report.getMessage()


def test_a_map_that_is_looked_at_reports_nothing(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    with Executor(backend) as executor:
        results = executor.map(fail_on_odd, range(3))
    assert next(results) == 0
    with pytest.raises(ValueError, match="no 1"):
        next(results)
    del results
    assert not reports(caplog)


@pytest.mark.parametrize("name", ["serial", "threads", "asyncio", "processes"])
def test_a_script_prints_it_once_although_it_ends_without_shutdown(tmp_path: Path, name: str) -> None:
    script = f"""
        from okazja import Executor

        def fail():
            raise ValueError("no one looks")

        executor = Executor({name!r})
        future = executor.submit(fail)
    """
    done = run(tmp_path, script)
    assert done.returncode == 0
    assert (
        done.stderr.count("a task (fail) failed and nobody looked at its future: ValueError: no one looks")
        == 1
    )
    assert done.stderr.count("in fail") >= 1


def test_not_after_asyncio_has_looked_in_one_step(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From CPython 3.15 on it takes all there is to know with one call; here on any Python."""

    def get_snapshot(future: Any) -> tuple[bool, bool, Any, BaseException | None]:
        return future.done(), future.cancelled(), future._result, future._exception

    def copy(source: Any, destination: asyncio.Future[Any]) -> None:
        done, cancelled, _, error = source._get_snapshot()
        assert done
        assert not cancelled
        destination.set_exception(error)

    monkeypatch.setattr(concurrent.futures.Future, "_get_snapshot", get_snapshot, raising=False)
    monkeypatch.setattr(asyncio.futures, "_copy_future_state", copy)

    async def look(executor: Executor) -> None:
        with pytest.raises(ValueError, match="no 3"):
            await asyncio.wrap_future(executor.submit(fail, 3))

    with Executor("threads") as executor:
        asyncio.run(look(executor))
    assert not reports(caplog)


def test_a_look_before_it_is_done_does_not_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        concurrent.futures.Future, "_get_snapshot", lambda _: (False, False, None, None), raising=False
    )
    future: Future[int] = Future()
    future._get_snapshot()
    future.set_exception(ValueError("no 3"))
    del future
    assert len(reports(caplog)) == 1
