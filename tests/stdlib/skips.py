"""Which of CPython's tests are not held against okazja, one by one, each with its reason.

A reason is of one of two classes. "Internals": the test reads or replaces parts of the standard library's own
implementation, or its spelling. "Better": the test demands a broken pool where okazja reports one item and goes on,
or silence where it says what is wrong. A test that okazja fails for any other reason is a defect, and has no place
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["SKIPS", "Skip"]


@dataclass(frozen=True, slots=True)
class Skip:
    """One test of CPython's that is skipped; on the kinds of executors that are named, or on all."""

    test: str
    why: Literal["internals", "better"]
    reason: str
    kinds: tuple[str, ...] = ()


NOT_FORK = ("Processes", "Spawn", "Forkserver")

SKIPS = (
    # --- the classes for pools of threads
    Skip("test_thread_names_default", "internals", "wants threads to be called ThreadPoolExecutor-..."),
    # --- the classes for pools of processes
    Skip(
        "test_killed_child",
        "better",
        "wants the pool to refuse work once a worker was killed; okazja fails what it ran, and replaces it",
    ),
    Skip("test_max_tasks_per_child_defaults_to_spawn_context", "internals", "reads _mp_context"),
    Skip("test_python_finalization_error", "internals", "replaces what starts the pool's second thread"),
    Skip("test_traceback", "internals", "wants the private class _RemoteTraceback for the cause of an error"),
    Skip(
        "test_saturation",
        "internals",
        "counts processes that were started for calls whose semaphore can't be pickled",
        kinds=NOT_FORK,
    ),
    Skip(
        "test_processes_terminate",
        "internals",
        "counts processes that were started for calls whose semaphore can't be pickled",
        kinds=NOT_FORK,
    ),
    Skip(
        "test_del_shutdown",
        "internals",
        "joins _executor_manager_thread and _call_queue",
        kinds=("Fork", *NOT_FORK),
    ),
    Skip(
        "test_shutdown_no_wait",
        "internals",
        "joins _executor_manager_thread and _call_queue",
        kinds=("Fork", *NOT_FORK),
    ),
    Skip(
        "test_submit_after_interpreter_shutdown",
        "internals",
        "wants the words 'RuntimeError: cannot schedule new futures' in a traceback, where a subclass is named",
    ),
    # --- deadlocks
    Skip(
        "test_error_at_task_unpickle",
        "better",
        "wants a broken pool; okazja gives the call the error that its argument raised",
    ),
    Skip(
        "test_exit_at_task_unpickle",
        "better",
        "wants a broken pool; okazja gives the call the SystemExit that its argument raised",
    ),
    Skip(
        "test_error_during_result_unpickle_in_result_handler",
        "better",
        "wants a broken pool; okazja gives the call the error that its result raised",
    ),
    Skip(
        "test_exit_during_result_unpickle_in_result_handler",
        "better",
        "wants a broken pool; okazja gives the call the SystemExit that its result raised, as a cause",
    ),
    Skip("test_shutdown_deadlock_pickle", "internals", "joins _executor_manager_thread"),
    Skip(
        "test_gh105829_should_not_deadlock_if_wakeup_pipe_full",
        "internals",
        "replaces _ExecutorManagerThread and _ThreadWakeup",
    ),
)
