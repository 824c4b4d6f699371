"""Exceptions and values whose own methods misbehave, and the tasks that raise and return them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import types
from dataclasses import dataclass
from typing import Any, NoReturn


class StrRaises(Exception):
    def __str__(self) -> str:
        raise ValueError("from __str__")

    __repr__ = __str__


class StrExits(Exception):
    def __str__(self) -> str:
        raise SystemExit("from __str__")

    __repr__ = __str__


class StrRecurses(Exception):
    def __str__(self) -> str:
        return str(self)

    __repr__ = __str__


class StrIsHuge(Exception):
    def __str__(self) -> str:
        return "x" * 30_000_000

    __repr__ = __str__


class StrKills(Exception):
    def __str__(self) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"


def raises(error: type[BaseException]) -> NoReturn:
    raise error


class Reduces(Exception):
    """Its ``__reduce__`` raises something."""

    error: type[BaseException]

    def __reduce__(self) -> tuple[Any, ...]:
        raise self.error()


class Rebuilds(Exception):
    """Whoever rebuilds it gets something raised."""

    error: type[BaseException]

    def __reduce__(self) -> tuple[Any, ...]:
        return raises, (self.error,)


class BecomesANumber(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return int, (3,)


class ReduceRecurses(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return self.__reduce__()


class OwnInit(Exception):
    """Can't be rebuilt from its args."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@dataclass(frozen=True)
class Frozen(Exception):
    """Nobody may assign to its attributes, not even a cause."""

    code: int = 5

    def __reduce__(self) -> tuple[Any, ...]:
        return Frozen, (self.code,)  # what it inherits assigns to attributes


class Value:
    """As ``Reduces`` and ``Rebuilds``, for results."""

    def __init__(self, when: str, error: type[BaseException]) -> None:
        self.when = when
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        if self.when == "pickled":
            raise self.error()
        return raises, (self.error,)


AWKWARD: dict[str, type[BaseException]] = {
    "StrRaises": StrRaises,
    "StrExits": StrExits,
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
}


def _named(base: type[Exception], name: str) -> type[Exception]:
    made = type(f"{base.__name__}With{name}", (base,), {"error": AWKWARD[name], "__module__": __name__})
    globals()[made.__name__] = made  # so that it is found here when it is pickled
    return made


REDUCES = {f"reduces with {name}": _named(Reduces, name) for name in AWKWARD}
REBUILDS = {f"rebuilds with {name}": _named(Rebuilds, name) for name in AWKWARD}

# What a task may raise, and the type that the caller gets where it has to travel.
ERRORS: dict[str, tuple[type[BaseException], str]] = {
    "str raises": (StrRaises, "StrRaises"),
    "str exits": (StrExits, "StrExits"),
    "str recurses": (StrRecurses, "StrRecurses"),
    "str is huge": (StrIsHuge, "StrIsHuge"),
    "becomes a number": (BecomesANumber, "NotRebuilt"),
    "reduce recurses": (ReduceRecurses, "NotPicklable"),
    "frozen": (Frozen, "Frozen"),
    **{name: (error, "NotPicklable") for name, error in REDUCES.items()},
    **{name: (error, "NotRebuilt") for name, error in REBUILDS.items()},
}

BASES: dict[str, type[BaseException]] = {
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "MemoryError": MemoryError,
    "BaseException": BaseException,
}


def raise_error(name: str) -> NoReturn:
    raise ERRORS[name][0]


def raise_base(name: str) -> NoReturn:
    raise BASES[name]("from the task")


def return_value(when: str, name: str) -> Value:
    return Value(when, AWKWARD[name])


def raise_own_init() -> NoReturn:
    raise OwnInit(1, 2)


def raise_str_kills() -> NoReturn:
    raise StrKills


def raise_local() -> NoReturn:
    class Local(Exception):
        pass

    raise Local("known to the worker only")


def raise_from_a_module_of_the_worker() -> NoReturn:
    module = types.ModuleType("only_in_the_worker")
    exec("class Hidden(Exception): pass", module.__dict__)
    sys.modules[module.__name__] = module
    hidden: type[Exception] = module.Hidden
    raise hidden("where nobody looks")


def raise_a_group() -> NoReturn:
    inner = ExceptionGroup("inner", [KeyError("key")])
    error = ExceptionGroup("outer", [ValueError("one"), inner])
    error.add_note("a note on the group")
    raise error


def raise_a_group_that_cant_travel() -> NoReturn:
    raise ExceptionGroup("outer", [ValueError("one"), REDUCES["reduces with StrRaises"]("two")])


def raise_chained() -> NoReturn:
    try:
        try:
            raise KeyError("the first")
        except KeyError as error:
            raise LookupError("the second") from error
    except LookupError as error:
        error.add_note("a note on the second")
        raise ValueError("the third") from error


def recurse() -> int:
    return 1 + recurse()


def nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


def return_nested() -> list[Any]:
    return nested(100_000)


def want_memory() -> bytearray:
    return bytearray(1 << 60)
