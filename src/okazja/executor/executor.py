"""The Executor: one class for every backend, a true ``concurrent.futures.Executor``.

    Executor ─▶ Engine (scheduler + backend) ─▶ worker ─▶ Engine.deliver ─▶ Future or Outcome

This is the face: it checks what it is given, then hands over. The engine lives on while it has work, also
when the Executor itself is gone.
"""

from __future__ import annotations

import concurrent.futures
import os
import signal
import threading
import weakref
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from contextvars import ContextVar
from time import monotonic
from typing import Any, Literal, ParamSpec, Self, TypeVar, overload

from okazja._backends import find_backend
from okazja._backends.thread_limits import may_be_daemon
from okazja._core.weight import weight
from okazja._engine import Engine, Future, Results, Run, StreamRun, can_block, library
from okazja._engine.source import Source
from okazja._engine.submission import submit
from okazja._worker.task import check_task
from okazja.errors import TaskTypeError, UnsupportedParameter
from okazja.executor.checks import (
    check_journal,
    check_map,
    check_parameters,
    check_positive,
    check_values,
    check_whole,
    check_workers,
    start_method,
)
from okazja.executor.factories import Factories
from okazja.executor.inputs import (
    AnyIterable,
    journaled,
    length_of,
    loop_of,
    observers_of,
    read_ahead,
    source_of,
)
from okazja.group import Group
from okazja.group.places import Pool
from okazja.progress import Progress
from okazja.stream import Outcome, check_end, outcomes, stream_options, values, weight_of_outcome

