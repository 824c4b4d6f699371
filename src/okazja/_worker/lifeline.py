"""Nobody outlives the parent.

The parent holds the write end of a pipe and never writes to it. Whoever must die with the parent
opens the read end anew (so that the setting is its own) and asks the kernel for a SIGKILL when the
pipe changes, which happens when the last write end closes: at the death of the parent, however it
died. SIGKILL works on a process that holds the GIL in C code, and unlike ``PR_SET_PDEATHSIG`` this
does not fire when merely the thread that forked ends. See fcntl(2), F_SETSIG.
"""

from __future__ import annotations

import os
import select
import signal

__all__ = ["die_with_parent"]


def die_with_parent(read_end: int) -> None:
    """Have this process killed when the write end of the pipe behind ``read_end`` closes."""
    import fcntl

    own = os.open(f"/proc/self/fd/{read_end}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own, getattr(fcntl, "F_SETSIG", 10), signal.SIGKILL)
    fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | getattr(fcntl, "FASYNC", os.O_ASYNC))
    poll = select.poll()
    poll.register(own, select.POLLIN)
    if poll.poll(0):  # the parent was gone before the setting took hold
        os._exit(1)
