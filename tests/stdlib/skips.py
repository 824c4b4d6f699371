"""Which of CPython's tests are not held against okazja, one by one, each with its reason.

A reason is of one of three classes. "Internals": the test reads or replaces parts of the standard library's own
implementation, or its spelling. "Better": the test demands a broken pool where okazja reports one item and goes on,
or silence where it says what is wrong. "Serial": the test waits for a call that goes on meanwhile, and the calling
thread is the one worker. A test that okazja fails for any other reason is a defect, and has no place here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["SKIPS", "Skip"]


@dataclass(frozen=True, slots=True)
class Skip:
    """One test of CPython's that is skipped; on the kinds of executors that are named, or on all."""

    test: str
    why: Literal["internals", "better", "serial"]
    reason: str
    kinds: tuple[str, ...] = ()
    since: tuple[int, int] = (3, 11)  # the first supported version of CPython that has it


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
    Skip(
        "test_python_finalization_error",
        "internals",
        "replaces what starts the pool's second thread",
        since=(3, 13),
    ),
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
        since=(3, 12),
    ),
    # --- the calling thread is the one worker
    Skip(
        "test_map_timeout",
        "serial",
        "wants two results, then TimeoutError while the third call runs",
        kinds=("Serial",),
    ),
    Skip(
        "test_future_times_out", "serial", "wants a call that still runs after its submit", kinds=("Serial",)
    ),
    Skip("test_timeout", "serial", "wants a call that still runs after its submit", kinds=("Serial",)),
    Skip(
        "test_first_completed", "serial", "wants a call that still runs after its submit", kinds=("Serial",)
    ),
    Skip(
        "test_first_completed_some_already_completed",
        "serial",
        "wants a call that still runs after its submit",
        kinds=("Serial",),
    ),
    Skip(
        "test_first_exception", "serial", "wants a call that still runs when another fails", kinds=("Serial",)
    ),
    Skip(
        "test_first_exception_some_already_complete",
        "serial",
        "wants a call that still runs when another fails",
        kinds=("Serial",),
    ),
    Skip(
        "test_first_exception_one_already_failed",
        "serial",
        "wants a call that still runs after its submit",
        kinds=("Serial",),
    ),
    Skip(
        "test_cancel_futures",
        "serial",
        "wants calls that have not started after their submit",
        kinds=("Serial",),
    ),
)
