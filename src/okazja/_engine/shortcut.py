"""The way of a short call's reply past the collector: the thread that waits for it reads it.

Two threads are woken up where the collector reads a reply and then wakes the one that waits; each takes
longer than a short call. Ctrl-C, unlike in the collector, may break in anywhere here: what was taken over
is noted first, and what a broken thread leaves undone the collector does again.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from okazja._core.messages import Call, Port, Reply
from okazja._engine.future import Future

if TYPE_CHECKING:
    from okazja._engine.traffic import Traffic

__all__ = ["Shortcut"]

SHORT = 1e-4  # seconds; longer calls are worth a sleep


class Shortcut:
    """One engine's."""

    def __init__(self, engine: Traffic) -> None:
        self._engine = weakref.ref(
            engine
        )  # no cycle: an engine goes with its last user, and its descriptors with it
        self._broken: deque[tuple[Port, list[tuple[Call, Reply]]]] = deque()

    def __call__(self, future: Future[Any]) -> None:
        """Wait for a future's reply for a moment, if it is likely to be there so soon, and settle it."""
        engine = self._engine()
        call = future._call
        port = _port(engine, call) if engine is not None and call is not None else None
        if engine is None or port is None:
            return
        taken: list[tuple[Call, Reply]] = []

        def take(replies: Sequence[Reply]) -> bool:
            return self._take(engine, port, replies, taken)

        try:
            engine.backend.linger(port, take)
            for done, reply in taken:
                done.sink._settle(done, reply)
            if taken:
                engine.look_after()
        except BaseException:
            self._broken.append((port, taken))
            engine.backend.stop_lingering(port)
            raise

    def _take(
        self, engine: Traffic, port: Port, replies: Sequence[Reply], taken: list[tuple[Call, Reply]]
    ) -> bool:
        """Note the replies, all of them or none.

        Those to maps, what is no reply, and futures with callbacks, which may run long, are the collector's.
        """
        with engine.lock:
            if engine.ports[port.slot] is not port:
                return False
            held = engine.scheduler.workers[port.slot].held
            for reply in replies:
                call = held.get(reply[0])
                if call is None or type(call.sink) is not Future or call.sink._made is not None:
                    taken.clear()
                    return False
                taken.append((call, reply))
            engine.scheduler.replied(port.slot, replies)
        return True

    def repair(self, engine: Traffic) -> list[tuple[Call, Reply]]:
        """What threads left undone that an exception has broken; called with the engine's lock held."""
        undone = []
        while self._broken:
            port, taken = self._broken.popleft()
            if engine.ports[port.slot] is port:
                engine.scheduler.replied(port.slot, [reply for _, reply in taken])
            undone += taken
        engine.scheduler.repair()
        return undone

    @property
    def is_broken(self) -> bool:
        """Whether there is something to repair."""
        return bool(self._broken)


def _port(engine: Traffic, call: Call) -> Port | None:
    """Where the reply is about to come from, None if it is likely to take longer."""
    slot = call.slot
    if slot < 0 or call.fn.timing.seconds > SHORT or engine.scheduler.backlog:
        return None
    return engine.ports[slot] if len(engine.scheduler.workers[slot].held) == 1 else None
