"""Log records that arrive from workers: handled as if they had been logged here."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from okazja._transport import pickling

__all__ = ["handle"]

log = logging.getLogger("okazja")


def handle(state: dict[str, Any]) -> None:
    """Give a record to the handlers of its logger. Never raises. The caller holds no lock.

    Levels were compared in the worker.
    """
    try:
        record = _rebuilt(state)
        logging.getLogger(record.name).handle(record)
    except BaseException:  # of a filter, a handler or a record factory of the user's
        with suppress(BaseException):  # the same one again: nobody is left to tell
            log.exception("a worker's record of the logger %s was not handled", state["name"])


def _rebuilt(state: dict[str, Any]) -> logging.LogRecord:
    for name, value in state.items():
        if name != "args" and type(value) is tuple:
            state[name] = _extra(*value)
    if state["levelname"] == f"Level {state['levelno']}":  # it may have a name here
        state["levelname"] = logging.getLevelName(state["levelno"])
    return logging.makeLogRecord(state)


def _extra(pickled: bytes, shown: str) -> Any:
    try:
        return pickling.loads(pickled)
    except Exception:  # it could not be pickled, or can't be rebuilt here
        return shown
