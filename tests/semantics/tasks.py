"""Functions that workers import, so that they travel by reference."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

request: ContextVar[str] = ContextVar("request", default="nobody's")


def double(number: int) -> int:
    return 2 * number


def identity(value: Any) -> Any:
    return value


def add(left: int, right: int = 10) -> int:
    return left + right


def pid(_: object = None) -> int:
    return os.getpid()


def fail(number: int) -> NoReturn:
    raise ValueError(f"no {number}")


def fail_on_odd(number: int) -> int:
    if number % 2:
        raise ValueError(f"no {number}")
    return number


def current_request(_: object = None) -> str:
    return request.get()


def set_request(value: str) -> str:
    before = request.get()
    request.set(value)
    return before


def record(path: str, number: int) -> int:
    """Leave a line in a file; appending so little is atomic."""
    with Path(path).open("a") as file:
        file.write(f"{number}\n")
    return number


def wait_for(path: str) -> str:
    """Block until somebody writes into the fifo."""
    return Path(path).read_text()


def announce_and_wait_for(marker: str, path: str) -> str:
    Path(marker).touch()
    return wait_for(path)


def write_to(path: str) -> str:
    """Block until somebody reads from the fifo, and write into it."""
    Path(path).write_text("written")
    return "wrote"


def meet(item: tuple[str, int] | int) -> int:
    """Numbers pass; of a pair with one path, each waits for the other."""
    if isinstance(item, int):
        return item
    path, side = item
    if side:
        write_to(path)
    else:
        wait_for(path)
    return -1


def hold_the_gil(marker: str) -> None:
    """Compute in C for a long time, with no chance for another thread or a signal handler."""
    Path(marker).touch()
    pow(3, 10**9)


def thread_holds_the_gil_afterwards(seconds: float) -> str:
    """Return, with a thread that takes the GIL as soon as the main thread lets go of it, and keeps it."""
    exponent = 10**6
    start = time.perf_counter()
    pow(3, exponent)
    exponent = int(exponent * (seconds / (time.perf_counter() - start)) ** (1 / 1.585))
    started = threading.Event()

    def compute() -> None:
        started.set()
        time.sleep(0)
        pow(3, exponent)

    threading.Thread(target=compute, daemon=True).start()
    started.wait(10)
    return "returned"


class Unpicklable:
    """Says so when it is pickled."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("this one stays here")


class Holder:
    """Holds something under a name."""

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def size(self) -> int:
        return 1


class Counter:
    """Its method goes by value."""

    def __init__(self, start: int) -> None:
        self.start = start

    def get(self, _: object = None) -> int:
        return self.start


class KillsWhenUnpickled:
    """Kills the process that rebuilds it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (43,)


class RaisesWhenUnpickled:
    """Fails in the process that rebuilds it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return fail, (7,)


class Odd(Exception):
    """Can't be rebuilt from its args."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def make_unpicklable(number: int) -> object:
    return Holder(Unpicklable()) if number == 3 else number


def make_bomb(number: int) -> object:
    return RaisesWhenUnpickled() if number == 3 else number


def raise_odd(number: int) -> int:
    if number == 3:
        raise Odd(1, number)
    return number


def raise_unpicklable(number: int) -> int:
    if number == 3:
        raise ValueError("holds", Unpicklable())
    return number


def raise_system_exit(number: int) -> int:
    if number == 3:
        sys.exit(9)
    return number


def raise_keyboard_interrupt(number: int) -> int:
    if number == 3:
        raise KeyboardInterrupt
    return number


async def coroutine(number: int = 0) -> int:
    return number


async def async_generator() -> AsyncIterator[int]:
    yield 1


def sometimes_a_coroutine(number: int) -> Any:
    return coroutine(number) if number % 1000 == 999 else number


def calls_coroutine(number: int = 0) -> Any:
    return coroutine(number)


def generator(number: int = 0) -> Any:
    yield number


def decorated(function: Any) -> Any:
    @wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args, 1)

    return wrapper


@decorated
def takes_two(left: int, right: int) -> int:
    return left + right


def exit_now(*_: object) -> NoReturn:
    os._exit(17)


def fail_in_initializer() -> NoReturn:
    raise LookupError("no configuration")
