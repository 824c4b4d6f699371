"""A gate that tasks wait at, in whichever process of this machine they run.

A task connects to a local port, says who it is and blocks until the gate opens; so a check knows that a task has begun,
and says when it goes on, without sleeping.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

__all__ = ["PATIENCE", "Gate", "greet", "wait_at"]

PATIENCE = 30.0  # seconds that anything may take before a check fails

Address = tuple[str, int]


class Gate:
    """Opens once, for all; also for those that come later."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(PATIENCE)
        self._waiting: list[socket.socket] = []
        self.address: Address = self._listener.getsockname()

    def arrivals(self, count: int, patience: float = PATIENCE) -> list[str]:
        """Who the next ``count`` to arrive are. Raises AssertionError if one takes over ``patience`` seconds."""
        names: list[str] = []
        self._listener.settimeout(patience)
        for number in range(count):
            try:
                guest, _ = self._listener.accept()
            except TimeoutError:
                raise AssertionError(
                    f"{number} of {count} arrived: {names}; the others did not begin"
                ) from None
            self._waiting.append(guest)
            guest.settimeout(PATIENCE)
            with guest.makefile("r", encoding="utf-8") as lines:
                names.append(lines.readline().rstrip("\n"))
        return names

    def open(self) -> None:
        """Let everybody go on."""
        for guest in self._waiting:
            _hang_up(guest)
        self._waiting.clear()
        _hang_up(self._listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open()


def _hang_up(end: socket.socket) -> None:
    """End a connection for its other side too, although children of a fork may hold a copy of it."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:  # the other side was quicker; or a listener, where the platform ends those by close alone
        pass
    end.close()


def wait_at(address: Address, name: str = "") -> None:
    """Arrive at a gate and block until it is open. For tasks."""
    try:
        with socket.create_connection(address) as line:
            line.sendall(f"{name}\n".encode())
            line.recv(1)
    except ConnectionError:
        pass  # it is open


def greet(address: Address, name: str) -> None:
    """Arrive at a gate without waiting."""
    try:
        with socket.create_connection(address) as line:
            line.sendall(f"{name}\n".encode())
    except ConnectionError:
        pass
