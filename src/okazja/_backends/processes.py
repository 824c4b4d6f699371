"""The process backend: workers behind channels, and the one thread that reads what they say."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from signal import SIGTERM
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from okazja._backends import worker_logs, zygote_process
from okazja._backends.base import Capabilities, Deliver, Spec
from okazja._backends.launch import ContextLauncher, Exit, WorkerProcess, launcher
from okazja._backends.outsiders import has_outsiders, stdlib_helpers
from okazja._core.messages import (
    BackendFailed,
    Call,
    Died,
    Event,
    HandedBack,
    Port,
    Ready,
    Reply,
    StartFailed,
    Stop,
    Waits,
    WornOut,
)
from okazja._transport.arena import Arena, Bell, Reader, create
from okazja._transport.board import CALL, COMMAND, PID, TARGET, TARGET_ITEM, UNKNOWN
from okazja._transport.channel import TIDY, Channel
from okazja._transport.codec import decode_error
from okazja._transport.patience import Patience
from okazja._worker.logs import LOG
from okazja._worker.loop import BACK, HAND_BACK, INTERRUPT, READY, SIGNAL, WAITS, WORN_OUT

if TYPE_CHECKING:
    from okazja.sync.shared.primitives import SharedPrimitives
    from okazja.sync.shared.slots import Slots

__all__ = ["ProcessBackend"]

log = logging.getLogger("okazja")

EXIT = 0.1  # seconds from the closing of a process's descriptors to its end, at most; it takes some µs

_keys = count(1)  # of worker processes, unique in this process


class ProcessBackend:
    """Who owns what: ``_ports`` and the poller belong to ``_launching``; channels see to themselves."""

    capabilities = Capabilities(
        places_calls=False,
        shares_memory=False,
        can_kill=True,
        times_items=True,
        parameters=frozenset(
            {"mp_context", "max_tasks_per_child", "context", "memory_limit", "inner_max_num_threads"}
        ),
    )

    def __init__(self) -> None:
        # Re-entrant, because a finalizer may close this in the middle of it.
        self._launching = threading.RLock()  # around starting processes and hearing of their end
        self._ports: dict[int, WorkerProcess] = {}  # by reply descriptor
        self._prestarted: dict[int, WorkerProcess] = {}  # by slot
        self._watched: set[int] = set()
        self._forking: WorkerProcess | None = None  # the one that is being started
        self._collector: threading.Thread | None = None
        self._lingering = threading.Lock()  # one thread at most reads in the collector's place
        self._patience = Patience()  # of that thread
        self._closing = False
        self._hurry = False  # calls were cancelled, so workers that still start have nothing to do
        self._released = False
        self._signal: int | None = None
        self._nudges: deque[WorkerProcess] = deque()  # of whose results much was let go of
        self._buried: list[Reader] = []  # of workers whose last replies are being delivered
        self._primitives: SharedPrimitives | None = None  # made with the first

    def open(self, spec: Spec, deliver: Deliver) -> None:
        """Prepare; with the start method ``fork`` start all workers, before there are threads."""
        self._spec = spec
        self._deliver = deliver
        self._poll = select.epoll()
        self._bell = Bell()
        self._wake = self._bell.fd
        self._poll.register(self._wake, select.EPOLLIN)
        self.arena = Arena(create(spec.max_workers))
        try:
            self._launcher = launcher(spec)
        except BaseException:
            self.arena.close()
            self._poll.close()
            del self._bell
            spec.board.close()
            raise
        if isinstance(self._launcher, ContextLauncher) and self._launcher.forks:
            for slot in range(spec.max_workers):
                port = self._prestarted[slot] = self._new_port(slot)
                self._launch(port)

    @property
    def primitives(self) -> SharedPrimitives:
        """The memory of locks and their like, made when it is first needed."""
        if self._primitives is None:
            from okazja.sync.shared.primitives import SharedPrimitives
            from okazja.sync.shared.region import Region

            with self._launching:
                if self._primitives is None:
                    self._primitives = SharedPrimitives(Region.create())
        return self._primitives

    def slots_of_primitives(self) -> Slots:
        """The threads that use primitives, as far as they are known."""
        return self.primitives.slots

    def nobody_else(self, busy: set[int], waiting: Mapping[int, int]) -> bool:
        """Whether nobody but those who wait, and idle workers, is there to do anything. Where in doubt, False.

        busy: the slots of workers that have a task; waiting: by process, the threads that wait.
        """
        ports = [port for port in list(self._ports.values()) if port.launched]
        if any(port.pid is None or not port.ready for port in ports):
            return False
        pids = {port.pid: port.slot in busy for port in ports if port.pid is not None}
        if not waiting.keys() <= {*pids, os.getpid()} or any(pids[pid] != (pid in waiting) for pid in pids):
            return False
        threads = {pid: waiting.get(pid, 1) for pid in {*pids, os.getpid()}}
        helpers = {*stdlib_helpers(), *zygote_process.running()}
        return not has_outsiders(threads, helpers, SIGNAL)

    def port(self, slot: int) -> WorkerProcess:
        """A place for a new worker, which starts with the first call that is sent."""
        return self._prestarted.pop(slot, None) or self._new_port(slot)

    def _new_port(self, slot: int) -> WorkerProcess:
        channel = Channel()
        try:
            results = Reader(create(1), 0, private=False)
        except BaseException:
            channel.close()
            raise
        port = WorkerProcess(next(_keys), slot, channel, results, f"{self._spec.name}-{slot}")
        results.nudge = (self._nudges, port, self._bell)
        return port

    def send(self, port: Port | None, calls: Sequence[Call]) -> Sequence[Call]:
        """Write calls to the worker's channel; start the worker if this is the first time."""
        assert isinstance(port, WorkerProcess)
        unsent = port.channel.send(calls)
        if not port.launched:
            with self._launching:
                if not port.launched:
                    self._launch(port)
        if self._collector is None:
            self._start_collector()
        return unsent

    def _launch(self, port: WorkerProcess) -> None:
        port.launched = True
        self._ports[port.channel.replies] = port
        board = self._spec.board.fd
        assert board is not None
        self._forking = port
        try:
            self._poll.register(port.channel.replies, select.EPOLLIN)
            self._launcher.launch(port, board, self.arena.fd)
        except BaseException:
            del self._ports[port.channel.replies]
            port.channel.close()
            port.results.close()
            port.release()
            raise
        finally:
            self._forking = None
        self._watch()
        os.eventfd_write(self._wake, 1)  # starting it may have found others dead
        if self._closing:
            self._end(port)

    def _watch(self) -> None:
        """Have the poller watch what the launcher wants watched, now."""
        wanted = set(self._launcher.watched())
        for fd in self._watched - wanted:
            try:
                self._poll.unregister(fd)
            except OSError:
                pass  # it was closed, which unregisters it
        for fd in wanted:  # each: a number may stand for another file than a moment ago
            try:
                self._poll.register(fd, select.EPOLLIN)
            except FileExistsError:
                pass  # it is watched
        self._watched = wanted

    def reclaim(self, port: Port, running: int) -> list[int]:
        """Take unread calls out of the channel, and signal the worker to give back the unstarted."""
        assert isinstance(port, WorkerProcess)
        numbers = port.channel.steal()
        words = self._spec.board.words(port.slot)
        if running and words[CALL] == running and words[PID] == port.pid:
            words[COMMAND] |= HAND_BACK
            port.send_signal(SIGNAL)
        return numbers

    def interrupt(self, port: Port, running: int, item: int | None = None) -> None:
        """Raise an exception inside the call that a worker runs."""
        assert isinstance(port, WorkerProcess)
        words = self._spec.board.words(port.slot)
        if words[CALL] == running and words[PID] == port.pid:
            words[TARGET_ITEM] = 0 if item is None else item + 1
            words[TARGET] = running
            words[COMMAND] |= INTERRUPT
            port.send_signal(SIGNAL)

    def wake(self) -> None:
        """Have the collector deliver, if only the news that there is none."""
        with self._launching:
            if not self._released:
                os.eventfd_write(self._wake, 1)

    def drop(self) -> list[Call]:
        """Nothing waits here: calls that were not sent are the scheduler's."""
        self._hurry = self._spec.initializer is not None  # which may hang
        return []

    def stop(self, chosen: Callable[[Call], bool], stop: Stop) -> list[Call]:
        """Calls are placed; the engine looks after their limits."""
        return []

    def linger(self, port: Port, take: Callable[[list[Reply]], bool]) -> None:
        """Read this worker's replies in the calling thread, for a moment; the collector sleeps on meanwhile."""
        assert isinstance(port, WorkerProcess)
        lingering = self._lingering
        if not lingering.acquire(blocking=False):
            return
        with port.channel.reading:
            if self._watch_replies(port, 0):
                port.channel.glance(self._patience, take)
                self._watch_replies(port, select.EPOLLIN)
        lingering.release()

    def _watch_replies(self, port: WorkerProcess, events: int) -> bool:
        """Whether the collector is told of them; its worker's end is told in any case."""
        try:
            self._poll.modify(port.channel.replies, events)
        except (OSError, ValueError):
            return False  # the worker is gone
        return True

    def stop_lingering(self, port: Port) -> None:
        """An exception broke into `linger`, anywhere: the collector reads all replies again.

        The lock may be held for ever, so it is replaced. Two threads that linger for a while do no harm.
        """
        assert isinstance(port, WorkerProcess)
        self._lingering = threading.Lock()
        self._watch_replies(port, select.EPOLLIN)
        self.wake()

    def stop_call(self, call: Call, stop: Stop) -> None:
        """What runs is not cancelled one by one."""

    def end_worker(self, port: Port) -> None:
        """End of file on its calls ends the worker."""
        assert isinstance(port, WorkerProcess)
        port.channel.end()

    def close(self, signal: int | None) -> None:
        """Let the workers end, or signal them."""
        with self._launching:
            self._closing = True
            self._signal = signal
            for port in self._all_ports():
                self._end(port)
            if not self._released:
                os.eventfd_write(self._wake, 1)
        self._start_collector()

    def _all_ports(self) -> set[WorkerProcess]:
        """Each once: one that was started in advance stands in both tables."""
        return {*self._ports.values(), *self._prestarted.values()}

    def _end(self, port: WorkerProcess) -> None:
        port.channel.end()  # also with a signal, which a task may have a handler for
        if self._signal == SIGTERM:
            port.terminate()
        elif self._signal is not None or (self._hurry and not port.ready):
            port.kill()
        port.resume()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the collector, which ends after the last worker."""
        collector = self._collector
        if collector is not None and collector is not threading.current_thread():
            collector.join(timeout)
            return not collector.is_alive()
        return True

    def inside(self) -> bool:
        """Whether this thread is the collector."""
        return threading.current_thread() is self._collector

    def after_fork(self) -> None:
        """In a child of a fork: neither threads nor workers are this process's, nor the ways to them.

        The child may be the very worker that is being started; then it needs its own ends.
        """
        self._collector = None
        if not self._released:
            self._released = True
            self._poll.close()
            if self._forking is None:
                self.arena.leave()
            for port in self._all_ports():
                if port is self._forking:
                    port.channel.leave()
                else:
                    port.channel.close()
                    port.results.close()

    @property
    def broken(self) -> None:
        """Workers tell of themselves."""

    @property
    def processes(self) -> dict[int, WorkerProcess]:
        """The living workers by process id."""
        return {port.pid: port for port in list(self._ports.values()) if port.pid is not None}

    # --- the collector ----------------------------------------------------------------------------------

    def _start_collector(self) -> None:
        with self._launching:
            if self._collector is None:
                self._collector = threading.Thread(
                    target=self._collect, name=f"okazja-{self._spec.name}-collector", daemon=True
                )
                self._collector.start()

    def _collect(self) -> None:
        try:
            pause: float | None = None
            while self._ports or not self._closing:
                ready = self._poll.poll(pause)
                pause = self._deliver(*self._hear([fd for fd, _ in ready]))
                del ready
                if self.arena.swollen or self._nudges or self._buried:
                    self._look_after_memory()
        except BaseException as error:  # nobody else would tell those who wait
            log.critical("the collector of %s failed", self._spec.name, exc_info=error)
            self._deliver((), [BackendFailed(error)])
        finally:
            self._release()

    def _look_after_memory(self) -> None:
        """Give back what nobody needs any more, now that replies and their calls are gone."""
        if not self._closing:  # a worker that was told to end may still read what was given up
            self.arena.tidy()
        while self._nudges:
            port = self._nudges.popleft()
            try:
                port.channel.send_entry((0, TIDY))
            except OSError:
                pass  # it was told to end, and its memory ends with it
        while self._buried:
            self._buried.pop().close()

    def _hear(self, ready: list[int]) -> tuple[list[tuple[Port | None, Sequence[Reply]]], list[Event]]:
        """Read everything that is readable."""
        replies: list[tuple[Port | None, Sequence[Reply]]] = []
        events: list[Event] = []
        exits = False
        for fd in ready:
            port = self._ports.get(fd)
            if port is not None:
                if self._read(port, replies, events):
                    # A worker without its channel is of no use: perhaps a task closed descriptors.
                    self._forget(fd)
                    port.useless = not port.ended(EXIT)
                    port.kill()
            elif fd == self._wake:
                os.eventfd_read(self._wake)
                exits = True
            else:
                exits = True
        if exits:
            with self._launching:
                ended = list(self._launcher.exits())
                self._watch()
            for exited in ended:
                self._bury(exited, replies, events)
        return replies, events

    def _read(
        self,
        port: WorkerProcess,
        replies: list[tuple[Port | None, Sequence[Reply]]],
        events: list[Event],
    ) -> bool:
        """Read once; True at the end of file."""
        try:
            with port.channel.reading:
                frames, ended = port.channel.read()
        except Exception:  # no frames: what they were is lost, and the worker with them
            log.exception("the worker process %s sent what nobody can read", port.pid)
            frames, ended = [], True
        if frames:
            if any([not frame[0] for frame in frames]):  # noqa: C419  (a list is faster)
                for frame in frames:
                    if not frame[0] and frame[1] == LOG:
                        worker_logs.handle(frame[2])
                    elif not frame[0]:
                        events.append(_event(port, *frame))
                frames = [frame for frame in frames if frame[0]]
            replies.append((port, frames))
        return ended

    def _bury(
        self,
        exited: Exit,
        replies: list[tuple[Port | None, Sequence[Reply]]],
        events: list[Event],
    ) -> None:
        """A worker has ended: read what it left, then tell of its death."""
        port = exited.process
        while True:
            known = len(replies), len(events)
            frames_before = port.channel.buffered
            if self._read(port, replies, events) or (
                known == (len(replies), len(events)) and frames_before == port.channel.buffered
            ):
                break
        board = self._spec.board
        mark = board.read(port.slot)
        served = mark.pid == port.pid
        board.clear(port.slot)
        self.arena.reader_is_gone(port.slot)
        port.results.nudge = None
        self._buried.append(port.results)
        port.exitcode = exited.exitcode
        self._forget(port.channel.replies)
        with self._launching:
            self._ports.pop(port.channel.replies, None)
            port.release()
        if self._primitives is not None:
            self._primitives.worker_ended()
        events.append(
            Died(
                port,
                port.pid or 0,
                exited.exitcode,
                mark.call if served else 0,
                UNKNOWN if port.useless else mark.item if served else 0,
                exited.reason,
                (monotonic_ns() - mark.started_ns) / 1e9 if served and mark.started_ns else 0.0,
                mark.span,
            )
        )
        with port.channel.reading:  # some thread may be looking for a reply
            port.channel.close()

    def _forget(self, fd: int) -> None:
        """Watch a descriptor no longer. Closing it is not enough: a process that forked may hold a copy."""
        try:
            self._poll.unregister(fd)
        except OSError:
            pass  # it was done before

    def _release(self) -> None:
        """Give everything back: no worker is left."""
        with self._launching:
            self._released = True
            self._launcher.close()
            self.arena.close()
            self._poll.close()
            del self._bell
            left = list(self._ports.values())  # only where the collector has failed
            for port in left:
                port.results.nudge = None
                port.kill()
                port.release()
            self._ports.clear()
            self._prestarted.clear()
            self._spec.board.close()
            if self._primitives is not None:
                self._primitives.close()
            # Let go of what belongs to the user, and of the engine, now rather than at a garbage collection.
            del self._launcher
            self._spec = replace(self._spec, initializer=None, initargs=())
            self._deliver = _nobody_listens
        for port in left:
            with port.channel.reading:  # a thread that lingers there goes on as soon as it may
                port.channel.close()
            port.results.close()
        while self._buried:
            self._buried.pop().close()


def _nobody_listens(*_: object) -> None:
    return None


def _event(port: WorkerProcess, _: int, what: str, body: Any) -> Event:
    if what == READY:
        port.ready = True
        return Ready(port)
    if what == BACK:
        return HandedBack(port, body)
    if what == WORN_OUT:
        return WornOut(port)
    if what == WAITS:
        return Waits(port)
    return StartFailed(port, decode_error(body))
