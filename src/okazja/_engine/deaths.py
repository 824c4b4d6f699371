"""What is said when workers die, or can't start."""

from __future__ import annotations

import signal

from okazja._core.messages import Call, Died
from okazja._core.scheduler import MAX_START_DEATHS
from okazja.errors import ExecutorBroken, WorkerDied, describe

__all__ = ["backend_failed", "fresh", "start_failed", "worker_died", "workers_die_at_start"]


def worker_died(death: Died, call: Call, killed_by: str, memory_limit: int | None = None) -> WorkerDied:
    """The error of the item that a worker ran when it died; ``killed_by``: the method that ended it, if one did."""
    how = _how_it_ended(death.exitcode)
    if killed_by:
        how += f", because of {killed_by}()"
    elif memory_limit is not None and death.exitcode is not None and death.exitcode < 0:
        how += f" (its memory_limit is {memory_limit} bytes)"
    return WorkerDied(
        f"the worker process {death.pid} {how} while it ran {call.fn.name}", death.pid, death.exitcode
    )


def workers_die_at_start(death: Died) -> ExecutorBroken:
    """The error for all calls when workers die over and over before they are ready."""
    why = death.reason or _how_it_ended(death.exitcode)
    return ExecutorBroken(
        f"{MAX_START_DEATHS} workers in a row died while they started; the last one {why}. "
        f"Look at the initializer, at memory limits, and at what the workers print"
    )


def fresh(error: BaseException) -> BaseException:
    """A copy for one future or raise, so that tracebacks don't pile up on the shared one."""
    copy = ExecutorBroken(*error.args) if type(error) is ExecutorBroken else error
    copy.__cause__ = error.__cause__
    return copy


def backend_failed(cause: BaseException) -> ExecutorBroken:
    """The error for all calls when the backend itself can't go on."""
    error = ExecutorBroken(f"the executor can't go on: {describe(cause)}")
    error.__cause__ = cause
    return error


def start_failed(cause: BaseException) -> ExecutorBroken:
    error = ExecutorBroken(f"the initializer failed, so no call can run: {describe(cause)}")
    error.__cause__ = cause
    return error


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is None:
        return "ended in a way that nobody could see"
    if exitcode >= 0:
        return f"exited with status {exitcode}"
    try:
        return f"was killed by {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"was killed by signal {-exitcode}"
