"""Every error that okazja raises on purpose, grouped by whose fault it is.

Each one can be pickled: it may have to travel from a worker to the caller.
"""

from __future__ import annotations

import concurrent.futures
import errno
import pickle
from concurrent.futures.process import BrokenProcessPool
from concurrent.futures.thread import BrokenThreadPool

__all__ = [
    "BadInput",
    "Deadlock",
    "ExecutorBroken",
    "ExecutorShutdown",
    "GroupCancelled",
    "GroupClosed",
    "Interrupted",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalInUse",
    "JournalMismatch",
    "JournalUntrusted",
    "LoopRunning",
    "NotPicklable",
    "NotRebuilt",
    "OkazjaError",
    "OwnerDied",
    "OwnerDiedWarning",
    "RecordedFailure",
    "RemoteTraceback",
    "TaskCancelled",
    "TaskTypeError",
    "TooManyFailures",
    "UnknownBackend",
    "UnsupportedHere",
    "UnsupportedParameter",
    "WorkerDied",
    "describe",
    "set_cause",
]

LONGEST = 2_000  # characters of an error's own message that are quoted in another's


def describe(error: BaseException) -> str:
    """The type and the message of an error, whatever its ``__str__`` does: raise, exit, never stop growing."""
    try:
        message = str(error)
    except BaseException as problem:
        message = f"<its message can't be shown: __str__ raised {type(problem).__name__}>"
    if len(message) > LONGEST:
        message = f"{message[:LONGEST]}... ({len(message):,} characters)"
    return f"{type(error).__name__}: {message}"


def set_cause(error: BaseException, cause: BaseException) -> None:
    """``error.__cause__ = cause``, also where the class forbids assignments (a frozen dataclass, say)."""
    BaseException.__setattr__(error, "__cause__", cause)


class OkazjaError(Exception):
    """Base of all errors of okazja."""


# --- the caller's: something to mend in the call ---------------------------------------------------


class BadInput(OkazjaError, ValueError):
    """A value that makes no sense here. Names the value received and the remedy."""


class UnknownBackend(BadInput):
    """No backend has this name."""


class UnsupportedParameter(OkazjaError, TypeError):
    """A parameter that this backend can't honour. It is never ignored silently."""


class UnsupportedHere(OkazjaError, NotImplementedError):
    """Something that this platform or this interpreter does not offer."""


class TaskTypeError(OkazjaError, TypeError):
    """What was given as a task can't be one: a generator function, for instance."""


class ExecutorShutdown(OkazjaError, RuntimeError):
    """The executor was shut down and takes no further work."""


class Deadlock(OkazjaError, RuntimeError):
    """A wait that could never have ended. Says who waits for whom."""


class GroupClosed(OkazjaError, RuntimeError):
    """The group's block has not begun, or is over: it takes no tasks."""


class LoopRunning(OkazjaError, RuntimeError):
    """An event loop runs in this thread already: there a coroutine is awaited, nothing else runs it."""


# --- nobody's: something was to end -----------------------------------------------------------------


class Interrupted(BaseException):
    """Raised inside a task that is to stop: its time is over, its group was cancelled, or Ctrl-C came.

    No ``Exception``, as ``asyncio.CancelledError`` is none: a task that catches all of those ends nevertheless.
    """


class GroupCancelled(OkazjaError, concurrent.futures.CancelledError):
    """The group takes no more tasks, because one has failed, its deadline has passed or it was cancelled."""


# --- the task's: it ended by itself, or what it takes or returns can't travel -----------------------


class TaskCancelled(OkazjaError, concurrent.futures.CancelledError):
    """A coroutine was cancelled from inside, or with the task that awaited its future."""


class NotPicklable(OkazjaError, pickle.PicklingError, TypeError, AttributeError):
    """An argument, a result or an exception can't be pickled. Names the path to the part that can't.

    It is also what ``pickle`` raises in such cases (``PicklingError``, ``TypeError`` or
    ``AttributeError``, depending on the object), so existing ``except`` clauses hold.
    """


class NotRebuilt(OkazjaError, pickle.UnpicklingError):
    """A pickled value or exception arrived whole, but can't be rebuilt from its parts."""


class RemoteTraceback(Exception):
    """The traceback of an error that happened in a worker, as text; the cause of the error itself."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.tb = text  # the name that the standard library's remote traceback has for it

    def __str__(self) -> str:
        return f"\n{self.text}"


class TooManyFailures(OkazjaError):
    """More items of a stream have failed than its ``max_failures`` allows.

    ``failures`` is their number; the error of the last of them is the ``__cause__``.
    """

    def __init__(self, message: str, failures: int = 0) -> None:
        super().__init__(message, failures)
        self.failures = failures

    def __str__(self) -> str:
        return str(self.args[0])


class RecordedFailure(OkazjaError):
    """An item failed in an earlier run, says the journal, and is not run again.

    ``error_type`` is the type that its error had then, ``message`` what it said, ``traceback`` where it came from, as
    text. The error itself is not kept.
    """

    def __init__(self, error_type: str, message: str, traceback: str = "") -> None:
        super().__init__(error_type, message, traceback)
        self.error_type = error_type
        self.message = message
        self.traceback = traceback
        if traceback:
            self.__cause__ = RemoteTraceback(traceback)

    def __str__(self) -> str:
        return f"{self.error_type}: {self.message} (recorded by an earlier run)"


# --- the journal's -------------------------------------------------------------------------------------


class JournalError(OkazjaError):
    """A journal can't be read or written. The message names its path."""


class JournalMismatch(JournalError, ValueError):
    """The journal is of another function, of another version of it, or of items that are named in another way."""


class JournalDamaged(JournalError, ValueError):
    """The file is no journal, or no whole one."""


class JournalInUse(JournalError):
    """Another run writes to this journal."""


class JournalFull(JournalError, OSError):
    """No room is left for the journal. What was recorded is whole; ``errno`` is ENOSPC."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.ENOSPC, message)

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[type[JournalFull], tuple[str]]:
        return JournalFull, (str(self),)


class JournalUntrusted(JournalError):
    """The journal holds pickled values that were not pickled by this user; to unpickle them can run any code."""


# --- the worker's: the task may be innocent ------------------------------------------------------------


class WorkerDied(OkazjaError, BrokenProcessPool):
    """The process that ran this item died. Only this item is affected; the executor goes on.

    ``pid`` is the process that died and ``exitcode`` its exit status as in ``multiprocessing``:
    negative for a signal, ``None`` where nobody could read it.
    """

    def __init__(self, message: str, pid: int | None = None, exitcode: int | None = None) -> None:
        super().__init__(message, pid, exitcode)
        self.pid = pid
        self.exitcode = exitcode

    def __str__(self) -> str:
        return str(self.args[0])


class ExecutorBroken(OkazjaError, BrokenProcessPool, BrokenThreadPool):
    """Workers can't be kept alive (while starting, or in their initializer): no further work is taken."""


# --- of locks and their like: what another user of them has done ------------------------------------------


class OwnerDied(OkazjaError, RuntimeError):
    """The last owner of this lock died while it had it: what the lock protects may be half changed.

    The lock is free again: mend what it protects, and acquire it once more. ``pid`` is the process that died.
    """

    def __init__(self, message: str, pid: int | None = None) -> None:
        super().__init__(message, pid)
        self.pid = pid

    def __str__(self) -> str:
        return str(self.args[0])


class OwnerDiedWarning(RuntimeWarning):
    """As `OwnerDied`, where the lock was taken all the same."""