__all__ = ["BackendName", "Executor"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
RunT = TypeVar("RunT", bound=Run)

BackendName = Literal["serial", "threads", "asyncio", "processes"]

MIN_MEMORY = 64 << 20  # bytes; what a worker needs for itself is about a third of it


class Executor(Factories, concurrent.futures.Executor):
    """Runs calls with the backend of the given name.

    backend: ``"serial"`` (in the calling thread, at once), ``"threads"``, ``"asyncio"`` (coroutines on an event loop
    in a thread of its own, plain functions on at most ``min(32, cpus + 4)`` threads beside it), or ``"processes"``
    (Linux).
    max_workers: default as in the standard library, with `okazja.cpu_count()` as the CPUs: 1,
    ``min(32, cpus + 4)``, 100, cpus. On asyncio: how many calls run at once, of both kinds together.
    initializer, initargs: called in each worker before its first call; on asyncio once, in the loop's thread. May be a
    coroutine function.
    thread_name_prefix: for threads.
    mp_context: for processes: a ``multiprocessing`` context or the name of a start method (``"fork"``,
    ``"spawn"``, ``"forkserver"``); default: okazja's own zygote, which is as quick as a fork and as
    clean as a spawn, and needs no ``if __name__ == "__main__"``.
    max_tasks_per_child: for processes: items after which a worker is replaced.
    memory_limit: for processes: bytes that a worker may have, the interpreter included and shared memory not; at
    least 64 MiB, default: no limit. An allocation beyond it is a MemoryError of that item alone.
    inner_max_num_threads: for processes: threads that numeric libraries (BLAS, OpenMP) may use in each worker.
    ``"auto"``: all workers together use as many as there are CPUs; None: whatever they do by themselves. Environment
    variables that you have set (``OMP_NUM_THREADS``) win.
    blocked_after: for asyncio: seconds after which a coroutine that blocks the loop is reported, with the line it
    stands on, by the logger ``okazja``; default 0.1, ``float("inf")`` for never.
    context: for processes: the context variables whose values, those of the submitter, tasks shall see;
    on the others tasks see all of them.

    Tasks may be coroutine functions on every backend: a coroutine that a call returns is run to its end, where the call
    was made. In a coroutine of your own write ``async with Executor(...)``, ``await executor.submit(...)`` and
    ``async for``, which never block its event loop.

    Raises UnknownBackend, BadInput (a ValueError), UnsupportedParameter (a TypeError) or UnsupportedHere.
    """

    def __init__(
        self,
        backend: BackendName | str,
        max_workers: int | None = None,
        *,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        mp_context: Any = None,
        max_tasks_per_child: int | None = None,
        context: Sequence[ContextVar[Any]] = (),
        memory_limit: int | None = None,
        blocked_after: float | None = None,
        inner_max_num_threads: int | Literal["auto"] | None = "auto",
    ) -> None:
        backend_type = find_backend(backend)
        check_parameters(
            backend,
            backend_type.capabilities.parameters,
            thread_name_prefix=thread_name_prefix,
            mp_context=mp_context,
            max_tasks_per_child=max_tasks_per_child,
            context=context,
            memory_limit=memory_limit,
            blocked_after=blocked_after,
            inner_max_num_threads=None if inner_max_num_threads == "auto" else inner_max_num_threads,
        )
        workers = check_workers(backend, max_workers)
        check_values(initializer, max_tasks_per_child, context)
        check_positive("blocked_after", blocked_after)
        check_whole("memory_limit", memory_limit, MIN_MEMORY, "bytes")
        if inner_max_num_threads != "auto":
            check_whole("inner_max_num_threads", inner_max_num_threads, 1, 'threads, "auto"')
        self._max_workers = workers
        self._context_vars = tuple(context)
        self._engine = Engine(
            backend_type(),
            backend,
            {
                "initializer": initializer,
                "initargs": tuple(initargs),
                "thread_name_prefix": thread_name_prefix,
                "memory_limit": memory_limit,
                "blocked_after": blocked_after,
                "inner_max_num_threads": inner_max_num_threads,
                "mp_context": start_method(mp_context, max_tasks_per_child),
            },
            workers,
            max_tasks_per_child,
        )
        # The engine is kept alive by its threads, or by its futures; this ends it when nobody can submit.
        finalizer = weakref.finalize(self, self._engine.forget)
        finalizer.atexit = False

    @property
    def backend(self) -> str:
        """The backend's name."""
        return self._engine.backend_name

    @property
    def max_workers(self) -> int:
        """How many workers run at once, at most."""
        return self._max_workers

    def __repr__(self) -> str:
        state = "broken" if self._engine.broken else "" if self._engine.accepting else "shut down"
        return (
            f"<okazja.Executor {self._engine.name} max_workers={self._max_workers}{' ' * bool(state)}{state}>"
        )

    # --- the interface of concurrent.futures --------------------------------------------------------------

    @overload
    def submit(
        self, fn: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...

    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...

    def submit(self, fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Future[Any]:
        """Have ``fn(*args, **kwargs)`` run; returns its future, which can also be awaited.

        Arguments are pickled here, where the backend needs it; if that fails the future has the error.
        Raises TaskTypeError if ``fn`` can't be a task, ExecutorShutdown (a RuntimeError) after shutdown
        and ExecutorBroken (a BrokenExecutor) once workers can't be kept alive.
        """
        future: Future[Any] = Future()
        try:
            submit(self._engine, future, fn, args, kwargs, self._context_vars)
            return future
        finally:
            del future  # the frames of a serial call's exception lead here, see serial.execute

    @overload
    def map(
        self,
        fn: Callable[..., Coroutine[Any, Any, T]],
        *iterables: Iterable[Any] | AsyncIterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        progress: bool | Callable[[Progress], object] = False,
    ) -> Results[T]: ...

    @overload
    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any] | AsyncIterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        progress: bool | Callable[[Progress], object] = False,
    ) -> Results[T]: ...

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any] | AsyncIterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        progress: bool | Callable[[Progress], object] = False,
    ) -> Results[Any]:
        """An iterator, for ``for`` and ``async for``, over ``fn``'s results for the items, in the order of the input.

        Begins at once, draws the input as results are taken, and keeps memory bounded. An error of an
        item is raised in its place. An iterator that was started and is dropped cancels the rest.

        timeout: seconds from now for a result to be there, else TimeoutError. chunksize: items sent to a
        worker at once (default: adapted to how long they take; backends that share memory send each by
        itself). buffersize: items drawn and not yet taken, at most. progress: as for `stream`.
        Raises TypeError if ``fn`` can't take that many arguments.
        """
        check_task(fn)
        check_map(fn, iterables, chunksize, buffersize)
        if timeout is not None and not isinstance(timeout, int | float):
            raise TaskTypeError(f"timeout must be a number of seconds or None, got {timeout!r}")
        self._engine.check_open()
        run = self._run(
            Run,
            fn,
            iterables,
            source_of(iterables, self._engine),
            chunksize=chunksize,
            buffersize=buffersize,
            observers=observers_of(progress, fn),
        )
        deadline = None if timeout is None else monotonic() + timeout
        return Results(values(run, deadline), run, weight)

    def _run(
        self,
        kind: type[RunT],
        fn: Callable[..., Any],
        iterables: tuple[AnyIterable, ...],
        source: Source,
        **options: Any,
    ) -> RunT:
        run = kind(
            self._engine,
            fn,
            source,
            star=len(iterables) != 1,
            length=length_of(iterables),
            context_vars=self._context_vars,
            **options,
        )
        run.needs_loop = loop_of(iterables)
        return run

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work. Maps over sized inputs are seen through; then the workers end.

        wait: return when all is done and the workers are gone. cancel_futures: cancel what has not begun.
        """
        self._engine.shutdown(wait=wait, cancel_futures=cancel_futures)

    def __exit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> Literal[False]:
        if exc_type is not None and issubclass(exc_type, KeyboardInterrupt):
            self._engine.interrupt()
        else:
            self.shutdown(wait=True)
        return False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> Literal[False]:
        """As at the end of ``with``, but the event loop turns meanwhile.

        A cancellation is what Ctrl-C is to ``with``: what has not begun is cancelled; coroutines that run are, too, and
        processes are interrupted, and a second later killed. One that comes while this waits ends the wait.
        """
        here = library()
        assert here is not None
        torn = exc_type is not None and issubclass(exc_type, (here.cancelled, KeyboardInterrupt))
        bell = here.bell()

        def end() -> None:
            try:
                if torn:
                    self._engine.interrupt()
                self.shutdown(wait=True)
            finally:
                bell.ring()

        self._in_thread(end)
        try:
            await bell
        except here.cancelled:
            if not torn:
                self._in_thread(self._engine.interrupt)
            raise
        return False

    def _in_thread(self, action: Callable[[], None]) -> None:
        """Have something done that may take long, although the caller can't wait."""
        name = f"okazja-{self._engine.name}-end"
        threading.Thread(target=action, name=name, daemon=may_be_daemon()).start()

    def terminate_workers(self) -> None:
        """End all worker processes with SIGTERM, now. What they ran, and what waits, fails as in a broken pool."""
        self._end_workers(signal.SIGTERM, "terminate_workers")

    def kill_workers(self) -> None:
        """End all worker processes with SIGKILL, now. What they ran, and what waits, fails as in a broken pool."""
        self._end_workers(getattr(signal, "SIGKILL", signal.SIGTERM), "kill_workers")

    def _end_workers(self, number: int, method: str) -> None:
        if not self._engine.backend.capabilities.can_kill:
            raise UnsupportedParameter(
                f"{method}() needs workers that are processes; those of {self.backend!r} can't be killed"
            )
        self._engine.kill(number, method)

    # --- beyond it -----------------------------------------------------------------------------------------

    def group(self, *, deadline: float | None = None) -> Group:
        """A block, ``with`` or ``async with``, that none of the tasks submitted to it outlives; see `okazja.Group`.

        deadline: seconds that the block may take; then its tasks are cancelled and it raises TimeoutError.
        """
        return Group(Pool(self._engine, self._context_vars, self), deadline=deadline)

    @overload
    def stream(
        self,
        fn: Callable[[T], Coroutine[Any, Any, R]],
        iterable: Iterable[T] | AsyncIterable[T],
        *,
        ordered: bool = False,
        item_timeout: float | None = None,
        deadline: float | None = None,
        retries: int = 0,
        backoff: float = 0.0,
        retry_on: type[BaseException]
        | tuple[type[BaseException], ...]
        | Callable[[BaseException], object]
        | None = None,
        on_error: Literal["yield", "raise"] = "yield",
        max_failures: int | None = None,
        buffersize: int | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: Callable[[T], Any] | None = None,
        version: str | None = None,
        retry_failed: bool = True,
        trust: bool = False,
        progress: bool | Callable[[Progress], object] = False,
    ) -> Results[Outcome[T, R]]: ...

    @overload
    def stream(
        self,
        fn: Callable[[T], R],
        iterable: Iterable[T] | AsyncIterable[T],
        *,
        ordered: bool = False,
        item_timeout: float | None = None,
        deadline: float | None = None,
        retries: int = 0,
        backoff: float = 0.0,
        retry_on: type[BaseException]
        | tuple[type[BaseException], ...]
        | Callable[[BaseException], object]
        | None = None,
        on_error: Literal["yield", "raise"] = "yield",
        max_failures: int | None = None,
        buffersize: int | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: Callable[[T], Any] | None = None,
        version: str | None = None,
        retry_failed: bool = True,
        trust: bool = False,
        progress: bool | Callable[[Progress], object] = False,
    ) -> Results[Outcome[T, R]]: ...

    def stream(
        self,
        fn: Callable[[T], Any],
        iterable: Iterable[T] | AsyncIterable[T],
        *,
        ordered: bool = False,
        item_timeout: float | None = None,
        deadline: float | None = None,
        retries: int = 0,
        backoff: float = 0.0,
        retry_on: type[BaseException]
        | tuple[type[BaseException], ...]
        | Callable[[BaseException], object]
        | None = None,
        on_error: Literal["yield", "raise"] = "yield",
        max_failures: int | None = None,
        buffersize: int | None = None,
        journal: str | os.PathLike[str] | None = None,
        key: Callable[[T], Any] | None = None,
        version: str | None = None,
        retry_failed: bool = True,
        trust: bool = False,
        progress: bool | Callable[[Progress], object] = False,
    ) -> Results[Outcome[T, Any]]:
        """An Outcome for every item, exactly one, whatever happens to it.

        Draws the input lazily and keeps memory bounded, as ``map`` does. The input may be asynchronous, where an event
        loop runs, and outcomes can be taken with ``async for``. An input that may block (a generator, a file)
        is read by a thread of its own, up to 512 items ahead, so that outcomes never wait for it; on serial it is drawn
        in the calling thread. When the iterator is closed or dropped early, what runs is interrupted, and on processes
        ended by force a second later.

        ordered: outcomes in the order of the input; default: as they come.
        item_timeout: seconds that an item may run, from when its worker begins it; then it is interrupted, and
        ended by force a second later if it goes on; its error is a TimeoutError. Default: as long as it takes.
        Coroutines are cancelled. What can't be interrupted on threads, or goes on although it was cancelled, is left
        behind; not for serial.
        deadline: seconds from now for all of it. Then nothing more is drawn, what runs is ended as by item_timeout,
        every item that was drawn has its outcome, and at last TimeoutError is raised. On serial it is looked at
        between two items. Default: none.
        retries: how often an item that failed, also by a timeout or with its worker, runs again; default 0.
        backoff: seconds before the first further attempt of an item; doubled for each one after it, up to a quarter
        longer at random, at most 60; default 0. An item that waits occupies no worker.
        retry_on: which errors are worth a retry: an exception class, a tuple of them, or a function that is given the
        error. Default: all but those that can't succeed a second time.
        on_error: ``"yield"`` (default): failures are in the outcomes; ``"raise"``: the first item that has
        failed for good raises its error, and the rest is cancelled.
        max_failures: how many items may fail for good. The outcome of the one too many is the last; then
        TooManyFailures is raised. Default: any number.
        buffersize: items drawn and not yet taken, at most; what is read ahead comes on top of it, up to as many again.
        Default: bounded in items (32,768) and bytes (32 MiB).
        progress: True: show how far it is where that fits: on a terminal, in a notebook, or as lines of a log now and
        then; or a function that gets an `okazja.Progress` at most 5 times a second, in a thread of its own.
        journal: a file that keeps every outcome as it comes. A second run with the same file runs only what is not in
        it; of the rest it yields the outcomes that were kept, with ``worker`` -1. Default: none is kept.
        key: what an item is called in the journal, as a function of the item; default: the item itself.
        version: of the function; a journal that was made with another one is refused. Default: none.
        retry_failed: whether items that failed, says the journal, run again (default), or come as RecordedFailure.
        trust: whether to unpickle what the journal holds although another user may have pickled it; default: no.
        Raises TaskTypeError (a TypeError), BadInput (a ValueError), UnsupportedParameter (a TypeError) and, of the
        journal, JournalError.
        """
        check_task(fn)
        check_map(fn, (iterable,), None, buffersize)
        check_journal(journal, key=key, version=version, retry_failed=retry_failed, trust=trust)
        options = stream_options(item_timeout, deadline, retries, backoff, retry_on)
        check_end(on_error, max_failures)
        if item_timeout is not None and not self._engine.backend.capabilities.times_items:
            raise UnsupportedParameter(
                f"item_timeout={item_timeout!r} means nothing to the backend {self.backend!r}, where items run in the "
                f"calling thread: leave it out, or use 'threads', 'asyncio' or 'processes'"
            )
        self._engine.check_open()
        observers = observers_of(progress, fn)
        source, recorder = journaled(
            lambda: read_ahead(iterable, self._engine, buffersize),
            journal,
            fn,
            length_of((iterable,)),
            ahead=not self._engine.runs_at_once or not can_block(iterable),
            key=key,
            version=version,
            retry_failed=retry_failed,
            trust=trust,
        )
        try:
            run = self._run(
                StreamRun,
                fn,
                (iterable,),
                source,
                ordered=ordered,
                options=options,
                buffersize=buffersize,
                observers=observers,
                recorder=recorder,
            )
        except BaseException:
            if recorder is not None:
                recorder.close(whole=False)
            raise
        taken = outcomes(run, raising=on_error == "raise", max_failures=max_failures)
        return Results(taken, run, weight_of_outcome)

    # --- attributes of the standard library's executors that other programs read

    @property
    def _broken(self) -> BaseException | Literal[False]:
        return self._engine.broken or self._engine.backend.broken or False

    @property
    def _processes(self) -> dict[int, Any]:
        return getattr(self._engine.backend, "processes", {})

    @property
    def _threads(self) -> set[threading.Thread]:
        return getattr(self._engine.backend, "threads", set())
