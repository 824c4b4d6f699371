"""Log records of a worker, on their way to the handlers of the parent.

A record is a frame on the worker's own reply pipe: no lock is shared between processes, the order is that of
the worker, and what was logged before a reply, or before a death, arrives before it.

Guarantees: a record is handled once, here or in the parent. Where the initializer or a task has given a logger,
or one above it, a handler of its own, that one handles the record alone.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from okazja._transport import pickling
from okazja._transport.channel import WorkerEnd
from okazja._transport.codec import LONG, PLAIN
from okazja.errors import NotPicklable

__all__ = ["LOG", "LogLevels", "WorkerMouth", "current_levels", "log_to_parent"]

SHORT = (
    1 << 20
)  # characters of an argument that travels as it is; the message of a record with a longer one is made here
LOG = "log"  # the reply (0, LOG, record)


# --- levels, as they are in the parent when the worker starts ---------------------------------------------

# (root's level, what logging.disable() has set, [(logger, its own level, whether it is disabled)])
LogLevels = tuple[int, int, list[tuple[str, int, bool]]]


def current_levels() -> LogLevels:
    """The levels of this process's loggers."""
    manager = logging.root.manager
    loggers = [
        (name, logger.level, bool(logger.disabled))
        for name, logger in list(manager.loggerDict.items())
        if isinstance(logger, logging.Logger) and (logger.level or logger.disabled)
    ]
    return logging.root.level, manager.disable, loggers


def _take(levels: LogLevels) -> None:
    root, disabled, loggers = levels
    logging.root.setLevel(root)
    logging.disable(disabled)
    for name, level, is_disabled in loggers:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.disabled = is_disabled


def _leave_to_parent() -> None:
    """Handlers and filters that came with a fork, or with the main module, are applied in the parent."""
    loggers = [x for x in logging.root.manager.loggerDict.values() if isinstance(x, logging.Logger)]
    for logger in (logging.root, *loggers):
        logger.handlers.clear()
        logger.filters.clear()
        logger.propagate = True


def log_to_parent(mouth: WorkerMouth, process_name: str, levels: LogLevels) -> None:
    """Have the parent handle what is logged in this process, from now on."""
    _leave_to_parent()
    _take(levels)
    handler = _ToParent(mouth, process_name)
    logging.root.addHandler(handler)
    logging.basicConfig = _basic_config(handler, logging.basicConfig)


def _basic_config(handler: logging.Handler, configure: Callable[..., None]) -> Callable[..., None]:
    """``logging.basicConfig`` of a worker, which sees a root logger without handlers, as elsewhere.

    ``logging.info`` and its like call it by themselves, if so; that must not keep records from the parent.
    """

    @functools.wraps(configure)
    def basic_config(**options: Any) -> None:
        if handler not in logging.root.handlers:  # the user has removed it, or this is a child of the worker
            configure(**options)
        elif options or sys._getframe(1).f_globals is not vars(logging):
            logging.root.removeHandler(handler)
            try:
                configure(**options)
            finally:
                logging.root.addHandler(handler)

    return basic_config


class _ToParent(logging.Handler):
    """The handler of a worker's root logger."""

    def __init__(self, mouth: WorkerMouth, process_name: str) -> None:
        super().__init__()
        self._mouth = mouth
        self._process_name = process_name

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the handler's lock: frames have one of their own, on which a signal handler can't block."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record, unless another handler here has it."""
        try:
            if not _has_other_handler(record.name, self):
                self._mouth.log(_as_plain(record, self._process_name))
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)


