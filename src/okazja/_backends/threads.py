"""The thread backend: threads that share one queue and are started when they are needed."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING

from okazja._backends.base import Capabilities, Deliver, OwnPlacement, Spec
from okazja._backends.serial import execute, initializer_failed
from okazja._backends.thread_limits import Attempt, ThreadLimits, may_be_daemon, take
from okazja._core.messages import Call, Port, Reply, Stop
from okazja._transport.board import CALL, DONE, FIRST, PID, STARTED, TID
from okazja._worker.coroutines import close_loop, finished
from okazja.errors import ExecutorBroken, ExecutorShutdown

if TYPE_CHECKING:
    from okazja.sync.local import LocalPrimitives

__all__ = ["ThreadBackend"]

log = logging.getLogger("okazja")


class _Thread(threading.Thread):
    """A worker; ``over`` is set when it has ended, or was left behind in a call that nothing can end."""

    def __init__(self, work: Callable[[_Thread], None], slot: int, name: str) -> None:
        # Those in the middle of a call are waited for at exit, by okazja._engine.lifetime. A daemon, because
        # the interpreter itself would also wait for those that were left behind.
        super().__init__(name=name, daemon=may_be_daemon())
        self._work = work
        self.slot = slot
        self.over = threading.Event()
        self.begun = self.dropped = False  # the first to be set counts: it works, or it never does

    def run(self) -> None:
        """Work until there is nothing more to do."""
        try:
            self._work(self)
        finally:
            del self._work
            try:
                close_loop()
            finally:
                self.over.set()


class ThreadBackend(OwnPlacement):
    """Guarantees: calls begin in the order in which they were sent; a thread that ends has left the queue empty."""

    capabilities = Capabilities(
        places_calls=True,
        shares_memory=True,
        can_kill=False,
        times_items=True,
        parameters=frozenset({"thread_name_prefix"}),
    )

    @property
    def primitives(self) -> LocalPrimitives:
        """Locks, queues and the like, by reference."""
        from okazja.sync.local import LocalPrimitives

        return LocalPrimitives("threads")

    def open(self, spec: Spec, deliver: Deliver) -> None:
        """Threads start with the calls."""
        self._spec = spec
        self._deliver = deliver
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        # Around the queue's end, the threads and what they are; never held while one starts. Re-entrant, and what
        # has no lock is taken from in one step: a finalizer may submit or close in the middle of anything here.
        self._lock = threading.RLock()
        self._idle: deque[None] = deque()  # one for each thread that waits for a call
        slots = range(spec.first_slot, spec.first_slot + spec.max_workers)
        self._slots = deque(slots)  # of threads that can still be started
        self._closed = False
        self._over = False  # everything was let go of
        self._broken: ExecutorBroken | None = None
        self.threads: set[_Thread] = set()
        self._limits = ThreadLimits(f"okazja-{spec.name}", self._abandon)
        self._ended = 0  # threads that have left the loop

    def send(self, port: Port | None, calls: Sequence[Call]) -> Sequence[Call]:
        """Queue the calls; start a thread for each that finds none idle, up to the limit."""
        for call in calls:
            thread = None
            try:
                with self._lock:
                    # The thread counts before anybody can close: it is waited for, and has its initializer.
                    if not self._closed and self._broken is None and self._slots:
                        thread = None if self._finds_idle() else self._new_thread()
                    if self._closed:
                        raise ExecutorShutdown("cannot schedule new futures after shutdown of the executor")
                    self._queue.put(call)
                if thread is not None:
                    thread.start()
            except BaseException:
                if thread is not None:
                    self._drop_thread(thread)
                raise
        if self._broken is not None:
            self._fail_all(self._broken)
        return ()

    def _finds_idle(self) -> bool:
        """Whether a thread that waits for a call takes the next one."""
        return not self._spec.once and take(self._idle)

    def _new_thread(self) -> _Thread | None:
        """With the lock held: a thread that counts, to be started without it; None if there are enough."""
        try:
            slot = self._slots.popleft()
        except IndexError:
            return None
        prefix = self._spec.thread_name_prefix or f"okazja-{self._spec.name}"
        thread = _Thread(self._work, slot, f"{prefix}_{slot}")
        self.threads.add(thread)
        return thread

    def _drop_thread(self, thread: _Thread) -> None:
        """Its start has failed, or was interrupted, and then it may have begun to work all the same."""
        with self._lock:
            if thread.begun:
                return
            thread.dropped = True
            self.threads.discard(thread)
            self._slots.appendleft(thread.slot)
        thread.over.set()
        self._release_if_over()

    def _abandon(self, attempt: Attempt, reply: Reply) -> None:
        """Leave a thread behind: another takes its place."""
        left = attempt.thread
        assert isinstance(left, _Thread)
        with self._lock:  # in one step, or it could look as if all of them had ended
            self.threads.discard(left)
            self._slots.appendleft(left.slot)
            thread = self._new_thread()
        try:
            if thread is not None:
                thread.start()
            log.warning("%s; another thread has taken its place", reply[2])
        except RuntimeError as error:  # no more threads
            assert thread is not None
            self._drop_thread(thread)
            log.warning("%s; no other thread can take its place: %s", reply[2], error)
            if not self.threads:
                self._broken = _no_thread(error)
                self._fail_all(self._broken)
        finally:
            left.over.set()
            self._deliver([(None, [reply])], ())

    def _work(self, thread: _Thread) -> None:
        with self._lock:
            if thread.dropped:
                return
            thread.begun = True
        slot = thread.slot
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
                    if self._slots:
                        self._idle.append(None)
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
                if not self._execute(call, slot):
                    return  # left behind: the board, too, is another's now
                words[DONE] += 1
                del call  # nothing of it must stay alive while this thread waits
                if self._spec.once:
                    self._leave()
                    break
        words[CALL] = words[PID] = 0

    def _execute(self, call: Call, slot: int) -> bool:
        """Run a call, unless it was cancelled. False: this thread was left behind in it."""
        if not call.sink._begin():
            self._refuse(call)
            return True
        call.slot = slot
        reply = self._limits.run(call) if call.stoppable else execute(call)
        if reply is None:
            return False
        self._deliver([(None, [reply])], ())
        del call, reply  # the frames of an exception lead here, see serial.execute
        return True

    def _refuse(self, call: Call) -> None:
        """The call was cancelled before it began."""
        call.sink._refused(call)

    def _leave(self) -> None:
        """This thread takes no more calls; the last one to say so after the end lets go of everything."""
        with self._lock:
            self._ended += 1
        self._release_if_over()

    def _release_if_over(self) -> None:
        with self._lock:
            over = self._closed and not self._over and self._ended == len(self.threads)
            self._over = self._over or over
        if over:
            self._release()

    def _initialize(self) -> bool:
        initializer = self._spec.initializer
        if initializer is not None:
            try:
                finished(initializer(*self._spec.initargs))
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

    def drop(self) -> list[Call]:
        """Take all calls that have not begun."""
        calls, closing = self._drain()
        if closing:
            self._queue.put(None)
        return calls

    def _drain(self) -> tuple[list[Call], bool]:
        """Empty the queue: the calls, and whether its end stood there."""
        calls: list[Call] = []
        closing = False
        while True:
            try:
                call = self._queue.get_nowait()
            except Empty:
                return calls, closing
            if call is None:
                closing = True
            else:
                calls.append(call)

    def stop(self, chosen: Callable[[Call], bool], stop: Stop) -> list[Call]:
        """Interrupt what runs; what can't be interrupted is left behind only where ``stop.abandon`` says so."""
        with self._lock:  # what is sent meanwhile stays behind what is put back
            waiting, closing = self._drain()
            for call in waiting:
                if not chosen(call):
                    self._queue.put(call)
            if closing:
                self._queue.put(None)
        self._limits.stop(chosen, stop)
        return [call for call in waiting if chosen(call)]

    def close(self, signal: int | None) -> None:
        """The threads end once the queue is empty."""
        with self._lock:  # no call may come to stand behind the end of the queue
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
        with self._lock:
            return self.threads - joined

    def after_fork(self) -> None:
        """In a child of a fork: the threads are not there."""
        self.threads.clear()


def _no_thread(error: RuntimeError) -> ExecutorBroken:
    broken = ExecutorBroken(
        f"no thread is left to run calls: the last one was left behind in a call that can't be interrupted, and "
        f"another could not be started ({error}). Give the tasks timeouts of their own, or use 'processes'"
    )
    broken.__cause__ = error.with_traceback(None)
    return broken
