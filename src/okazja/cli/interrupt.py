"""Ctrl-C, SIGTERM and a closed terminal: each ends the command in the same orderly way.

Imports nothing slow: it is in force before the rest of the command line is loaded.
"""

from __future__ import annotations

import signal
import threading
from time import monotonic
from types import FrameType

__all__ = ["catch_signals", "ending", "ignore_signals", "release_signals", "was_asked_to_end"]

IMPATIENCE = 3.0  # seconds after a signal in which more of them change nothing: cleaning up takes less
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_caught: list[signal.Signals] = []
_received: signal.Signals | None = None


def catch_signals() -> None:
    """Raise KeyboardInterrupt in the main thread for the signals that ask for the end.

    Those that are ignored (``nohup``, a background job of a script) stay so. A task that swallows the
    exception can be asked again after IMPATIENCE seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    until = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal until
        global _received
        now = monotonic()
        if now >= until:
            until = now + IMPATIENCE
            _received = signal.Signals(number)
            # Not with `raise`: that is how a task would, and the serial backend tells the two apart by it.
            signal.default_int_handler(number, frame)

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
            _caught.append(number)


def was_asked_to_end() -> bool:
    """Whether a signal came: a KeyboardInterrupt before that was raised by the user's code."""
    return _received is not None


def ending() -> tuple[int, str]:
    """The exit status that the signal asks for, as shells name it, and what to call that."""
    if _received is None or _received is signal.SIGINT:
        return 128 + signal.SIGINT, "interrupted"
    return 128 + _received, f"ended by {_received.name}"


def ignore_signals() -> None:
    """The command is at its end already, which takes a bounded time: nothing may break that off."""
    for number in _caught:
        signal.signal(number, signal.SIG_IGN)


def release_signals() -> None:
    """The command is done: what remains is the interpreter's end, which a signal may cut short in silence."""
    for number in _caught:
        signal.signal(number, signal.SIG_DFL)
