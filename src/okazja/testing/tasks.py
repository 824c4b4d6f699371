# ruff: noqa: D101, D102, D103  (the name of a task says what it does)
"""The tasks of the checks: functions of a module, so that workers anywhere can import them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Executor
from contextvars import ContextVar
from pathlib import Path
from tempfile import mkstemp
from time import sleep
from typing import Any

from okazja.testing.gate import Address, greet, wait_at

COLOUR: ContextVar[str] = ContextVar("colour", default="none")
NAP = 0.1  # seconds
_settings: dict[str, Any] = {}  # of the process that runs the initializer


class Thing:
    """An object that a weak reference can watch."""

    def method(self) -> str:
        return "method"


class Farewell:
    """Greets a gate when its copy in another process goes away."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.home = os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.home:
            greet(self.address, "gone")


class CustomError(Exception):
    """Has attributes and arguments to get lost on the way."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)
        self.code = code


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("this object stays where it is")


class NotRebuildable(Exception):
    """Can be pickled; but ``type(error)(*error.args)``, the way back, fails."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)
        self.second = second


def square(number: int) -> int:
    return number * number


def add(left: int, right: int) -> int:
    return left + right


def echo(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def identity(value: Any) -> Any:
    return value


def make_thing(_: object = None) -> Thing:
    return Thing()


def type_name(value: object) -> str:
    return type(value).__name__


def pid(_: object = None) -> int:
    return os.getpid()


def wait_and_return(address: Address, value: Any) -> Any:
    wait_at(address, str(value))
    return value


def wait_unless_first(address: Address, folder: str, number: int) -> int:
    """Notes the number; all but 0 wait."""
    note(folder, number)
    if number:
        wait_at(address, str(number))
    return number


def note(folder: str, number: int) -> int:
    """Leave a file behind, one for each time that this runs, in whichever process."""
    file, _ = mkstemp(prefix=f"{number}-", dir=folder)
    os.close(file)
    return number


def noted(folder: str) -> list[int]:
    """The numbers noted so far, sorted; one that ran twice is there twice."""
    return sorted(int(path.name.split("-")[0]) for path in Path(folder).iterdir())


def fail(message: str = "no luck", code: int = 7) -> None:
    raise CustomError(message, code)  # this very line is in the traceback


def raise_it(error: BaseException) -> None:
    raise error


def raise_kind(kind: type[BaseException]) -> None:
    raise kind("from the task")


def raise_not_rebuildable() -> None:
    raise NotRebuildable("first", "second")


def return_unpicklable() -> Unpicklable:
    return Unpicklable()


def fail_on_three(number: int) -> int:
    if number == 3:
        raise CustomError("three", number)
    return number


def die_on_three(number: int) -> int:
    if number == 3:
        os._exit(5)
    return number


def set_up(value: Any) -> None:
    """For initializers."""
    _settings["value"] = value


def what_was_set_up(_: object = None) -> Any:
    return _settings.get("value")


def fail_to_set_up() -> None:
    raise CustomError("the initializer fails", 1)


def colour(_: object = None) -> str:
    return COLOUR.get()


def change_colour(new: str) -> str:
    COLOUR.set(new)
    return COLOUR.get()


def submit_inside(executor: Executor) -> int:
    return executor.submit(square, 7).result()


def pool_inside(make_executor: Any, options: dict[str, Any]) -> list[int]:
    with make_executor(**options) as executor:
        return list(executor.map(square, range(5)))


def generate() -> Iterator[int]:
    yield 1


async def generate_for_nothing() -> AsyncIterator[int]:
    yield 1


def call_wait_unless_first(arguments: tuple[Address, str, int]) -> int:
    return wait_unless_first(*arguments)


def nap_on_three(number: int) -> None:
    if number == 3:
        sleep(NAP)


def note_and_fail_on_three(arguments: tuple[str, int]) -> int:
    return fail_on_three(note(*arguments))


def fail_the_first_time(arguments: tuple[str, int]) -> int:
    folder, number = arguments
    before = noted(folder)
    note(folder, number)
    if number not in before:
        raise CustomError("the first time", number)
    return number


def loop_on_three(arguments: tuple[str, int]) -> int:
    """At 3 run for ever, and note when that ends."""
    folder, number = arguments
    if number == 3:
        rounds = 0
        try:
            while True:
                rounds += 1
        finally:
            note(folder, number)
    return number


# --- coroutine functions


class Later:
    """Its method and itself are coroutine functions."""

    async def method(self, number: int) -> int:
        return await square_later(number)

    async def __call__(self, number: int) -> int:
        return await square_later(number)


async def square_later(number: int) -> int:
    await asyncio.sleep(0)
    return number * number


def call_square_later(number: int) -> Coroutine[Any, Any, int]:
    return square_later(number)


async def type_name_later(value: object) -> str:
    await asyncio.sleep(0)
    return type(value).__name__


async def raise_later(kind: type[BaseException]) -> None:
    await asyncio.sleep(0)
    raise kind("from the coroutine")


async def cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(3600)


async def set_up_later(value: Any) -> None:
    await asyncio.sleep(0)
    set_up(value)


async def colour_later(_: object = None) -> str:
    await asyncio.sleep(0)
    return COLOUR.get()


async def change_colour_later(new: str) -> str:
    COLOUR.set(new)
    await asyncio.sleep(0)
    return COLOUR.get()


async def sleep_on_three(arguments: tuple[str, int]) -> int:
    """At 3 sleep for an hour, and note when that ends."""
    folder, number = arguments
    if number == 3:
        try:
            await asyncio.sleep(3600)
        finally:
            note(folder, number)
    return number


_kept: list[asyncio.Task[Any]] = []


async def leave_a_task(folder: str) -> None:
    """Leaves a task running that notes when it ends."""
    begun = asyncio.Event()
    _kept[:] = [asyncio.create_task(_sleep_and_note(folder, begun))]
    await begun.wait()


async def _sleep_and_note(folder: str, begun: asyncio.Event) -> None:
    begun.set()
    try:
        await asyncio.sleep(3600)
    finally:
        note(folder, 1)
