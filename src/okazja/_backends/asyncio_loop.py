"""The asyncio backend: an event loop in a thread of its own for coroutines, and threads beside it for plain functions.

    send ─▶ waiting ─▶ (loop) begin ─┬▶ CoroutineCalls, a task each
                  ▲                  └▶ PlainThreads, ``parked`` while all of them are busy
                  └──── over ◀── reply ┘

At most ``max_workers`` calls run at once, of both kinds together. The loop's thread alone begins calls and counts them;
the lock is around the two queues and the end of both. ``uvloop`` is used where it is installed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic

from okazja._backends.base import Capabilities, Deliver, OwnPlacement, Spec
from okazja._backends.blocked import BlockWatch
from okazja._backends.coroutine_calls import MOST_MARKED, CoroutineCalls
from okazja._backends.loop_end import end_loop, new_loop
from okazja._backends.plain_threads import PlainThreads
from okazja._backends.serial import initializer_failed
from okazja._backends.thread_limits import may_be_daemon
from okazja._core.messages import Call, Port, Reply, Stop
from okazja._worker.coroutines import makes_coroutines
from okazja._worker.cpus import default_workers
from okazja.errors import ExecutorBroken, ExecutorShutdown

__all__ = ["AsyncioBackend"]

MOST_AT_ONCE = 100  # calls that are begun before the loop turns again
THREADS = 32  # beside the loop, at most

log = logging.getLogger("okazja")


class AsyncioBackend(OwnPlacement):
    """Guarantees: calls begin in the order in which they were sent, but for plain ones that find no thread free."""

    capabilities = Capabilities(
        places_calls=True,
        shares_memory=True,
        can_kill=False,
        times_items=True,
        cancels=True,
        most_marked=MOST_MARKED,
        threads_beside=THREADS,
        parameters=frozenset({"thread_name_prefix", "blocked_after"}),
    )

    def open(self, spec: Spec, deliver: Deliver) -> None:
        """The loop starts with the first call."""
        self._spec = spec
        self._deliver = deliver
        self._lock = (
            threading.RLock()
        )  # re-entrant: a finalizer may submit or close in the middle of anything here
        self._waiting: deque[Call] = deque()
        self._parked: deque[Call] = deque()  # plain ones, ahead of those that wait
        self._closed = False
        self._broken: ExecutorBroken | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()  # the loop's thread has nothing more to do
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = 0  # the loop's thread has looked at what waits so often
        self._called = -1  # it was asked for in this turn, so it will look once more
        self._running = 0  # calls; what follows is the loop thread's own
        self._on_threads = 0  # of them, the plain ones
        self._threads = PlainThreads(self._plain_over)
        self._most_threads = min(spec.max_workers, default_workers("threads"), THREADS)
        self._threads.open(
            replace(
                spec,
                max_workers=self._most_threads,
                first_slot=min(spec.max_workers, MOST_MARKED),
                initializer=None,
                initargs=(),
            ),
            deliver,
        )

    # --- from any thread

    def send(self, port: Port | None, calls: Sequence[Call]) -> Sequence[Call]:
        """Queue the calls; start the loop with the first one."""
        if self._thread is None:
            self._start()
        with self._lock:
            if self._closed:
                raise ExecutorShutdown("cannot schedule new futures after shutdown of the executor")
            self._waiting.extend(calls)
        self._wake()
        if self._broken is not None:
            self._fail_all(self._broken)
        return ()

    def _start(self) -> None:
        prefix = self._spec.thread_name_prefix or f"okazja-{self._spec.name}"
        # Waited for at exit by okazja._engine.lifetime, unless a blocked loop is left behind.
        thread = threading.Thread(target=self._work, name=f"{prefix}_loop", daemon=may_be_daemon())
        with self._lock:
            if self._thread is not None or self._closed:
                return
            self._thread = thread
        try:
            thread.start()
        except BaseException:
            with self._lock:
                if self._loop is None:  # else it works: the exception has come after its start
                    self._thread = None
            raise

    def _wake(self) -> None:
        """Have the loop's thread look at what waits; a burst of calls wakes it once."""
        turn = self._turn
        if (
            self._called != turn and self._loop is not None
        ):  # a loop that is not there yet looks when it begins
            with suppress(RuntimeError):  # it was closed, and nothing waits
                self._loop.call_soon_threadsafe(self._look)
            self._called = turn  # only now: an exception that breaks in costs a second look, and loses none

    def _in_loop(self, action: Callable[..., None], *args: object) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it was closed
                loop.call_soon_threadsafe(action, *args)

    @property
    def broken(self) -> ExecutorBroken | None:
        """Why no call can run, if so."""
        return self._broken or self._threads.broken

    @property
    def threads(self) -> set[threading.Thread]:
        """All threads of this backend that run."""
        return {*self._threads.threads, *([self._thread] if self._thread is not None else [])}

    def drop(self) -> list[Call]:
        """Take all calls that have not begun."""
        with self._lock:
            calls = [*self._parked, *self._waiting]
            self._parked.clear()
            self._waiting.clear()
        calls += self._threads.drop()
        self._wake()
        return calls

    def stop(self, chosen: Callable[[Call], bool], stop: Stop) -> list[Call]:
        """Cancel the coroutines that run, and interrupt the threads."""
        dropped: list[Call] = []
        with self._lock:
            for queue in (self._parked, self._waiting):
                calls = list(queue)
                queue.clear()
                queue.extend(call for call in calls if not chosen(call))
                dropped += [call for call in calls if chosen(call)]
        self._in_loop(self._stop_running, chosen, stop)
        return dropped + self._threads.stop(chosen, stop)

    def stop_call(self, call: Call, stop: Stop) -> None:
        """Cancel a coroutine that runs; a plain function goes on."""
        self._in_loop(self._stop_one, call, stop)

    def close(self, signal: int | None) -> None:
        """The loop ends once nothing waits or runs."""
        with self._lock:  # from here on no call comes
            self._closed = True
            never = self._thread is None
        if never:
            self._let_go()
        else:
            self._in_loop(self._look)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the threads, unless this is one of them."""
        end = None if timeout is None else monotonic() + timeout
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            if not self._over.wait(timeout):
                return False
            thread.join(None if end is None else max(end - monotonic(), 0))
        return self._threads.join(None if end is None else max(end - monotonic(), 0))

    def inside(self) -> bool:
        """Whether this thread is the loop's, or a worker beside it."""
        return threading.current_thread() is self._thread or self._threads.inside()

    def after_fork(self) -> None:
        """In a child of a fork: the threads are not there."""
        self._thread = self._loop = None
        self._threads.after_fork()

    # --- the loop's thread

    def _work(self) -> None:
        try:
            loop = new_loop()
        except BaseException as error:
            self._break(_no_loop(error))
            self._over.set()
            return
        self._calls = CoroutineCalls(loop, self._spec, self._coroutine_over)
        self._watch = BlockWatch(loop, self._spec, self._calls)
        self._threads.use(loop)
        self._loop = loop
        try:
            loop.create_task(self._begin_work(), name="initializer")
            while not self._is_over():
                try:
                    loop.run_forever()
                except BaseException as error:  # of some task's own task, which has it as well
                    log.debug("the loop of %s goes on after %r", self._spec.name, error)
            end_loop(loop, self._spec.name)
        finally:
            self._watch.close()
            self._let_go()
            self._over.set()

    async def _begin_work(self) -> None:
        """Run the initializer, and then what waits."""
        spec = self._spec
        if spec.initializer is not None:
            try:
                result = spec.initializer(*spec.initargs)
                if asyncio.iscoroutine(result):
                    await result
            except BaseException as error:
                self._break(initializer_failed(error))
        self._begun = True
        self._look()

    _begun = False  # the initializer has run

    def _break(self, error: ExecutorBroken) -> None:
        self._broken = error
        self._fail_all(error)

    def _fail_all(self, error: ExecutorBroken) -> None:
        for call in self.drop():
            if call.sink._begin():
                call.sink._fail(call, error)

    def _look(self) -> None:
        """Begin what waits, as far as there is room."""
        self._turn += 1  # before the look: who calls for one meanwhile gets another
        if not self._begun:
            return
        for _ in range(MOST_AT_ONCE):
            call = self._next()
            if call is None:
                break
            self._begin(call)
            del call
        else:
            assert self._loop is not None
            self._loop.call_soon(self._look)
        if self._is_over():
            assert self._loop is not None
            self._loop.stop()

    def _next(self) -> Call | None:
        """What is to begin now."""
        if self._running >= self._spec.max_workers:
            return None
        room = self._on_threads < self._most_threads
        with self._lock:
            if self._parked and room:
                return self._parked.popleft()
            while self._waiting:
                call = self._waiting.popleft()
                if room or makes_coroutines(call.fn.target):
                    return call
                self._parked.append(call)
        return None

    def _begin(self, call: Call) -> None:
        if not call.sink._begin():
            call.sink._refused(call)
            return
        self._running += 1
        if makes_coroutines(call.fn.target):
            self._calls.start(call)
            self._watch.busy()
            return
        self._on_threads += 1
        try:
            self._threads.send(None, (call,))
        except Exception as error:  # no more threads
            self._plain_are_over(1)
            call.sink._fail(call, error)

    def _coroutine_over(self, reply: Reply) -> None:
        self._running -= 1
        self._deliver([(None, [reply])], ())
        del reply
        if self._waiting or self._parked or self._closed:
            self._look()

    def _plain_over(self, count: int) -> None:
        """In any thread: so many plain calls are over."""
        if count:
            self._in_loop(self._plain_are_over, count)

    def _plain_are_over(self, count: int) -> None:
        self._running -= count
        self._on_threads -= count
        self._look()

    def _stop_running(self, chosen: Callable[[Call], bool], stop: Stop) -> None:
        self._calls.stop(chosen, stop)
        self._look()

    def _stop_one(self, call: Call, stop: Stop) -> None:
        self._calls.stop_one(call, stop)

    def _is_over(self) -> bool:
        with self._lock:
            return self._closed and self._begun and not (self._running or self._waiting or self._parked)

    def _let_go(self) -> None:
        """Nothing more will run: let go of what belongs to the user; the threads close the board."""
        self._spec = replace(self._spec, initializer=None, initargs=())
        self._threads.close(None)


def _no_loop(error: BaseException) -> ExecutorBroken:
    broken = ExecutorBroken(f"no event loop could be made: {type(error).__name__}: {error}. Close some files")
    broken.__cause__ = error.with_traceback(None)
    return broken
