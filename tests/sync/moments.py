"""Ending a process, or breaking into it, at one exact step of okazja's own code."""

from __future__ import annotations

import dis
import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

from okazja.sync import shared

HOME = str(Path(shared.__file__).parent)

# After these the interpreter looks whether a signal has come (CPython 3.11 to 3.14).
LOOKS = {"RESUME", "CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD"}


class Steps:
    """Counts the bytecodes of `okazja.sync.shared` that the calling thread executes, and acts at one of them."""

    def __init__(self, at: int, action: Callable[[], None], *, signals_only: bool = False) -> None:
        self.at, self.action, self.signals_only = at, action, signals_only
        self.count = 0
        self.done = False
        self.last: dict[int, str] = {}

    def __enter__(self) -> Self:
        gc.disable()  # what other tests have left may have finalizers in there, which would count
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        gc.enable()

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "call" and frame.f_back is not None:
            self.last[id(frame.f_back)] = "RETURN"  # a function in Python returns without such a look
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode" and not self.done:
            last, self.last[id(frame)] = (
                self.last.get(id(frame), ""),
                dis.opname[frame.f_code.co_code[frame.f_lasti]],
            )
            if not self.signals_only or last in LOOKS:
                self.count += 1
                if self.count == self.at:
                    self.done = True
                    sys.settrace(None)
                    self.action()
        return self.trace


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at_each_step(work: Callable[[], object], stride: int = 1, most: int = 2000) -> Iterator[int]:
    """Do ``work`` in a child that dies at its first step, in one that dies ``stride`` steps later, and so on.

    Yields the number of the step each time a child is dead.
    """
    for step in range(1, most, stride):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                with Steps(step, die):
                    work()
                status = 0
            finally:
                os._exit(status)
        _, how = os.waitpid(pid, 0)
        if how != signal.SIGKILL:
            assert how == 0, f"the work failed: {how}"
            return
        yield step
    raise AssertionError(f"not done after {most} steps")


class Broke(BaseException):
    """Breaks in, as a signal handler's exception does."""


def in_a_fork(action: Callable[[], object]) -> int:
    """Call it in a child of this process. What it returns, or 99 where it raised."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        pid = os.fork()
    if not pid:
        status: Any = 99
        try:
            status = int(action() or 0)  # type: ignore[call-overload]
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def broken_into_at_each_step(work: Callable[[], object], most: int = 2000, stride: int = 1) -> Iterator[int]:
    """Do ``work`` with an exception that breaks in at the first place where a signal can, at the second, and so on."""

    def break_in() -> None:
        raise Broke

    yield from done_at_each_step(work, break_in, most, stride)


def done_at_each_step(
    work: Callable[[], object], action: Callable[[], None], most: int = 2000, stride: int = 1
) -> Iterator[int]:
    """Do ``work``, and in its middle what a signal handler does: at the first place where it can, and so on."""
    for step in range(1, most, stride):
        steps = Steps(step, action, signals_only=True)
        try:
            with steps:
                work()
        except Broke:
            pass
        if not steps.done:
            return
        yield step
    raise AssertionError(f"not done after {most} steps")
