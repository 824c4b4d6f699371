"""What is kept of an error: its type, its message and its traceback, as text. Never the error itself."""

from __future__ import annotations

import traceback

from okazja.errors import RecordedFailure, RemoteTraceback

__all__ = ["texts_of"]

LONGEST = 20_000  # characters of a message or of a traceback


def texts_of(error: BaseException) -> tuple[str, str, str]:
    """Type, message and traceback, whatever the error's own methods do."""
    if isinstance(error, RecordedFailure):
        return error.error_type, error.message, error.traceback
    return _storable(_type_of(error)), _storable(_message_of(error)), _storable(_traceback_of(error))


def _type_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as problem:
        return f"<its message can't be shown: __str__ raised {type(problem).__name__}>"


def _traceback_of(error: BaseException) -> str:
    if isinstance(error.__cause__, RemoteTraceback):
        return error.__cause__.text
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as problem:
        return f"<its traceback can't be shown: {type(problem).__name__}>"


def _storable(text: str) -> str:
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]}\n... ({len(text) - LONGEST:,} characters left out)\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()
