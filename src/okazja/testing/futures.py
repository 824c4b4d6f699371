"""What ``submit`` gives: a future, its end, and those who wait for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import traceback
from collections.abc import Callable
from typing import Any

from okazja.testing import tasks
from okazja.testing.check import Maker, caught, needs
from okazja.testing.gate import PATIENCE, Gate
from okazja.testing.reports import Reports


def check_result_of_a_call(make: Maker) -> None:
    """``submit`` passes all arguments on, whatever their names, and gives a ``concurrent.futures.Future``."""
    with make() as executor:
        future = executor.submit(tasks.echo, 1, [2], self=3, fn=4)
        assert isinstance(future, concurrent.futures.Future)
        assert future.result(PATIENCE) == ((1, [2]), {"self": 3, "fn": 4})
        assert future.exception(PATIENCE) is None
        assert future.done()
        assert not future.cancelled()
        assert not future.running()
        assert not future.cancel()


def check_error_of_a_call(make: Maker) -> None:
    """What a call raises is what ``result`` raises, each time, with its attributes, and ``exception`` returns it."""
    with make() as executor:
        future = executor.submit(tasks.fail, "no", code=3)
        for _ in range(2):
            error = raised_by(future)
            assert type(error) is tasks.CustomError, repr(error)
            assert error.args == ("no", 3)
            assert error.code == 3
        assert future.exception(PATIENCE) is error


def check_traceback_of_an_error(make: Maker) -> None:
    """The traceback of an error shows the line of the task that raised it, with its source."""
    with make() as executor:
        error = raised_by(executor.submit(tasks.fail))
    text = "".join(traceback.format_exception(error))
    assert "# this very line is in the traceback" in text, text


def check_base_exceptions_are_errors_of_their_call(make: Maker) -> None:
    """SystemExit, KeyboardInterrupt and GeneratorExit from a task are reported for it; the executor goes on."""
    with make(max_workers=1) as executor:
        for kind in (SystemExit, KeyboardInterrupt, GeneratorExit):
            error = executor.submit(tasks.raise_kind, kind).exception(PATIENCE)
            assert type(error) is kind, repr(error)
            assert error.args == ("from the task",)
            assert executor.submit(tasks.square, 3).result(PATIENCE) == 9


def check_callbacks(make: Maker) -> None:
    """A callback is called once, with its future, also when added late; one that raises disturbs nobody."""
    called: list[tuple[str, Any]] = []
    done = threading.Event()

    def early(future: Any) -> None:
        called.append(("early", future))
        done.set()

    def bad(_: object) -> None:
        raise LookupError("from the callback")

    with Reports("concurrent.futures") as reports, make() as executor, Gate() as gate:
        if make.traits.concurrent:
            future = executor.submit(tasks.wait_and_return, gate.address, 1)
        else:
            future = executor.submit(tasks.identity, 1)
        future.add_done_callback(bad)
        future.add_done_callback(early)
        gate.open()
        assert done.wait(PATIENCE), "the callback was not called"
        future.add_done_callback(lambda late: called.append(("late", late)))
    assert called == [("early", future), ("late", future)]
    assert len(reports.texts) == 1


def check_wait_and_as_completed(make: Maker) -> None:
    """``concurrent.futures.wait`` and ``as_completed`` take the futures."""
    with make() as executor:
        futures = {executor.submit(tasks.square, number): number for number in range(6)}
        for future in concurrent.futures.as_completed(futures, timeout=PATIENCE):
            assert future.result() == futures[future] ** 2
        done, pending = concurrent.futures.wait(futures, timeout=PATIENCE)
        assert done == set(futures)
        assert not pending


@needs(lambda traits: traits.concurrent)
def check_two_calls_run_at_once(make: Maker) -> None:
    """With two workers, two calls that were submitted, or two items of a map, run at the same time."""
    with make(max_workers=2) as executor:
        with Gate() as gate:
            futures = [executor.submit(tasks.wait_and_return, gate.address, number) for number in range(2)]
            assert sorted(gate.arrivals(2)) == ["0", "1"]
            assert all(future.running() for future in futures)
        assert [future.result(PATIENCE) for future in futures] == [0, 1]
        with Gate() as gate:
            results = executor.map(tasks.wait_and_return, [gate.address] * 2, "ab")
            assert sorted(gate.arrivals(2)) == ["a", "b"]
        assert list(results) == ["a", "b"]


@needs(lambda traits: traits.concurrent)
def check_long_call_holds_back_no_other(make: Maker) -> None:
    """While one worker is busy, the calls behind it run on the other, however many were quick before."""
    with make(max_workers=2) as executor:
        for future in [executor.submit(tasks.square, number) for number in range(50)]:
            future.result(PATIENCE)
        with Gate() as gate:
            long = executor.submit(tasks.wait_and_return, gate.address, 1)
            gate.arrivals(1)
            quick = [executor.submit(tasks.square, number) for number in range(50)]
            done, _ = concurrent.futures.wait(quick, timeout=PATIENCE)
            assert len(done) == len(quick), f"{len(quick) - len(done)} calls wait behind a long one"
            assert not long.done()


@needs(lambda traits: traits.concurrent)
def check_timeouts(make: Maker) -> None:
    """``result`` and ``exception`` raise TimeoutError when the time is over, and the call goes on."""
    with make() as executor:
        with Gate() as gate:
            future = executor.submit(tasks.wait_and_return, gate.address, 5)
            for look in (future.result, future.exception):
                assert type(caught(look, 0.01)) is TimeoutError
        assert future.result(PATIENCE) == 5


@needs(lambda traits: traits.concurrent)
def check_cancel(make: Maker) -> None:
    """``cancel`` is False once a call runs; it succeeds behind busy workers, and then the call never runs."""
    with make(max_workers=1) as executor, Gate() as gate, Gate() as never:
        running = executor.submit(tasks.wait_and_return, gate.address, 1)
        gate.arrivals(1)
        waiting = [executor.submit(tasks.wait_and_return, never.address, number) for number in range(10)]
        assert not running.cancel()
        assert waiting[-1].cancel()
        assert waiting[-1].cancelled()
        assert type(caught(waiting[-1].result, PATIENCE)) is concurrent.futures.CancelledError
        gate.open()
        cancelled = [future for future in waiting if future.cancel()]
        assert waiting[-1] in cancelled
        never.open()
        for number, future in enumerate(waiting):
            assert future in cancelled or future.result(PATIENCE) == number
        assert running.result(PATIENCE) == 1


@needs(lambda traits: traits.extended)
def check_function_is_taken_as_it_is(make: Maker) -> None:
    """Each ``submit`` and ``map`` takes a function with the values that it refers to then, not earlier ones."""
    with make(max_workers=1) as executor:
        for number in range(3):
            function = _adding(number)
            assert executor.submit(function, 10).result(PATIENCE) == 10 + number
            assert list(executor.map(function, [20, 30])) == [20 + number, 30 + number]
        counter = 0

        def counted() -> int:
            return counter

        for counter in range(3):
            assert executor.submit(counted).result(PATIENCE) == counter


def _adding(amount: int) -> Callable[[int], int]:
    return lambda number: number + amount


@needs(lambda traits: traits.extended)
def check_await(make: Maker) -> None:
    """A future can be awaited: for its result, and for its error."""

    async def main() -> None:
        assert await executor.submit(tasks.square, 4) == 16
        future = executor.submit(tasks.fail)
        try:
            await future
        except tasks.CustomError:
            pass
        else:
            raise AssertionError("awaiting the future of a failed call raised nothing")

    with make() as executor:
        asyncio.run(main())


def check_event_loop(make: Maker) -> None:
    """Asyncio takes the executor in ``run_in_executor`` and its futures in ``wrap_future``."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(executor, tasks.square, 5) == 25
        assert await asyncio.wrap_future(executor.submit(tasks.square, 6)) == 36

    with make() as executor:
        asyncio.run(main())


