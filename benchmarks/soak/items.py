"""What workers run: items of many kinds, and what must come of each."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from zlib import crc32

from okazja import Executor, NotPicklable, NotRebuilt, WorkerDied

__all__ = ["INNOCENT", "MIX", "Item", "fits", "make_item", "run"]

EXIT_CODE = 7
ITEM_OF_NESTED = 20


@dataclass(frozen=True)
class Item:
    """number: unique in its pass. load: an array or bytes that travel there and back, whose checksum is ``crc``."""

    number: int
    kind: str
    load: Any = None
    crc: int = 0


class Odd(Exception):
    """Can be pickled, but not rebuilt from its args."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"{number}: {reason}")


def quick(item: Item) -> int:
    return item.number * item.number


def slow(item: Item) -> int:
    time.sleep(0.001 * (item.number % 30))
    return quick(item)


def spin(item: Item) -> int:
    """Holds the GIL, for some milliseconds."""
    sum(range(10_000 * (item.number % 30)))
    return quick(item)


def echo(item: Item) -> tuple[int, Any]:
    return crc32(item.load), item.load


def talk(item: Item) -> int:
    print(f"item {item.number} says hello", flush=True)
    return quick(item)


def nest(item: Item) -> int:
    with Executor("processes", 1) as executor:
        total: int = sum(executor.map(abs, range(ITEM_OF_NESTED)))
        return item.number + total


def fail(item: Item) -> NoReturn:
    raise LookupError(item.number)


def fail_oddly(item: Item) -> NoReturn:
    raise Odd(item.number, "not to be rebuilt")


def return_a_lock(_: Item) -> object:
    return threading.Lock()


def leave(_: Item) -> NoReturn:
    os._exit(EXIT_CODE)


def crash(_: Item) -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(_: Item) -> None:
    time.sleep(3600)


def hang_deaf(_: Item) -> NoReturn:
    """Not to be interrupted: it takes force."""
    while True:
        try:
            time.sleep(3600)
        except BaseException:  # noqa: S112  (not to be interrupted is what it is for)
            continue


WORK: Mapping[str, Callable[[Item], Any]] = {
    "quick": quick,
    "slow": slow,
    "spinning": spin,
    "array": echo,
    "bytes": echo,
    "talking": talk,
    "nested": nest,
    "failing": fail,
    "failing oddly": fail_oddly,
    "returning a lock": return_a_lock,
    "exiting": leave,
    "crashing": crash,
    "hanging": hang,
    "hanging, deaf": hang_deaf,
}

# How many of each there are among some two thousand, in the mean.
MIX: Mapping[str, int] = {
    "quick": 1500,
    "slow": 60,
    "spinning": 60,
    "array": 120,
    "bytes": 120,
    "talking": 40,
    "nested": 1,
    "failing": 60,
    "failing oddly": 12,
    "returning a lock": 12,
    "exiting": 8,
    "crashing": 4,
    "hanging": 2,
    "hanging, deaf": 1,
}

INNOCENT = ("quick", "slow", "spinning", "array", "bytes", "talking")  # and bound to end soon
PATIENCE_NEEDED = ("hanging", "hanging, deaf")


def run(item: Item) -> Any:
    """The function of every call."""
    return WORK[item.kind](item)


def make_item(number: int, kind: str, rng: random.Random) -> Item:
    """An item; arrays and bytes are of any size from nothing to 4 MB, most of them small."""
    if kind == "bytes":
        load = rng.randbytes(int(2 ** rng.uniform(0, 22)) - 1)
        return Item(number, kind, load, crc32(load))
    if kind == "array":
        import numpy as np

        array = np.frombuffer(rng.randbytes(8 * int(2 ** rng.uniform(0, 19))), dtype=np.float64)
        return Item(number, kind, array, crc32(array.tobytes()))
    return Item(number, kind)


def fits(item: Item, value: Any, error: BaseException | None) -> bool:
    """Whether this is what must come of an item whose worker nobody troubled."""
    if item.kind in EXPECTED_ERROR:
        return error is not None and EXPECTED_ERROR[item.kind](item, error)
    if error is not None:
        return False
    if item.kind in ("array", "bytes"):
        seen, back = value
        return bool(seen == item.crc and crc32(back) == item.crc and type(back) is type(item.load))
    if item.kind == "nested":
        return bool(value == item.number + sum(range(ITEM_OF_NESTED)))
    return bool(value == item.number * item.number)


def died_with(exitcode: int) -> Callable[[Item, BaseException], bool]:
    return lambda _, error: isinstance(error, WorkerDied) and error.exitcode == exitcode


EXPECTED_ERROR: Mapping[str, Callable[[Item, BaseException], bool]] = {
    "failing": lambda item, error: isinstance(error, LookupError) and error.args == (item.number,),
    "failing oddly": lambda _, error: isinstance(error, NotRebuilt),
    "returning a lock": lambda _, error: isinstance(error, NotPicklable),
    "exiting": died_with(EXIT_CODE),
    "crashing": died_with(-signal.SIGSEGV),
    "hanging": lambda _, error: isinstance(error, TimeoutError),
    "hanging, deaf": lambda _, error: isinstance(error, TimeoutError),
}
