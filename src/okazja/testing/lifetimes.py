"""What an executor keeps alive: nothing that is done."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from okazja.testing import tasks
from okazja.testing.check import Maker, needs
from okazja.testing.gate import PATIENCE, Gate


class Watch:
    """Waits for an object to go away, without the help of the garbage collector."""

    def __init__(self, thing: Any) -> None:
        self._gone = threading.Event()
        self._watch = weakref.ref(thing, self._set)

    def _set(self, _: object) -> None:
        # The free-threaded build may run this inside `wait`, which holds the event's lock.
        threading.Thread(target=self._gone.set).start() if _NO_GIL else self._gone.set()

    def see_it_gone(self, what: str) -> None:
        """Raises AssertionError if it stays."""
        if _NO_GIL:
            gc.collect()  # merges the reference counts of other threads
        if not self._gone.wait(PATIENCE / 10):
            thing = self._watch()
            holders = (
                [type(holder).__name__ for holder in gc.get_referrers(thing)] if thing is not None else []
            )
            raise AssertionError(f"{what} is kept alive by {holders}")


_NO_GIL = not getattr(sys, "_is_gil_enabled", lambda: True)()


def check_arguments_are_let_go(make: Maker) -> None:
    """No argument is kept once its call is done, also when the future was dropped at once, or is kept."""
    with make() as executor:
        kept = _submit_thing(executor, keep=True)
        _submit_thing(executor, keep=False)
        assert kept is not None


def _submit_thing(executor: Any, *, keep: bool) -> Any:
    thing = tasks.Thing()
    watch = Watch(thing)
    future = executor.submit(tasks.type_name, thing)
    if keep:
        assert future.result(PATIENCE) == "Thing"
    else:
        del future
    del thing
    watch.see_it_gone("an argument")
    return future if keep else None


def check_methods_are_let_go(make: Maker) -> None:
    """The object whose method was the task is not kept once the call is done."""
    with make() as executor:
        thing = tasks.Thing()
        watch = Watch(thing)
        executor.submit(thing.method)
        del thing
        watch.see_it_gone("the object of a method")


def check_items_are_let_go(make: Maker) -> None:
    """Items of a map are not kept once they are done, and not beyond the map."""
    with make() as executor:
        things = [tasks.Thing() for _ in range(5)]
        watches = [Watch(thing) for thing in things]
        assert list(executor.map(tasks.type_name, things)) == ["Thing"] * 5
        things.clear()
        for watch in watches:
            watch.see_it_gone("an item of a map")


def check_results_are_let_go(make: Maker) -> None:
    """A result lives as long as its future, no longer."""
    with make() as executor:
        future = executor.submit(tasks.make_thing)
        watch = Watch(future.result(PATIENCE))
        assert future.result().method() == "method"
        del future
        watch.see_it_gone("a result")


def check_functions_are_let_go(make: Maker) -> None:
    """A function is not kept once its calls are done and its map is at its end."""
    for use in (_call, _map_over):
        if make.traits.shares_memory or make.traits.extended:  # others can't send a closure
            with make() as executor:
                watch = use(executor)
                watch.see_it_gone("a function")


def _closure() -> Callable[[int], int]:
    base = 10
    return lambda number: base + number


def _call(executor: Any) -> Watch:
    function = _closure()
    assert executor.submit(function, 1).result(PATIENCE) == 11
    return Watch(function)


def _map_over(executor: Any) -> Watch:
    function = _closure()
    assert list(executor.map(function, [1, 2])) == [11, 12]
    return Watch(function)


def check_initargs_are_let_go(make: Maker) -> None:
    """After ``shutdown`` nothing keeps the arguments of the initializer, which may be queues and locks."""
    thing = tasks.Thing()
    watch = Watch(thing)
    executor = make(initializer=tasks.set_up, initargs=(thing,))
    del thing
    assert executor.submit(tasks.set_up, None).result(PATIENCE) is None  # lets go of it in this process
    executor.shutdown()
    del executor
    watch.see_it_gone("an argument of the initializer")


def check_exceptions_are_let_go(make: Maker) -> None:
    """An exception that was raised to the caller is kept by nothing but its future: no cycle through its frames."""
    with make() as executor:
        gc.collect()
        gc.disable()
        try:
            watch = _raised_exception(executor)
            watch.see_it_gone("an exception")
        finally:
            gc.enable()


def _raised_exception(executor: Any) -> Watch:
    future = executor.submit(tasks.fail)
    try:
        future.result(PATIENCE)
    except tasks.CustomError as error:
        watch = Watch(error)
    del future
    return watch


@needs(lambda traits: not traits.shares_memory)
def check_workers_let_go(make: Maker) -> None:
    """A worker keeps no argument and no result of a call that is done, while it has nothing to do."""
    with make(max_workers=1) as executor, Gate() as gate:
        farewell = tasks.Farewell(gate.address)
        assert executor.submit(tasks.type_name, farewell).result(PATIENCE) == "Farewell"
        assert gate.arrivals(1) == ["gone"]
        executor.submit(tasks.identity, farewell).result(PATIENCE)
        assert gate.arrivals(1) == ["gone"]
