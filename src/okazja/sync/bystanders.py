"""Whether anything in this process but threads that wait could act. Where in doubt, it could."""

from __future__ import annotations

import signal
from types import FrameType

from okazja._transport import waiting

__all__ = ["has_handlers", "waits_for_calls"]

# Modules in whose functions a thread stands while it waits for calls, with nothing of the user's above.
_ROOMS = frozenset(
    {
        "threading",
        *map("okazja._backends.{}".format, ("processes", "threads")),
        *map("okazja._engine.{}".format, ("future", "run", "engine")),
    }
)


def has_handlers() -> bool:
    """Whether some signal has a handler of the user's. Ctrl-C by itself is none."""
    return any(
        callable(handler := signal.getsignal(number)) and handler is not signal.default_int_handler
        for number in signal.valid_signals()
    )


def waits_for_calls(ident: int, frame: FrameType | None) -> object | None:
    """What of an executor's a thread waits for without a limit, as long as it takes; None: it does something else.

    It is not enough that it says so: an interrupt may have ended the wait, and what it said be left over.
    """
    target = waiting.for_calls.get(ident)
    while target is not None and frame is not None and (module := frame.f_globals.get("__name__")) in _ROOMS:
        if module != "threading" and frame.f_code.co_name in {"_wait", "join"}:
            return target
        frame = frame.f_back
    return None