def _has_other_handler(name: str, own: logging.Handler) -> bool:
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(type(other) is not logging.NullHandler and other is not own for other in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


# --- a record as plain values ----------------------------------------------------------------------------

_formatter = logging.Formatter()


def _as_plain(record: logging.LogRecord, process_name: str) -> dict[str, Any]:
    """The attributes of a record as they travel.

    An exception is text. Arguments that are not plain values are formatted into the message. Attributes of
    the user's (``extra``) are pickled, with their ``repr`` where that fails, here or there.
    """
    state = dict(vars(record))
    if state["exc_info"]:
        state["exc_text"] = state["exc_text"] or _formatter.formatException(state["exc_info"])
        state["exc_info"] = None
    if type(state["msg"]) not in PLAIN or not _is_plain(state["args"]):
        state["msg"], state["args"] = record.getMessage(), None
    if state["processName"] in {None, "MainProcess"}:
        state["processName"] = process_name
    for name, value in state.items():
        if name != "args" and type(value) not in PLAIN:
            state[name] = _extra(value, name)
    state.pop("message", None)  # what a formatter has left
    return state


def _is_plain(args: Any) -> bool:
    """Whether the arguments can be marshalled: None, a tuple or a mapping of plain values of usual size."""
    values = args.values() if type(args) is dict else args or ()
    if type(args) not in {tuple, dict, type(None)} or not set(map(type, values)) <= PLAIN:
        return False
    return not any(type(value) in LONG and len(value) > SHORT for value in values)


def _extra(value: Any, name: str) -> tuple[bytes, str]:
    try:
        return pickling.dumps(value, name), repr(value)
    except NotPicklable:
        return b"", repr(value)


# --- the one that speaks ----------------------------------------------------------------------------------


class WorkerMouth(WorkerEnd):
    """A worker's side of its channel, where all threads of the worker may log.

    One lock, of this process alone, is held while a frame is written. ``send`` is for the main thread.
    """

    def __init__(self, calls_fd: int, replies_fd: int) -> None:
        super().__init__(calls_fd, replies_fd)
        self._records: deque[dict[str, Any]] = deque()  # not yet written
        # Re-entrant: a signal handler of the task's that raises may leave it locked by the main thread, which
        # goes on all the same; what other threads log then waits for its next reply.
        self._lock = threading.RLock()
        self._main = threading.get_ident()
        self._writing = False  # the main thread is writing
        self._later: Callable[[], object] | None = None

    def send(self, reply: tuple[Any, ...]) -> None:
        """Write what was logged, then one reply."""
        self._writing = True  # before the lock is taken: a signal handler must not wait for its own thread
        try:
            with self._lock:
                if self._records:
                    self._write_records()
                super().send(reply)
        finally:
            self._writing = False
        if self._records or self._later is not None:
            self._catch_up()

    def log(self, record: dict[str, Any]) -> None:
        """Write a record, or leave it to the thread that is writing. Any thread, also in signal handlers."""
        self._records.append(record)
        self._flush()

    def _flush(self) -> None:
        main = threading.get_ident() == self._main
        if main and self._writing:
            return  # in a finalizer or a signal handler, in the middle of a frame
        if main:
            self._writing = True
        free = True  # else the thread that has the lock looks once more when it has let go of it
        try:
            while self._records and (free := self._lock.acquire(blocking=False)):
                try:
                    self._write_records()
                finally:
                    self._lock.release()
        finally:
            if main:
                self._writing = False
        if main and ((free and self._records) or self._later is not None):
            self._catch_up()

    def postpone(self, action: Callable[[], object]) -> bool:
        """For signal handlers: whether a frame is being written; then ``action`` comes right after it."""
        if self._writing:
            self._later = action
        return self._writing

    def _write_records(self) -> None:
        while self._records:
            super().send((0, LOG, self._records.popleft()))

    def _catch_up(self) -> None:
        """Do what had to wait for the end of a frame. In the main thread."""
        action, self._later = self._later, None
        if action is not None:
            action()
        if self._records:
            self._flush()

    def close(self) -> None:
        """In a child that a task forked: what it logs is its own affair."""
        self._lock = threading.RLock()
        self._records.clear()
        for handler in logging.root.handlers[:]:
            if isinstance(handler, _ToParent):
                logging.root.removeHandler(handler)
        super().close()
