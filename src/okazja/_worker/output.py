"""What workers print: whole lines, each one write, so that lines of several workers do not mix.

``print`` hands over its text in pieces, the line end last. They are gathered here until the line is
whole. A single write is not torn by another: on a file or a terminal, and on a pipe up to its capacity
(the system promises 4,096 bytes, Linux keeps more together while the pipe has room). A line of more
than ``LINE`` bytes is several writes.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

__all__ = ["flush", "print_whole_lines"]

LINE = 1 << 16  # bytes

_replaced: list[Any] = []  # kept, because a stream that is deleted may close its descriptor


def print_whole_lines() -> None:
    """Have ``sys.stdout`` and ``sys.stderr`` of this process write whole lines.

    A stream that has no file behind it, which a fork may have got from its parent, is replaced by the
    standard stream: what it took would never be seen.
    """
    sys.stdout = sys.__stdout__ = _whole_lines(sys.stdout, 1)  # type: ignore[misc]  # final for others
    sys.stderr = sys.__stderr__ = _whole_lines(sys.stderr, 2)  # type: ignore[misc]


def _whole_lines(stream: Any, number: int) -> Any:
    try:
        fd = stream.fileno()
    except (AttributeError, OSError, ValueError):  # none, closed, or in memory
        fd = number if stream is not None and _is_open(number) else -1
    if fd == number and (type(stream) is io.TextIOWrapper or not _has_file(stream)):
        _flush(stream)
        _replaced.append(stream)
        return _standard(number, getattr(stream, "encoding", None), getattr(stream, "errors", None))
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(line_buffering=True, write_through=False)
    return stream


def _standard(number: int, encoding: str | None, errors: str | None) -> io.TextIOWrapper:
    raw: Any = io.FileIO(number, "w", closefd=False)
    raw.name = "<stdout>" if number == 1 else "<stderr>"
    default = "strict" if number == 1 else "backslashreplace"
    stream = io.TextIOWrapper(
        io.BufferedWriter(raw, LINE), encoding or "utf-8", errors or default, line_buffering=True
    )
    stream._CHUNK_SIZE = LINE  # type: ignore[attr-defined]  # characters gathered before they are handed down
    return stream


def _has_file(stream: Any) -> bool:
    try:
        return bool(stream.fileno() >= 0)
    except (AttributeError, OSError, ValueError):
        return False


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def flush() -> None:
    """Write what was printed without a line end."""
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except (AttributeError, OSError, ValueError):
        pass  # closed by a task, or never open
