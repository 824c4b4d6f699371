"""What the run of a map or stream tells: counts to observers, final outcomes to a recorder."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from okazja._core.observer import Observer
from okazja._engine.source import Recorder
from okazja.errors import JournalError

if TYPE_CHECKING:
    from okazja._engine.stream_chunk import StreamChunk

__all__ = ["Reports"]

log = logging.getLogger("okazja")


class Reports:
    """Observers and recorder of one run. Thread-safe; tells them with no lock held, and nothing after the end."""

    def __init__(self, observers: Sequence[Observer] = (), recorder: Recorder | None = None) -> None:
        self.wanted = bool(observers) or recorder is not None
        self._observers = observers
        self._recorder = recorder
        # Re-entrant, because the run may be finalized, and so ended, anywhere. Entered by itself: a Condition's methods
        # are Python code, and a Ctrl-C that breaks into the one that lets go would leave it held.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._under_way: list[int] = []  # threads that report
        self._ended = False
        self._postponed: bool | None = None  # the end has come and is not done: whether the run was whole
        self._unattended = False  # whoever leaves last does it
        self._finisher = 0  # the thread that does it now
        self._error: BaseException | None = None  # of the recorder
        self._raised: BaseException | None = None  # the one that somebody has been told

    def began(self, total: int | None) -> None:
        """The run begins."""
        for observer in self._observers:
            observer.began(total)

    def settled(self, done: int, failed: int) -> None:
        """Items have their outcomes."""
        if done or failed:
            self._tell(lambda: self._tell_all("settled", done, failed))

    def known(self, done: int, failed: int) -> None:
        """Items had their outcomes before."""
        self._tell(lambda: self._tell_all("known", done, failed))

    def _tell_all(self, what: Literal["settled", "known"], done: int, failed: int) -> None:
        for observer in self._observers:
            getattr(observer, what)(done, failed)

    def outcomes(self, chunk: StreamChunk, positions: Sequence[int], again: int) -> None:
        """Items have their final outcome, which nobody has seen yet; others will run again.

        What can't be kept has failed from now on.
        """
        self._tell(lambda: self._tell_outcomes(chunk, positions, again))

    def _tell_outcomes(self, chunk: StreamChunk, positions: Sequence[int], again: int) -> None:
        if self._recorder is not None and positions:
            self._record(self._recorder, chunk, positions)
        failed = sum(1 for p in positions if p in chunk.errors) if chunk.errors else 0
        for observer in self._observers:
            if positions:
                observer.settled(len(positions) - failed, failed)
            if again:
                observer.retried(again)

    def _record(self, recorder: Recorder, chunk: StreamChunk, positions: Sequence[int]) -> None:
        if chunk.cut:
            recorder.forget(chunk.keys, [position for position in positions if position in chunk.cut])
            positions = [position for position in positions if position not in chunk.cut]
        if not positions or self._error is not None:
            return
        values = chunk.values if chunk.values is not None else [None] * len(chunk.items)
        try:
            errors = recorder.record(
                chunk.base, positions, chunk.items, chunk.keys, values, chunk.errors, chunk.extra, chunk.times
            )
        except BaseException as error:
            self._error = error
            return
        chunk.note(errors)
        for position in errors:
            values[position] = None

    def check(self) -> None:
        """Raise what went wrong in the recorder."""
        if self._error is not None:
            self._raised, self._error = self._error, None
            raise self._raised
        if self._recorder is not None and not self._ended:
            try:
                self._recorder.check()
            except BaseException as error:
                self._raised = error
                raise

    def end(self, whole: bool) -> None:
        """Nothing more is told. Waits for reports of other threads, and for one that has begun to do the same.

        An error of the recorder is kept for `check`.
        """
        me = threading.get_ident()
        with self._lock:
            first = not self._ended
            if first:
                self._ended, self._postponed = True, whole
            if self._postponed is None:
                self._await_finisher(me)
                return
            if me in self._under_way:  # the end comes in the middle of a report
                self._unattended = self._unattended or first
                return
        try:
            with self._lock:
                while self._under_way:
                    self._changed.wait()
        finally:
            self._unattended = True  # where Ctrl-C has ended the wait
            self._finish_if_last()
        with self._lock:
            self._await_finisher(me)

    def _await_finisher(self, me: int) -> None:
        """With the lock held: nobody goes on before the end is done, but for a finalizer that breaks into it."""
        while self._finisher not in (0, me):
            self._changed.wait()

    def _finish_if_last(self) -> None:
        me = threading.get_ident()
        mine = False
        try:
            with self._lock:
                if self._under_way or self._postponed is None:
                    return
                # No call, so no signal is handled in between.
                whole, self._postponed, self._finisher, mine = self._postponed, None, me, True
            self._finish(whole)
        finally:
            if mine:
                with self._lock:
                    self._finisher = 0
                    self._changed.notify_all()

    def _finish(self, whole: bool) -> None:
        try:
            if self._recorder is not None:
                self._recorder.close(whole and self._error is None)
        except Exception as error:
            self._error = error
        finally:
            for observer in self._observers:
                observer.ended()

    def said(self) -> None:
        """Where nobody can raise it: log what went wrong in the recorder."""
        error, self._error = self._error, None
        raised, self._raised = self._raised, None
        if error is not None and error is not raised:
            trace = None if isinstance(error, JournalError) else error  # a journal's error says it all
            log.error("not all outcomes could be recorded: %s", error, exc_info=trace)

    def after_fork(self) -> None:
        """In a child of a fork: all of this is the parent's."""
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._observers, self._recorder, self.wanted, self._ended = (), None, False, True
        self._finisher = 0

    def _tell(self, tell: Callable[[], object]) -> None:
        """Tell something, if this has not ended. A Ctrl-C that breaks in, wherever, leaves nobody in ``_under_way``."""
        me = threading.get_ident()
        entered = False
        try:
            with self._lock:
                if not self._ended:
                    entered = True
                    self._under_way += (me,)  # no call, so no signal is handled in between
            if entered:
                tell()
        finally:
            if entered:
                with self._lock:
                    self._under_way.remove(me)
                    self._changed.notify_all()
                    finish = self._unattended
                if finish:
                    self._finish_if_last()
