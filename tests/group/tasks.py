"""Tasks of groups. Those that end late leave a line in a file, so that a test sees what ran in a worker."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import okazja
from okazja.testing.gate import Address, greet, wait_at

LONG = 60.0  # seconds; no test waits for so long


def square(n: int) -> int:
    return n * n


def fail(what: str = "as told") -> None:
    raise LookupError(what)


def arrive_and_fail(address: Address) -> None:
    wait_at(address, "fails")
    fail()


def note(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(f"{text}\n")


def sleep_and_note(address: Address, path: Path) -> None:
    """Sleep until interrupted, and say whether ``finally`` blocks have run."""
    try:
        greet(address, "sleeps")
        time.sleep(LONG)
    finally:
        note(path, "cleaned up")


def stubborn(address: Address, path: Path) -> None:
    """Go on after an interrupt: only a kill ends it."""
    while True:
        try:
            greet(address, "stubborn")
            time.sleep(LONG)
        except BaseException:
            note(path, "goes on")


def wait_for_token(address: Address) -> str:
    """Look at the token as a task on a thread does."""
    token = okazja.current_token()
    greet(address, "waits")
    return "told" if token.wait(LONG) else "forgotten"


def check_token(address: Address) -> None:
    token = okazja.current_token()
    greet(address, "waits")
    token.wait(LONG)
    token.check()


def token_in_finally(address: Address, path: Path) -> None:
    token = okazja.current_token()
    try:
        greet(address, "sleeps")
        time.sleep(LONG)
    finally:
        note(path, f"{token.is_set()} {okazja.current_token().is_set()}")


def kill_me(address: Address) -> None:
    wait_at(address, "dies")
    os.kill(os.getpid(), signal.SIGKILL)


def thread_name() -> str:
    return threading.current_thread().name


def process_id() -> int:
    return os.getpid()


def inner_group(address: Address, path: Path) -> None:
    """A group on processes inside of a task."""
    with okazja.Group("processes") as group:
        group.submit(sleep_and_note, address, path)


async def nap(seconds: float, value: int = 0) -> int:
    await asyncio.sleep(seconds)
    return value


async def fail_soon() -> None:
    await asyncio.sleep(0)
    fail()


async def nap_and_note(address: Address, path: Path) -> None:
    try:
        greet(address, "naps")
        await asyncio.sleep(LONG)
    finally:
        note(path, "cleaned up")
