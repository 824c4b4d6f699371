"""The thread backend: threads that share one queue and are started when they are needed."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from time import monotonic, monotonic_ns

from okazja._backends.base import Capabilities, Deliver, Spec
from okazja._backends.serial import execute, initializer_failed
from okazja._backends.thread_limits import Attempt, ThreadLimits, may_be_daemon
from okazja._core.messages import Call, Port, Reply
from okazja._transport.board import CALL, DONE, FIRST, PID, STARTED, TID
from okazja.errors import ExecutorBroken, ExecutorShutdown

__all__ = ["ThreadBackend"]

log = logging.getLogger("okazja")


class _Thread(threading.Thread):
    """A worker; ``over`` is set when it has ended, or was left behind in a call that nothing can end."""

    def __init__(self, work: Callable[[int], None], slot: int, name: str) -> None:
        # Those in the middle of a call are waited for at exit, by okazja._engine.lifetime. A daemon, because
        # the interpreter itself would also wait for those that were left behind.
        super().__init__(name=name, daemon=may_be_daemon())
        self._work = work
        self.slot = slot
        self.over = threading.Event()

    def run(self) -> None:
        """Work until there is nothing more to do."""
        try:
            self._work(self.slot)
        finally:
            del self._work
            self.over.set()


class ThreadBackend:
    """Guarantees: calls begin in the order in which they were sent; a thread that ends has left the queue empty."""

    capabilities = Capabilities(
        places_calls=True,
        shares_memory=True,
        can_kill=False,
        times_items=True,
        parameters=frozenset({"thread_name_prefix"}),
    )
    arena = None

    def open(self, spec: Spec, deliver: Deliver) -> None:
        """Threads start with the calls."""
        self._spec = spec
        self._deliver = deliver
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)  # threads that wait for a call
        self._starting = threading.RLock()  # a finalizer may submit in the middle of a start
        self._sending = (
            threading.RLock()
        )  # around the queue's end; a finalizer may close in the middle of a send
        self._closed = False
        self._broken: ExecutorBroken | None = None
        self.threads: set[_Thread] = set()
        self._limits = ThreadLimits(f"okazja-{spec.name}", self._abandon)
        self._ended = 0  # threads that have left the loop
        self._over = False  # all was let go of

    def port(self, slot: int) -> None:
        """Calls are not placed."""

    def send(self, port: Port | None, calls: Sequence[Call]) -> Sequence[Call]:
        """Queue the calls; start a thread for each that finds none idle, up to the limit."""
        for call in calls:
            with self._sending:
                if self._closed:
                    raise ExecutorShutdown("cannot schedule new futures after shutdown of the executor")
                self._queue.put(call)
                if len(self.threads) < self._spec.max_workers and not self._idle.acquire(blocking=False):
                    self._start_thread()  # before the backend can be closed: a call that is accepted runs
        if self._broken is not None:
            self._fail_all(self._broken)
        return ()

    def _start_thread(self) -> None:
        with self._starting:
            if len(self.threads) < self._spec.max_workers:
                used = {thread.slot for thread in self.threads}
                slot = next(slot for slot in range(self._spec.max_workers) if slot not in used)
                prefix = self._spec.thread_name_prefix or f"okazja-{self._spec.name}"
                thread = _Thread(self._work, slot, f"{prefix}_{slot}")
                self.threads.add(thread)
                try:
                    thread.start()
                except BaseException:
                    self.threads.discard(thread)
                    raise

    def _abandon(self, attempt: Attempt, reply: Reply) -> None:
        """Leave a thread behind: another takes its place."""
        thread = attempt.thread
        assert isinstance(thread, _Thread)
        with self._starting:
            self.threads.discard(thread)
        try:
            self._start_thread()
        except RuntimeError as error:  # the system has no thread left
            log.warning("no thread could be started in place of %s: %s", thread.name, error)
            if not self.threads:
                self._broken = ExecutorBroken(f"no thread is left, and none could be started: {error}")
                self._fail_all(self._broken)
        finally:
            thread.over.set()
            self._deliver([(None, [reply])], ())
        self._release_if_over()

    def _work(self, slot: int) -> None:
        board, words = self._spec.board, self._spec.board.words(slot)
        words[PID] = os.getpid()
        words[TID] = threading.get_native_id()
        if self._initialize():
            queue = self._queue
            described = None
            while True:
                try:
                    call = queue.get_nowait()
                except Empty:
                    words[CALL] = 0
                    if len(self.threads) < self._spec.max_workers:
                        self._idle.release()
                    call = queue.get()
                if call is None:
                    queue.put(None)  # for the next thread
                    self._leave()
                    break
                if call.fn.name != described:
                    described = call.fn.name
                    board.describe(slot, described)
                words[FIRST] = call.base + 1
                words[STARTED] = monotonic_ns()
                words[CALL] = call.id
                if call.sink._begin():
                    call.slot = slot
                    reply = execute(call) if call.limit is None else self._limits.run(call)
                    if reply is None:
                        return  # left behind: the board, too, is another's now
                    self._deliver([(None, [reply])], ())
                    del reply
                words[DONE] += 1
                del call  # nothing of it must stay alive while this thread waits
        words[CALL] = words[PID] = 0

    def _leave(self) -> None:
        """This thread takes no more calls."""
        with self._starting:
            self._ended += 1
        self._release_if_over()

    def _release_if_over(self) -> None:
        """Once all threads have ended after the end of the queue, let go of everything."""
        with self._starting:
            over = self._closed and not self._over and self._ended == len(self.threads)
            self._over = self._over or over
        if over:
            self._release()

    def _initialize(self) -> bool:
        initializer = self._spec.initializer
        if initializer is not None:
            try:
                initializer(*self._spec.initargs)
            except BaseException as error:
                self._broken = initializer_failed(error)
                self._fail_all(self._broken)
                self._leave()
                return False
        return True

    def _fail_all(self, error: BaseException) -> None:
        for call in self.drop():
            if call.sink._begin():
                call.sink._fail(call, error)

    @property
    def broken(self) -> ExecutorBroken | None:
        """Why no call can run, if so."""
        return self._broken

    def reclaim(self, port: Port, running: int) -> list[int]:
        """Calls are not placed."""
        return []

    def interrupt(self, port: Port, running: int, item: int | None = None) -> None:
        """Calls are not placed; those with a limit are looked after here."""

    def wake(self) -> None:
        """Calls are not placed."""

    def linger(self, port: Port, take: Callable[[list[Reply]], bool]) -> None:
        """Calls are not placed."""

    def stop_lingering(self, port: Port) -> None:
        """Calls are not placed."""

    def drop(self) -> list[Call]:
        """Take all calls that have not begun."""
        calls: list[Call] = []
        closing = False
        while True:
            try:
                call = self._queue.get_nowait()
            except Empty:
                break
            if call is None:
                closing = True
            else:
                calls.append(call)
        if closing:
            self._queue.put(None)
        return calls

    def end_worker(self, port: Port) -> None:
        """Calls are not placed."""

    def close(self, signal: int | None) -> None:
        """The threads end once the queue is empty."""
        with self._sending:  # no call may come to stand behind the end of the queue
            self._closed = True
            self._queue.put(None)
        self._limits.close()
        self._release_if_over()

    def inside(self) -> bool:
        """Whether this thread is a worker, or watches over workers."""
        thread = threading.current_thread()
        return thread in self.threads or thread is self._limits.watcher

    def _release(self) -> None:
        """The last thread is about to end: let go of what belongs to the user."""
        self._spec.board.close()
        self._spec = replace(self._spec, initializer=None, initargs=())

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the threads, unless this is one of them; not for those that were left behind."""
        end = None if timeout is None else monotonic() + timeout
        joined: set[threading.Thread] = {threading.current_thread()}
        while threads := self._others(joined):
            for thread in threads:
                left = None if end is None else max(end - monotonic(), 0)
                if not thread.over.wait(left):
                    return False
                if thread in self.threads:
                    thread.join(left)
            joined |= threads
        watcher = self._limits.watcher
        if watcher is not None and not self.inside():
            watcher.join()
        return True

    def _others(self, joined: set[threading.Thread]) -> set[_Thread]:
        with self._starting:
            return self.threads - joined

    def after_fork(self) -> None:
        """In a child of a fork: the threads are not there."""
        self.threads.clear()