@needs(lambda traits: traits.shares_memory)
def check_task_submits_to_its_executor(make: Maker) -> None:
    """A task may submit to the executor that runs it, and wait, while a worker is free."""
    with make(max_workers=2) as executor:
        assert executor.submit(tasks.submit_inside, executor).result(PATIENCE) == 49


def check_executor_inside_a_task(make: Maker) -> None:
    """A task may open an executor of the same kind, use it, and shut it down."""
    options = {"max_workers": 2} if make.traits.concurrent else {}
    with make(max_workers=1) as executor:
        future = executor.submit(tasks.pool_inside, make.make_executor, options)
        assert future.result(PATIENCE) == [0, 1, 4, 9, 16]


@needs(lambda traits: not traits.shares_memory)
def check_what_can_not_travel(make: Maker) -> None:
    """An argument, result or exception that can't be pickled or rebuilt is an error of its call alone, never a hang."""
    with make(max_workers=1) as executor:
        failing = [
            executor.submit(tasks.identity, tasks.Unpicklable()),
            executor.submit(tasks.return_unpicklable),
            executor.submit(tasks.raise_not_rebuildable),
        ]
        assert executor.submit(tasks.square, 3).result(PATIENCE) == 9
        for future in failing:
            assert isinstance(future.exception(PATIENCE), Exception)


@needs(lambda traits: traits.extended)
def check_what_can_not_be_a_task(make: Maker) -> None:
    """A generator function, asynchronous or not, or what can't be called, is a TypeError at ``submit`` and ``map``."""
    with make() as executor:
        for bad in (tasks.generate, tasks.generate_for_nothing, None, 5):
            assert isinstance(caught(executor.submit, bad), TypeError), f"submit takes {bad!r}"
            assert isinstance(caught(executor.map, bad, []), TypeError), f"map takes {bad!r}"


def raised_by(future: concurrent.futures.Future[Any]) -> Any:
    """What ``result`` raises."""
    error = caught(future.result, PATIENCE)
    assert error is not None, "result() raised nothing"
    return error
