"""An okazja executor as a backend of joblib, and so of scikit-learn.

joblib has no parameter for an executor. It has an interface for backends, `joblib.ParallelBackendBase`, and
this is all that an executor needs of it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from joblib import ParallelBackendBase

from okazja import Executor


class ExecutorBackend(ParallelBackendBase):  # type: ignore[misc]  # joblib ships no types
    """Runs joblib's batches in the executor, which stays open: whoever made it shuts it down."""

    default_n_jobs = -1
    supports_retrieve_callback = True

    def __init__(self, executor: Executor, **options: Any) -> None:
        super().__init__(**options)
        self.executor = executor
        self.supports_sharedmem = self.uses_threads = executor.backend in {"serial", "threads"}
        self.pending: set[Future[Any]] = set()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many batches joblib keeps going: at most one a worker; -1 means all, as elsewhere in joblib."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning: use -1 for all workers")
        workers = self.executor._max_workers
        if n_jobs is None:
            return workers
        return min(n_jobs, workers) if n_jobs > 0 else max(workers + 1 + n_jobs, 1)

    def submit(self, func: Callable[[], Any], callback: Callable[[Future[Any]], Any]) -> Future[Any]:
        """Send one batch; joblib takes its result in the callback."""
        future = self.executor.submit(func)
        self.pending.add(future)
        future.add_done_callback(self.pending.discard)
        future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The batch's results, or its error raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """After an error: take back what has not begun."""
        for future in list(self.pending):
            future.cancel()
