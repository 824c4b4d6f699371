"""okazja: write the work once, choose with one word how it is executed.

The layers; each imports only from those to its right, and ``tests/test_layers.py`` holds this:

cli → jobs, report → measure → watch, check → executor, running → stream, group, journal, progress → _engine → _backends → _worker → sync → _transport → _core → errors

Names are loaded when they are first used, so that ``import okazja`` costs next to nothing.
"""  # noqa: E501  (one line, read by the test)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from okazja._engine import Future, Results
    from okazja._worker.cancellation import CancellationToken, current_token
    from okazja._worker.cpus import cpu_count
    from okazja.errors import (
        BadInput,
        Deadlock,
        ExecutorBroken,
        ExecutorShutdown,
        GroupCancelled,
        GroupClosed,
        Interrupted,
        JournalDamaged,
        JournalError,
        JournalFull,
        JournalInUse,
        JournalMismatch,
        JournalUntrusted,
        LoopRunning,
        NotPicklable,
        NotRebuilt,
        OkazjaError,
        OwnerDied,
        OwnerDiedWarning,
        RecordedFailure,
        RemoteTraceback,
        TaskCancelled,
        TaskTypeError,
        TooManyFailures,
        UnknownBackend,
        UnsupportedHere,
        UnsupportedParameter,
        WorkerDied,
    )
    from okazja.executor import Executor, map  # noqa: A004  (the field's name for it)
    from okazja.group import Group
    from okazja.journal import Journal
    from okazja.measure.compare import compare
    from okazja.measure.timer import timer
    from okazja.progress import Progress
    from okazja.running import run
    from okazja.stream import Outcome
    from okazja.watch.tree import tree

__all__ = [
    "BadInput",
    "CancellationToken",
    "Deadlock",
    "Executor",
    "ExecutorBroken",
    "ExecutorShutdown",
    "Future",
    "Group",
    "GroupCancelled",
    "GroupClosed",
    "Interrupted",
    "Journal",
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
    "Outcome",
    "OwnerDied",
    "OwnerDiedWarning",
    "Progress",
    "RecordedFailure",
    "RemoteTraceback",
    "Results",
    "TaskCancelled",
    "TaskTypeError",
    "TooManyFailures",
    "UnknownBackend",
    "UnsupportedHere",
    "UnsupportedParameter",
    "WorkerDied",
    "compare",
    "cpu_count",
    "current_token",
    "map",
    "run",
    "timer",
    "tree",
]

__version__ = "0.1.0"

_HOME = {
    "CancellationToken": "okazja._worker.cancellation",
    "Executor": "okazja.executor",
    "Future": "okazja._engine",
    "Group": "okazja.group",
    "Journal": "okazja.journal",
    "Outcome": "okazja.stream",
    "Progress": "okazja.progress",
    "Results": "okazja._engine",
    "compare": "okazja.measure.compare",
    "cpu_count": "okazja._worker.cpus",
    "current_token": "okazja._worker.cancellation",
    "map": "okazja.executor",
    "run": "okazja.running",
    "timer": "okazja.measure.timer",
    "tree": "okazja.watch.tree",
}


def _load(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'okazja' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME.get(name, "okazja.errors")), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # a type checker is to know the names above and no others
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
