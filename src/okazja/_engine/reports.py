"""What the run of a map or stream tells: counts to observers, final outcomes to a recorder."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
        # Re-entrant, because the run may be finalized, and so ended, anywhere.
        self._changed = threading.Condition(threading.RLock())
        self._under_way: list[int] = []  # threads that report
        self._ended = False
        self._postponed: bool | None = None  # the end came in the middle of a report of the same thread
        self._error: BaseException | None = None  # of the recorder
        self._raised: BaseException | None = None  # the one that somebody has been told

    def began(self, total: int | None) -> None:
        """The run begins."""
        for observer in self._observers:
            observer.began(total)

    def settled(self, done: int, failed: int) -> None:
        """Items have their outcomes."""
        if (done or failed) and self._enter():
            try:
                for observer in self._observers:
                    observer.settled(done, failed)
            finally:
                self._leave()

    def known(self, done: int, failed: int) -> None:
        """Items had their outcomes before."""
        if self._enter():
            try:
                for observer in self._observers:
                    observer.known(done, failed)
            finally:
                self._leave()

    def outcomes(self, chunk: StreamChunk, positions: Sequence[int], again: int) -> None:
        """Items have their final outcome, which nobody has seen yet; others will run again.

        What can't be kept has failed from now on.
        """
        if not self._enter():
            return
        try:
            if self._recorder is not None and positions:
                self._record(self._recorder, chunk, positions)
            failed = sum(1 for p in positions if p in chunk.errors) if chunk.errors else 0
            for observer in self._observers:
                if positions:
                    observer.settled(len(positions) - failed, failed)
                if again:
                    observer.retried(again)
        finally:
            self._leave()

    def _record(self, recorder: Recorder, chunk: StreamChunk, positions: Sequence[int]) -> None:
        if chunk.cut:
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
        for position, problem in errors.items():
            chunk.errors[position] = problem
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
        """Nothing more is told. Waits for reports of other threads. An error of the recorder is kept for `check`."""
        me = threading.get_ident()
        with self._changed:
            if self._ended:
                return
            self._ended = True
            if me in self._under_way:
                self._postponed = whole
                return
            while self._under_way:
                self._changed.wait()
        self._finish(whole)

    def _finish(self, whole: bool) -> None:
        try:
            if self._recorder is not None:
                self._recorder.close(whole)
        except BaseException as error:
            self._error = error
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
        self._changed = threading.Condition(threading.RLock())
        self._observers, self._recorder, self.wanted, self._ended = (), None, False, True

    def _enter(self) -> bool:
        with self._changed:
            if not self._ended:
                self._under_way.append(threading.get_ident())
            return not self._ended

    def _leave(self) -> None:
        with self._changed:
            self._under_way.remove(threading.get_ident())
            self._changed.notify_all()
            postponed, self._postponed = self._postponed, None
        if postponed is not None:
            self._finish(postponed)
